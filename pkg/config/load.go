package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// fileVariable names the file when no flag does.
const fileVariable = prefix + "CONFIG"

// Source says where to load from. The zero value loads from the environment alone.
type Source struct {
	File     string                 // TOML; empty: what POSTERN_CONFIG names, or none
	Flags    *pflag.FlagSet         // that AddFlags was called with; nil: none
	Environ  func() []string        // nil: os.Environ
	Hostname func() (string, error) // nil: os.Hostname
	Memory   func() (uint64, error) // octets that the process may use; nil: what the machine or the container has
}

// Load returns the configuration, or Problems: everything that is wrong with it. With problems it still returns what
// could be made of it, so that it can be shown.
func Load(src Source) (*Config, error) {
	if src.Environ == nil {
		src.Environ = os.Environ
	}
	if src.Hostname == nil {
		src.Hostname = os.Hostname
	}
	if src.Memory == nil {
		src.Memory = memory
	}
	c := &Config{origin: make(map[string]string)}
	var l loader
	l.apply(c, layer{k: presets(), origin: func(string) string { return "" }})
	for _, read := range []func(Source) (layer, error){fileLayer, environmentLayer, flagLayer} {
		layer, err := read(src)
		if err != nil {
			l.problems = append(l.problems, Problem{Text: err.Error()})
			continue
		}
		l.apply(c, layer)
	}
	l.complete(c, src)
	l.validate(c)
	if len(l.problems) > 0 {
		return c, l.problems
	}
	return c, nil
}

// loader collects what is wrong on the way.
type loader struct {
	problems Problems
	bad      map[string]bool // keys that have a problem already: their values are not looked at again
}

func (l *loader) complain(c *Config, key, text string) {
	if l.bad == nil {
		l.bad = make(map[string]bool)
	}
	if !l.bad[key] {
		l.problems = append(l.problems, Problem{key, c.origin[key], text})
	}
	l.bad[key] = true
}

// layer is one source of settings, and says where in it a key stands.
type layer struct {
	k      *koanf.Koanf
	origin func(key string) string
}

// apply sets what a layer sets. An empty text from a variable is no setting; such are common in compose files.
func (l *loader) apply(c *Config, from layer) {
	for _, key := range from.k.Keys() {
		s, ok := lookup(key)
		if !ok && isEmptyTable(from.k.Get(key)) {
			continue
		}
		if !ok {
			l.problems = append(l.problems, Problem{key, from.origin(key), "no such setting" + nearest(key)})
			continue
		}
		if where := from.origin(key); where != "" {
			c.origin[key] = where
		}
		delete(l.bad, key) // a stronger layer mends a value, though not what has been said about it
		if err := s.assign(c, from.k.Get(key)); err != nil {
			l.complain(c, key, err.Error())
		}
	}
}

func isEmptyTable(v any) bool {
	table, ok := v.(map[string]any)
	return ok && len(table) == 0
}

func presets() *koanf.Koanf {
	k := koanf.New(".")
	for _, s := range settings {
		if s.preset != "" {
			k.Set(s.key, s.preset) //nolint:errcheck // it merges one string into a map, which cannot fail
		}
	}
	return k
}

func fileLayer(src Source) (layer, error) {
	k := koanf.New(".")
	path := src.File
	if path == "" {
		path = getenv(src.Environ(), fileVariable)
	}
	if path == "" {
		return layer{k: k}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return layer{}, fmt.Errorf("configuration file: %w", err)
	}
	if err := k.Load(content(text), toml.Parser()); err != nil {
		var at interface{ Position() (line, column int) } // of the TOML library's error
		if errors.As(err, &at) {
			line, column := at.Position()
			return layer{}, fmt.Errorf("%s:%d:%d: %w", path, line, column, err)
		}
		return layer{}, fmt.Errorf("%s: %w", path, err)
	}
	lines := keyLines(text)
	return layer{k, func(key string) string {
		for name := key; name != ""; name = parent(name) { // of an inline table only the table's own key has a line
			if line, ok := lines[name]; ok {
				return fmt.Sprintf("%s:%d", path, line)
			}
		}
		return path
	}}, nil
}

func parent(key string) string {
	return key[:max(strings.LastIndexByte(key, '.'), 0)]
}

// content is a file that has been read, as koanf takes it.
type content []byte

func (b content) ReadBytes() ([]byte, error) { return b, nil }

func (b content) Read() (map[string]any, error) { return nil, errors.New("the file needs its parser") }

// keyLine finds a table or a key at the beginning of a line.
var keyLine = regexp.MustCompile(`^\s*(?:\[+\s*([\w."' -]+?)\s*\]|([\w."' -]+?)\s*=)`)

// keyLines finds the line of every key and every table in a file that is known to be TOML. It looks at lines only: what
// it takes for a key inside a text of several lines is never asked for.
func keyLines(text []byte) map[string]int {
	lines := make(map[string]int)
	plain := strings.NewReplacer(`"`, "", "'", "", " ", "")
	table, number := "", 0
	for line := range strings.Lines(string(text)) {
		number++
		found := keyLine.FindStringSubmatch(line)
		switch {
		case found == nil:
			continue
		case found[1] != "":
			table = plain.Replace(found[1])
			lines[table] = number
		case table != "":
			lines[table+"."+plain.Replace(found[2])] = number
		default:
			lines[plain.Replace(found[2])] = number
		}
	}
	return lines
}

// foreign are variables that Kubernetes and container links make for a service that is called "postern".
var foreign = regexp.MustCompile(`^POSTERN_(CONFIG$|SERVICE_|PORT$|PORT_|NAME$|ENV_)`)

func environmentLayer(src Source) (layer, error) {
	byVariable := make(map[string]string)
	for i := range settings {
		byVariable[settings[i].variable()] = settings[i].key
	}
	variable := make(map[string]string)
	k := koanf.New(".")
	err := k.Load(env.Provider(".", env.Opt{
		Prefix:      prefix,
		EnvironFunc: src.Environ,
		TransformFunc: func(name, value string) (string, any) {
			if value == "" || foreign.MatchString(name) {
				return "", nil
			}
			key, ok := byVariable[name]
			if !ok { // apply complains about it
				variable[name] = "environment"
				return name, value
			}
			variable[key] = name
			return key, value
		},
	}), nil)
	return layer{k, func(key string) string { return variable[key] }}, err
}

func getenv(environ []string, name string) string {
	for _, kv := range environ {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// AddFlags adds a flag for each setting: --imap-listen for imap.listen.
func AddFlags(fs *pflag.FlagSet) {
	for i := range settings {
		s := &settings[i]
		usage := s.brief()
		if s.preset != "" {
			usage += " (default " + s.preset + ")"
		}
		fs.String(s.flag(), "", usage)
	}
}

func flagLayer(src Source) (layer, error) {
	k := koanf.New(".")
	if src.Flags == nil {
		return layer{k: k}, nil
	}
	byFlag := make(map[string]*setting)
	for i := range settings {
		byFlag[settings[i].flag()] = &settings[i]
	}
	err := k.Load(posflag.ProviderWithFlag(src.Flags, ".", nil, func(f *pflag.Flag) (string, any) {
		s, ok := byFlag[f.Name]
		if !ok {
			return "", nil // one of the command's own
		}
		return s.key, f.Value.String()
	}), nil)
	return layer{k, func(key string) string {
		s, _ := lookup(key)
		return "--" + s.flag()
	}}, err
}

// complete fills in the defaults that depend on something.
func (l *loader) complete(c *Config, src Source) {
	if c.Hostname == "" {
		name, err := src.Hostname()
		if err != nil {
			l.complain(c, "hostname", "the machine does not know its name: "+err.Error())
		}
		c.Hostname = name
	}
	if c.Database.URLFile != "" {
		l.readURL(c)
	}
	if !c.IsSet("database.migrate_on_start") {
		c.Database.MigrateOnStart = c.Private()
	}
	if c.Store.Bodies == 0 {
		c.Store.Bodies = bodiesShare(src)
	}
	if c.TLS.Mode == "" {
		c.TLS.Mode = certificateMode(c)
	}
	if c.DataDir == "" {
		return
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		l.complain(c, "data_dir", err.Error())
		return
	}
	c.DataDir = dir
	if c.Crypt.MasterKeyFile == "" {
		c.Crypt.MasterKeyFile = filepath.Join(dir, "master.key")
	}
}

// memory is what the machine has, or less if the container may not have all of it.
func memory() (uint64, error) {
	all, err := memlimit.FromSystem()
	if limit, limited := memlimit.FromCgroup(); limited == nil && (err != nil || limit < all) {
		return limit, nil
	}
	return all, err
}

// bodiesShare is how much memory there is for messages that have been read, unless somebody says: whole MiB, which people can read.
func bodiesShare(src Source) int64 {
	const least, most, part, unit = 64 << 20, 1 << 40, 16, 1 << 20
	octets, err := src.Memory()
	if err != nil { // nobody can say
		return least
	}
	return int64(min(max(octets/part/unit*unit, least), most))
}

// certificateMode is the mode that suits the other settings.
func certificateMode(c *Config) string {
	switch {
	case c.TLS.CertFile != "" && c.TLS.KeyFile != "":
		return "files"
	case publicName(c.Hostname):
		return "acme"
	}
	return "self-signed"
}

func (l *loader) readURL(c *Config) {
	if c.Database.URL != "" {
		l.complain(c, "database.url_file", "database.url is set too; set one of them")
		return
	}
	text, err := os.ReadFile(c.Database.URLFile)
	switch {
	case err != nil:
		l.complain(c, "database.url_file", err.Error())
	case strings.TrimSpace(string(text)) == "":
		l.complain(c, "database.url_file", c.Database.URLFile+" is empty")
	}
	c.Database.URL = strings.TrimSpace(string(text))
}
