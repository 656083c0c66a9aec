package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"postern/pkg/listen/freeport"
)

// outcome is what a command left behind.
type outcome struct {
	status   int
	out, err string
}

// postern runs a command line as main does.
func postern(ctx context.Context, stdin string, args ...string) outcome {
	cmd := root()
	var out, errs bytes.Buffer
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	status := run(ctx, cmd)
	return outcome{status, out.String(), errs.String()}
}

// dataDir is a folder that the private PostgreSQL's user may enter.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postern-cmd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

// TestHelp: every command says what it is for and how it is written, and the settings are listed once.
func TestHelp(t *testing.T) {
	t.Parallel()
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Name() == "completion" || cmd.Name() == "help" {
			return // cobra's own
		}
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		got := postern(t.Context(), "", args...)
		if got.status != 0 || got.err != "" || !strings.Contains(got.out, "Usage:\n  "+cmd.CommandPath()) {
			t.Errorf("%s: %+v", cmd.CommandPath(), got)
		}
		if settings := strings.Contains(got.out, "--imap-listen"); settings == cmd.HasParent() {
			t.Errorf("%s lists the settings: %v", cmd.CommandPath(), settings)
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: %q", cmd.CommandPath(), cmd.Short)
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(root())
}

// TestRefusals has command lines that are wrong. Each ends with status 1 and one error that says what to do.
func TestRefusals(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	few, odd := filepath.Join(t.TempDir(), "few"), filepath.Join(t.TempDir(), "odd")
	for path, text := range map[string]string{few: "# one\nu@example.org:x:y\n", odd: "\nu@example.org\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for line, want := range map[string]string{
		"nonsense":                       `there is no command "postern nonsense"; "postern --help"`,
		"acount list":                    `there is no command "postern acount" (did you mean "account"?)`,
		"account nonsense":               `there is no command "postern account nonsense"; "postern account --help"`,
		"account add":                    `it is "postern account add ADDRESS [flags]"`,
		"account add a b":                `it is "postern account add ADDRESS [flags]"`,
		"alias add a@example.org":        `it is "postern alias add ADDRESS TARGET... [flags]"`,
		"serve now":                      `it is "postern serve [flags]"`,
		"serve --nonsense":               `unknown flag: --nonsense; "postern serve --help" lists the flags`,
		"serve --log-level=loud":         `log.level (--log-level): "loud" is not known`,
		"config check --imap-listen=993": `imap.listen (--imap-listen): "993" is not an address`,
		"config check --config=/nowhere": "configuration file: open /nowhere",
		"config check --auth-mechanisms=PLAIN,x --imap-disable=y":                                                                    `auth.mechanisms: "x"`,
		"config check --auth-ldap-urls=ldaps://a --auth-ldap-domains=b.org --auth-ldap-base=dc=b --auth-ldap-filter=(mail={address}": "auth.ldap: filter: ",
		"account add a@example.org --password-stdin --quota=much":                                                                    `quota "much": write a size`,
		"account add a@example.org --password-stdin":                                                                                 "no password on standard input",
		"account passwd a@example.org":                                                                                               "use --password-stdin",
		"account add a@example.org --hash-stdin":                                                                                     "no hash on standard input",
		"account list --data-dir=" + blocked + "/data":                                                                               "name another with --data-dir",
		"bench":                      "no server to measure: give --imap",
		"bench --imap=127.0.0.1:993": "no accounts: give --users-file",
		"bench --imap=127.0.0.1:993 --user-pattern=u@example.org":                                  "%d must stand where the number comes",
		"bench --imap=127.0.0.1:993 --user-pattern=u%d@example.org":                                "--user-pattern needs --password-file",
		"bench --imap=127.0.0.1:993 --users-file=/nowhere":                                         "--users-file: open /nowhere",
		"bench --imap=127.0.0.1:993 --users-file=" + few:                                           "1 accounts are too few",
		"bench --imap=127.0.0.1:993 --users-file=" + odd:                                           "line 2 of " + odd + " is not",
		"bench --imap=127.0.0.1:993 --users-file=" + few + " --ca-file=" + few:                     "--ca-file: no certificate in",
		"bench --steps=fecth-*":                                                                    `there is no step "fecth-*"; "postern bench --list"`,
		"health --http-listen=off":                                                                 "http.listen is off",
		"health --http-listen=127.0.0.1:1":                                                         `is "postern serve" running?`,
		"account list --embedded-bin-dir=/nowhere --data-dir=" + t.TempDir():                       "no PostgreSQL server found in /nowhere",
		"account list --database-url=postgres://u:hunter2@127.0.0.1:1/d --data-dir=" + t.TempDir(): "Is database.url right",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			got := postern(t.Context(), "", strings.Fields(line)...)
			if got.status != 1 || got.out != "" || !strings.HasPrefix(got.err, "postern: ") || !strings.Contains(got.err, want) {
				t.Errorf("got %+v, want %q", got, want)
			}
			if strings.Contains(got.err, "hunter2") {
				t.Errorf("a password is told: %s", got.err)
			}
		})
	}
}

// TestSeveralProblems: what is wrong with the settings is said all at once.
func TestSeveralProblems(t *testing.T) {
	t.Parallel()
	got := postern(t.Context(), "", "serve", "--log-level=loud", "--imap-listen=993", "--store-cache=x")
	for _, key := range []string{"log.level", "imap.listen", "store.cache"} {
		if got.status != 1 || !strings.Contains(got.err, key) {
			t.Errorf("%s: %+v", key, got)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if got := postern(t.Context(), "", args...); got.status != 0 || !strings.HasPrefix(got.out, "postern "+version) {
			t.Errorf("%v: %+v", args, got)
		}
	}
	var parsed map[string]string
	got := postern(t.Context(), "", "version", "--json")
	if err := json.Unmarshal([]byte(got.out), &parsed); err != nil || parsed["version"] != version {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestConfig: config show prints settings even if they are wrong, and then fails; no password is shown.
func TestConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got := postern(t.Context(), "", "config", "check", "--data-dir", dir); got != (outcome{0, "The settings are in order.\n", ""}) {
		t.Errorf("config check: %+v", got)
	}
	url := "--database-url=postgres://u:hunter2@127.0.0.1/d"
	got := postern(t.Context(), "", "config", "show", "--data-dir", dir, url, "--log-level=loud")
	if got.status != 1 || !strings.Contains(got.out, "postgres://u:***@127.0.0.1/d") || strings.Contains(got.out, "hunter2") ||
		!strings.Contains(got.err, "log.level") {
		t.Errorf("config show: %+v", got)
	}
	var rows []map[string]any
	got = postern(t.Context(), "", "config", "show", "--json", "--data-dir", dir, url)
	if err := json.Unmarshal([]byte(got.out), &rows); err != nil || got.status != 0 || len(rows) < 20 || strings.Contains(got.out, "hunter2") {
		t.Errorf("config show --json: %+v, %v", got, err)
	}
}

// session runs command lines against one data folder.
type session struct {
	t    *testing.T
	args []string // settings
}

// says runs a command that must succeed and say want.
func (s session) says(want, stdin, line string) string {
	s.t.Helper()
	got := postern(s.t.Context(), stdin, append(strings.Fields(line), s.args...)...)
	if got.status != 0 || !strings.Contains(got.out, want) {
		s.t.Errorf("%s: %+v, want %q", line, got, want)
	}
	return got.out
}

// fails runs a command that must fail for want.
func (s session) fails(want, stdin, line string) {
	s.t.Helper()
	got := postern(s.t.Context(), stdin, append(strings.Fields(line), s.args...)...)
	if got.status != 1 || !strings.Contains(got.err, want) {
		s.t.Errorf("%s: %+v, want %q", line, got, want)
	}
}

// TestAdministration does what an operator does to accounts and aliases, before the first start of the server, while it
// serves and after it has stopped.
func TestAdministration(t *testing.T) {
	t.Parallel()
	s := session{t, []string{"--data-dir", dataDir(t), "--hostname=localhost"}}
	for _, name := range []string{"imap", "pop3", "lmtp", "http"} {
		s.args = append(s.args, "--"+name+"-listen", freeport.For(t))
	}
	s.says("Added anna@example.org.", "correct horse battery\n", "account add anna@example.org --password-stdin --quota 2GB")
	s.says("has this program's schema", "", "migrate")

	ctx, stop := context.WithCancel(t.Context())
	served := make(chan outcome, 1)
	go func() { served <- postern(ctx, "", append([]string{"serve"}, s.args...)...) }()
	t.Cleanup(stop)
	s.awaitReady()
	s.accounts()
	s.aliases()
	s.undeletes()
	stop()
	if got := <-served; got.status != 0 {
		t.Errorf("serve: %+v", got)
	}
	s.says("anna@example.org  active  0         0 B   2.0 GB", "", "account list")
	s.says("Deleted anna@example.org.", "", "account delete anna@example.org --yes")
}

func (s session) accounts() {
	s.t.Helper()
	s.says("Added bert@example.org.", "correct horse battery\n", "account add bert@example.org --password-stdin")
	s.fails("is an account or an alias already", "correct horse battery\n", "account add Bert@Example.ORG --password-stdin")
	s.fails("is not an address", "correct horse battery\n", "account add bert --password-stdin")
	s.fails(`"postern account list" shows`, "", "account show nobody@example.org")
	s.fails("password is too weak: 6 characters", "short!\n", "account passwd bert@example.org --password-stdin")
	s.fails("password is too weak: strength", "password123\n", "account passwd bert@example.org --password-stdin")
	s.fails("not a password hash that can be imported", "{MD5}x\n", "account passwd bert@example.org --hash-stdin")
	s.fails("nothing to set", "", "account set bert@example.org")
	s.says("Changed the password", "other horse battery\n", "account passwd bert@example.org --password-stdin")
	s.says("bert@example.org is disabled.", "", "account disable bert@example.org")
	var one accountJSON
	if err := json.Unmarshal([]byte(s.says("", "", "account show bert@example.org --json")), &one); err != nil || one.State != "disabled" {
		s.t.Errorf("%+v, %v", one, err)
	}
	s.says("bert@example.org is enabled.", "", "account enable bert@example.org")
	s.says("bert@example.org does without IDLE, MOVE.", "", "account capabilities bert@example.org --disable move,IDLE")
	s.says("bert@example.org does without IDLE, MOVE.", "", "account capabilities bert@example.org")
	s.fails(`"NONSENSE" is not a capability`, "", "account capabilities bert@example.org --disable NONSENSE")
	s.says("bert@example.org has every capability.", "", "account capabilities bert@example.org --reset")
	var all []accountJSON
	if err := json.Unmarshal([]byte(s.says("", "", "account list --json")), &all); err != nil || len(all) != 2 ||
		all[0].Address != "anna@example.org" || all[0].QuotaBytes != 2_000_000_000 || all[1].State != "active" {
		s.t.Errorf("%+v, %v", all, err)
	}
}

func (s session) undeletes() {
	s.t.Helper()
	s.says("EXPUNGED", "", "undelete anna@example.org --list")
	s.says("Restored 0 messages of anna@example.org.", "", "undelete anna@example.org --since 2h --mailbox INBOX")
	s.fails("write a duration", "", "undelete anna@example.org --since yesterday")
}

func (s session) aliases() {
	s.t.Helper()
	s.says("Mail for sales@example.org goes to", "", "alias add sales@example.org anna@example.org bert@example.org")
	s.says("Mail for @example.org goes to", "", "alias add @example.org anna@example.org")
	s.fails("must be an account or an alias", "", "alias add x@example.org nobody@example.org")
	s.fails("lead back to itself", "", "alias add sales@example.org sales@example.org")
	s.says("Deleted", "", "alias delete sales@example.org bert@example.org")
	s.fails(`"postern alias list" shows`, "", "alias delete sales@example.org bert@example.org")
	var all []aliasJSON
	if err := json.Unmarshal([]byte(s.says("", "", "alias list --json")), &all); err != nil || len(all) != 2 ||
		all[1].Address != "sales@example.org" || strings.Join(all[1].Targets, " ") != "anna@example.org" {
		s.t.Errorf("%+v, %v", all, err)
	}
	s.says("sales@example.org  anna@example.org", "", "alias list")
}

// awaitReady asks as an operator does after a start.
func (s session) awaitReady() {
	s.t.Helper()
	if got := postern(s.t.Context(), "", append([]string{"health", "--wait=1m"}, s.args...)...); got.status != 0 {
		s.t.Fatalf("not ready: %+v", got)
	}
}

// TestInterrupted: a command that is told to stop says so, and a server that is told to stop before it is up has done
// what it was told.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := dataDir(t)
	if got := postern(ctx, "", "account", "list", "--data-dir", dir); got.status != 1 || got.err != "postern: interrupted\n" {
		t.Errorf("account list: %+v", got)
	}
	if got := postern(ctx, "", "serve", "--data-dir", dir); got.status != 0 || got.err != "" {
		t.Errorf("serve: %+v", got)
	}
}

// TestServes tells which commands go on.
func TestServes(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"serve": true, "--config x serve": true, "serve --config x": true, "--imap-listen=:993 serve": true,
		"": false, "health": false, "account list": false, "serves": false, "--help": false, "config show": false,
	} {
		if got := serves(root(), strings.Fields(line)); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
