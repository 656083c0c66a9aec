// Package deploy_test checks what stands in this folder as far as that goes without a container engine: the files agree
// with each other, with the settings and the metrics there are, and with Postfix and systemd.
package deploy_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"postern/pkg/config"
)

// variables are those of env.example, with the values it shows.
func variables(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^#?([A-Z_]+)=(.*)$`).FindAllStringSubmatch(read(t, "env.example"), -1) {
		found[m[1]] = m[2]
	}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// project is compose.yaml as the compose specification's own loader understands it: schema, references between services,
// networks and volumes, variables.
func project(t *testing.T) *types.Project {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: dir, Environment: variables(t), ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "compose.yaml")}},
	}, func(o *loader.Options) { o.Profiles = []string{"*"} })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestVariables holds env.example to compose.yaml, defaults included.
func TestVariables(t *testing.T) {
	t.Parallel()
	named := make(map[string]string)
	for _, m := range regexp.MustCompile(`\$\{([A-Z_]+)(?::([-?])([^}]*))?\}`).FindAllStringSubmatch(read(t, "compose.yaml"), -1) {
		if _, ok := named[m[1]]; !ok || m[2] == "-" {
			named[m[1]] = ""
			if m[2] == "-" {
				named[m[1]] = m[3]
			}
		}
	}
	for name, value := range variables(t) {
		preset, ok := named[name]
		switch {
		case !ok:
			t.Errorf("env.example: compose.yaml does not know %s", name)
		case !strings.HasPrefix(name, "MAIL_") && value != preset:
			t.Errorf("env.example: %s=%s, but compose.yaml has %s", name, value, preset)
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("env.example does not tell of %s", name)
	}
}

// TestImages demands that each image names its exact version.
func TestImages(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^[a-z/-]+:v?\d+\.\d+(\.\d+)?(-\w+)?$`)
	for _, s := range project(t).Services {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %q is not pinned", s.Name, s.Image)
		}
	}
	for _, file := range []string{"../Dockerfile", "postfix/Dockerfile"} {
		for _, m := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(read(t, file), -1) {
			if m[1] != "scratch" && !pinned.MatchString(m[1]) {
				t.Errorf("%s: image %q is not pinned", file, m[1])
			}
		}
	}
}

// TestAddresses: whoever is reached from the world sees where clients come from, by IPv6 too. In a network without it they
// would all seem to come from the network's own address, and be banned together.
func TestAddresses(t *testing.T) {
	t.Parallel()
	p := project(t)
	for _, s := range p.Services {
		if !slices.ContainsFunc(s.Ports, func(port types.ServicePortConfig) bool { return port.HostIP == "" }) {
			continue
		}
		if !slices.ContainsFunc(s.NetworksByPriority(), func(name string) bool { on := p.Networks[name].EnableIPv6; return on != nil && *on }) {
			t.Errorf("%s: clients who come by IPv6 all look the same", s.Name)
		}
	}
}

// TestPaths finds what is mounted or copied but not there.
func TestPaths(t *testing.T) {
	t.Parallel()
	exists := func(who, path string) {
		t.Helper()
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", who, err)
		}
	}
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range project(t).Services {
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind && !strings.HasPrefix(v.Source, filepath.Join(dir, "secrets")) {
				exists(s.Name, v.Source)
			}
		}
		if s.Build != nil {
			exists(s.Name, filepath.Join(s.Build.Context, "Dockerfile"))
		}
	}
	copied := regexp.MustCompile(`(?m)^COPY (?:--chmod=\d+ )?([\w. ]+) \S+$`).FindAllStringSubmatch(read(t, "postfix/Dockerfile"), -1)
	for _, m := range copied {
		for name := range strings.FieldsSeq(m[1]) {
			exists("postfix/Dockerfile", filepath.Join("postfix", name))
		}
	}
	if len(copied) == 0 {
		t.Error("postfix/Dockerfile copies nothing")
	}
	for _, m := range regexp.MustCompile(`(?m)^  - (\w+\.yml)$`).FindAllStringSubmatch(read(t, "prometheus/prometheus.yml"), -1) {
		exists("prometheus.yml", filepath.Join("prometheus", m[1]))
	}
}

// makeSecrets runs init.sh on a folder of the test's.
func makeSecrets(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var script []string
	for line := range strings.Lines(read(t, "init.sh")) {
		if !strings.HasPrefix(line, "chown ") { // the users are those of the images
			script = append(script, strings.Replace(line, "cd /secrets", "cd "+dir, 1))
		}
	}
	for range 2 { // what is there stays
		before := contents(t, dir)
		if out, err := exec.Command("sh", "-c", strings.Join(script, "")).CombinedOutput(); err != nil {
			t.Fatalf("init.sh: %v\n%s", err, out)
		}
		if after := contents(t, dir); len(before) > 0 && !maps.Equal(before, after) {
			t.Errorf("init.sh changed what was there: %v, %v", before, after)
		}
	}
	return dir
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, name := range files {
		found[name] = read(t, name)
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	return found
}

// TestSettings loads the settings of each container of Postern's as the program will, with the secrets init.sh makes; and
// finds every other secret that is named.
func TestSettings(t *testing.T) {
	t.Parallel()
	secrets := makeSecrets(t)
	for _, s := range project(t).Services {
		mounted := ""
		for _, v := range s.Volumes {
			if v.Target == "/run/secrets" {
				mounted = filepath.Join(secrets, filepath.Base(v.Source))
			}
		}
		environ := imageEnvironment(t)
		for name, value := range s.Environment {
			text := strings.Replace(*value, "/run/secrets", mounted, 1)
			if _, err := os.Stat(text); strings.HasPrefix(*value, "/run/secrets/") && err != nil {
				t.Errorf("%s: %s: %v", s.Name, name, err)
			}
			environ = append(environ, name+"="+text)
		}
		if s.Build == nil || s.Name == "postfix" {
			continue
		}
		c, err := config.Load(config.Source{Environ: func() []string { return environ }, Hostname: os.Hostname})
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		if _, _, err := c.MasterKey(); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if c.Private() || !s.ReadOnly && s.Name == "postern" {
			t.Errorf("%s: %+v", s.Name, c.Database)
		}
	}
}

// imageEnvironment is what Dockerfile sets.
func imageEnvironment(t *testing.T) []string {
	t.Helper()
	return regexp.MustCompile(`POSTERN_\w+=\S+`).FindAllString(read(t, "../Dockerfile"), -1)
}

// TestMetricNames finds metrics of the dashboard and the alarms that docs/operations.md does not have.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	manual := read(t, "../docs/operations.md")
	for _, file := range []string{"grafana/postern.json", "prometheus/alerts.yml"} {
		names := regexp.MustCompile(`\bpostern_\w+`).FindAllString(read(t, file), -1)
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			series := regexp.MustCompile(`_seconds_(bucket|sum|count)$`).ReplaceAllString(name, "_seconds")
			if !strings.Contains(manual, "| `"+series+"` |") {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
		if len(names) < 5 {
			t.Errorf("%s: only %v", file, names)
		}
	}
}

// TestPostfixAgrees lets Postfix read its settings, and compares its ports with Postern's.
func TestPostfixAgrees(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "/usr/sbin/postconf", "-c", "postfix", "-n")
	var settings, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &settings, &complaints
	if err := cmd.Run(); err != nil || complaints.Len() > 0 {
		t.Errorf("postconf: %v\n%s", err, complaints.String())
	}
	image := strings.Join(imageEnvironment(t), "\n")
	for _, pair := range []struct{ postfix, postern string }{
		{"virtual_transport = lmtp:inet:127.0.0.1:24\n", "POSTERN_LMTP_LISTEN=:24\n"},
		{"virtual_mailbox_maps = socketmap:inet:127.0.0.1:2526:recipient\n", "POSTERN_POSTFIX_LISTEN=:2526"},
	} {
		if !strings.Contains(settings.String(), pair.postfix) || !strings.Contains(image, pair.postern) {
			t.Errorf("main.cf and Dockerfile do not agree on %q and %q", pair.postfix, pair.postern)
		}
	}
	for _, script := range []string{"init.sh", "postfix/start"} {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}

// TestPostgresSettings holds the container's settings of PostgreSQL and postgresql.conf to each other.
func TestPostgresSettings(t *testing.T) {
	t.Parallel()
	listed := func(pattern, text string) map[string]string {
		found := make(map[string]string)
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			found[m[1]] = m[2]
		}
		return found
	}
	file := listed(`(?m)^(\w+) = (\S+)$`, read(t, "postgresql.conf"))
	container := listed(`-c (\w+)=(\S+)`, strings.Join(project(t).Services["postgres"].Command, " "))
	if !maps.Equal(file, container) || len(file) < 20 {
		t.Errorf("postgresql.conf: %v\ncompose.yaml: %v", file, container)
	}
}

// TestUnit has systemd judge how much the service could do if somebody took it over: 0.0 is nothing, 10.0 everything.
func TestUnit(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20",
		"postern.service").CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
