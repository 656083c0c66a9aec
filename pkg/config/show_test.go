package config

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the example file anew")

const exampleFile = "../../deploy/postern.toml.example"

// TestExample has the example file say what the program knows: it names every setting, and uncommented it changes
// nothing.
func TestExample(t *testing.T) {
	t.Parallel()
	if *update {
		if err := os.WriteFile(exampleFile, []byte(Example()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != Example() {
		t.Fatal("deploy/postern.toml.example is not what the settings make it; run go test ./pkg/config -update")
	}
	plain, err := given{}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	commented, err := given{file: string(text)}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	uncommented, err := given{file: regexp.MustCompile(`(?m)^#([a-z_0-9]+ = )`).ReplaceAllString(string(text), "$1")}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	for i := range settings {
		if key := settings[i].key; !uncommented.IsSet(key) {
			t.Errorf("%s is not in the example", key)
		}
	}
	commented.origin, uncommented.origin = plain.origin, plain.origin
	if !reflect.DeepEqual(plain, commented) || !reflect.DeepEqual(plain, uncommented) {
		t.Errorf("default     %+v\ncommented   %+v\nuncommented %+v", plain, commented, uncommented)
	}
}

// TestTable has every row of the table be one that works.
func TestTable(t *testing.T) {
	t.Parallel()
	fields := make(map[any]string)
	names := make(map[string]string)
	var c Config
	for i := range settings {
		s := &settings[i]
		if other, ok := fields[s.field(&c)]; ok {
			t.Errorf("%s and %s are kept in one place", s.key, other)
		}
		fields[s.field(&c)] = s.key
		for _, name := range []string{s.flag(), s.variable()} {
			if other, ok := names[name]; ok {
				t.Errorf("%s and %s are both called %s", s.key, other, name)
			}
			names[name] = s.key
		}
		if foreign.MatchString(s.variable()) {
			t.Errorf("%s is taken for another program's", s.variable())
		}
		if s.preset != "" {
			if err := s.assign(&c, s.preset); err != nil {
				t.Errorf("%s: %v", s.key, err)
			}
			if got := s.value(&c); got != s.preset {
				t.Errorf("%s = %s, shown as %s", s.key, s.preset, got)
			}
		}
		if s.doc == "" || !strings.HasSuffix(s.doc, ".") {
			t.Errorf("%s is not explained", s.key)
		}
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	c, err := given{
		file: "[database]\nmax_conns = 8\n",
		env:  []string{"POSTERN_DATABASE_URL=postgres://postern:hunter2@db/postern"},
	}.load(t)
	if err != nil {
		t.Fatal(err)
	}
	var people, programs strings.Builder
	if err := c.Show(&people); err != nil {
		t.Fatal(err)
	}
	if err := c.ShowJSON(&programs); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(people.String()+programs.String(), "hunter2") {
		t.Error("the password is shown")
	}
	for _, want := range []string{
		`(?m)^database.url +"postgres://postern:\*\*\*@db/postern" +# POSTERN_DATABASE_URL$`,
		`(?m)^database.max_conns +"8" +# .*postern.toml:2$`,
		`(?m)^imap.listen +":993" +# default$`,
	} {
		if !regexp.MustCompile(want).MatchString(people.String()) {
			t.Errorf("%s is not in\n%s", want, people.String())
		}
	}
	var list []Shown
	if err := json.Unmarshal([]byte(programs.String()), &list); err != nil || len(list) != len(settings) {
		t.Errorf("%d settings in JSON, %v", len(list), err)
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"":                                          "",
		"postgres://h/d":                            "postgres://h/d",
		"postgres://u@h/d":                          "postgres://u@h/d",
		"postgres://u:s3cret@h/d":                   "postgres://u:***@h/d",
		"postgres://u:s3@cret@h/d":                  "postgres://u:***@h/d",
		"postgres://u:s3/cret@h/d":                  "postgres://u:***@h/d",
		"postgres://u:s3%zzcret@h/d":                "postgres://u:***@h/d",
		"postgres://u:s3cret@a:1,b:2/d?x=y":         "postgres://u:***@a:1,b:2/d?x=y",
		"postgres://h/d?user=u&password=s3cret&x=y": "postgres://h/d?user=u&password=***&x=y",
		"postgres://h/d?sslpassword=s3cret":         "postgres://h/d?sslpassword=***",
		"host=h password=s3cret dbname=d":           "host=h password=*** dbname=d",
		`host=h password = 's3 \' cret' dbname=d`:   `host=h password = *** dbname=d`,
		"host=h PASSWORD=s3cret":                    "host=h PASSWORD=***",
		"s3cret":                                    "***",
	} {
		if got := mask(dsn); got != want {
			t.Errorf("mask(%q) = %q, want %q", dsn, got, want)
		}
	}
}
