package gateway_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"postern/pkg/auth"
	"postern/pkg/bench"
	"postern/pkg/config"
	"postern/pkg/gateway"
)

// target is the server as "postern bench" sees it, with accounts that nobody else uses.
func (s *server) target(t *testing.T) bench.Target {
	t.Helper()
	c, err := config.Load(config.Source{Environ: func() []string { return s.env }})
	if err != nil {
		t.Fatal(err)
	}
	backend, err := gateway.OpenForCommand(t.Context(), gateway.Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	secret, err := auth.Hash(password)
	if err != nil {
		t.Fatal(err)
	}
	target := bench.Target{
		Name: "Postern", LMTP: s.lmtp, IMAP: s.imap, POP3: s.pop3, TLS: insecure,
		Memory:  bench.MemoryOf(s.cmd.Process.Pid),
		Restart: func(context.Context) error { return nil }, // others use it
	}
	for i := range bench.MinLogins {
		user := fmt.Sprintf("measure%d.%s@example.org", i, strings.ToLower(rand.Text()))
		if _, err := backend.Store.CreateAccount(t.Context(), user, secret, 0); err != nil {
			t.Fatal(err)
		}
		target.Logins = append(target.Logins, bench.Login{Address: user, Password: password})
	}
	return target
}

// TestMeasure has "postern bench" do all its work, little of it: every step gets right answers and a figure, and a second
// one finds what the first left. Then come targets that cannot be measured.
func TestMeasure(t *testing.T) {
	t.Parallel()
	target := shared.target(t)
	o := bench.Options{Messages: 60, Burst: 20, Sample: 10, Idlers: 10, Seed: 1, Least: -1}
	b, err := bench.Open(t.Context(), target, o)
	if err != nil {
		t.Fatal(err)
	}
	report, err := b.Measure(t.Context(), bench.Steps(), 1, func(bench.Row) {})
	if err != nil {
		t.Fatalf("after %d rows: %v", len(report.Rows), err)
	}
	for _, r := range report.Rows {
		if r.Reason != "" || len(r.Values) != 1 || r.Value <= 0 && r.Name != "idle-memory" {
			t.Errorf("%+v", r)
		}
	}
	o.Progress = func(what string, _, _ int) {
		if strings.Contains(what, "filling") {
			t.Error("the archive is filled again")
		}
	}
	if _, err := bench.Open(t.Context(), target, o); err != nil {
		t.Errorf("a second time: %v", err)
	}
	refusals(t, target)
	commandLine(t, target)
}

// commandLine has the program do two of the steps with what the first Bench left, for people and for scripts.
func commandLine(t *testing.T, target bench.Target) {
	t.Helper()
	var users strings.Builder
	for _, l := range target.Logins {
		fmt.Fprintf(&users, "%s:%s\n", l.Address, l.Password)
	}
	args := []string{
		"bench", "--imap", target.IMAP, "--insecure", "--users-file", write(t, t.TempDir(), "users", users.String()),
		"--messages", "60", "--steps", "search-flags,pop3-uidl", "--runs", "2",
	}
	out, err := shared.postern("", args...)
	if err != nil || !strings.Contains(out, "search-flags") || !strings.Contains(out, "left out: no address for POP3") {
		t.Errorf("for people: %v\n%s", err, out)
	}
	out, err = shared.postern("", append(args, "--json")...)
	var report bench.Report
	if err == nil {
		err = json.Unmarshal([]byte(out), &report)
	}
	if err != nil || len(report.Rows) != 2 || len(report.Rows[0].Values) != 2 || report.Rows[1].Reason == "" || report.Options.Messages != 60 {
		t.Errorf("for scripts: %v\n%s", err, out)
	}
}

// refusals: what is wrong with a target is said, in errors that a program can tell apart.
func refusals(t *testing.T, right bench.Target) {
	t.Helper()
	open := func(change func(*bench.Target)) error {
		target := right
		target.Logins = append([]bench.Login(nil), right.Logins...)
		change(&target)
		_, err := bench.Open(t.Context(), target, bench.Options{Messages: 60})
		return err
	}
	if err := open(func(x *bench.Target) { x.TLS = nil }); !errors.Is(err, bench.ErrUntrusted) {
		t.Errorf("a certificate that is not trusted: %v", err)
	}
	err := open(func(x *bench.Target) { x.Logins = x.Logins[1:] })
	if err == nil || !strings.Contains(err.Error(), "are too few") {
		t.Errorf("too few accounts: %v", err)
	}
}
