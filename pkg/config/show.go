package config

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Shown is one setting as it holds, without its secret.
type Shown struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"` // "default", "file:line", a variable or a flag
}

// List returns every setting as it holds, in the order of the example file.
func (c *Config) List() []Shown {
	var list []Shown
	for i := range settings {
		s := &settings[i]
		value, origin := s.value(c), c.origin[s.key]
		if s.secret {
			value = mask(value)
		}
		if origin == "" {
			origin = "default"
		}
		list = append(list, Shown{s.key, value, origin})
	}
	return list
}

// Show writes every setting as it holds for people.
func (c *Config) Show(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range c.List() {
		if _, err := fmt.Fprintf(t, "%s\t%s\t# %s\n", s.Key, strconv.Quote(s.Value), s.Origin); err != nil {
			return err
		}
	}
	return t.Flush()
}

// ShowJSON writes the same for programs.
func (c *Config) ShowJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(c.List())
}

var (
	userinfo = regexp.MustCompile(`^([^/?#]*//[^/?#:@]*):.*@`)
	password = regexp.MustCompile(`(?i)((?:ssl)?password)(\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&]*)`)
)

// mask hides the passwords of a connection string, in either form. What looks like neither is hidden wholly.
func mask(dsn string) string {
	if dsn == "" {
		return ""
	}
	hidden := password.ReplaceAllString(dsn, "$1$2***")
	if !strings.Contains(dsn, "://") {
		if strings.Contains(dsn, "=") {
			return hidden
		}
		return "***"
	}
	if u, err := url.Parse(hidden); err == nil {
		if _, has := u.User.Password(); !has {
			return hidden
		}
	}
	return userinfo.ReplaceAllString(hidden, "$1:***@") // up to the last @: an @ in the password may not be escaped
}

// Example is a configuration file that sets nothing and names every setting, with its default and what it is for.
func Example() string {
	var b strings.Builder
	b.WriteString("# Settings of Postern. Every line that is commented out shows a default. Environment variables (POSTERN_ and the key in\n" +
		"# capitals, _ for .) and flags (--imap-listen for imap.listen) are stronger than this file.\n" +
		"# Sizes are written \"64MiB\" or \"2GB\", times \"90s\", \"2h\" or \"14d\".\n")
	table := ""
	for i := range settings {
		s := &settings[i]
		section := parent(s.key)
		name := strings.TrimPrefix(s.key[len(section):], ".")
		if section != table {
			fmt.Fprintf(&b, "\n[%s]\n", section)
			table = section
		}
		fmt.Fprintf(&b, "\n# %s\n#%s = %s\n", strings.ReplaceAll(s.doc, "\n", "\n# "), name, s.tomlPreset())
	}
	return b.String()
}

// tomlPreset is the default in TOML; for one that depends on something, a value of the kind.
func (s *setting) tomlPreset() string {
	switch s.field(new(Config)).(type) {
	case *int:
		return s.preset
	case *bool:
		if s.preset == "" {
			return "true"
		}
		return s.preset
	case *string, *[]string, *size, *time.Duration:
	}
	return strconv.Quote(s.preset)
}
