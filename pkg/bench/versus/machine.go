package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"postern/pkg/store/postgres/floor"
)

// machine tells what the figures depend on here. What this system does not say is left out.
func machine(dir string) []fact {
	facts := []fact{{"Machine", fmt.Sprintf("%s, %d cores, %s of memory, %s %s, for servers and client together",
		processor(), runtime.NumCPU(), memory(), runtime.GOOS, kernel())}}
	return append(facts, fact{"Files", filesystem(dir)})
}

// field is the value of the first line that begins with a name, in a file of lines "name: value".
func field(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func processor() string { return field("/proc/cpuinfo", "model name") }

func memory() string {
	kb, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return "unknown size"
	}
	return fmt.Sprintf("%.0f GiB", float64(kb)/(1<<20))
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	release, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-") // the rest is whose build it is
	return release
}

// filesystem is the kind of that on which a folder lies: of the longest mount point above it.
func filesystem(dir string) string {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "unknown"
	}
	longest, kind := "", "unknown"
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 4 || len(f[1]) < len(longest) {
			continue
		}
		if below := strings.TrimSuffix(f[1], "/") + "/"; strings.HasPrefix(dir+"/", below) {
			longest, kind = f[1], f[2]+" ("+f[3]+")"
		}
	}
	return kind
}

// versions tells which programs were measured.
func versions(ctx context.Context, posternBinary string, pg map[string]string) ([]fact, error) {
	ours, err := exec.CommandContext(ctx, posternBinary, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("version of Postern: %w", err)
	}
	theirs, err := exec.CommandContext(ctx, dovecotBinary(), "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("version of Dovecot: %w", err)
	}
	return []fact{{"Versions", fmt.Sprintf("%s (%s) with PostgreSQL %s; Dovecot %s", strings.TrimSpace(string(ours)), runtime.Version(),
		pg["server_version"], strings.TrimSpace(string(theirs)))}}, nil
}

// durable are PostgreSQL's settings that say what a commit is worth.
var durable = []string{"fsync", "synchronous_commit", "full_page_writes", "wal_sync_method"}

// askPostgres reads settings back from the running server.
func askPostgres(ctx context.Context, dsn string) (map[string]string, error) {
	f, err := floor.Open(ctx, dsn, 1)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Settings(ctx, append([]string{"server_version"}, durable...)...)
}

// durability tells what an answer of each server is worth, as they run.
func durability(ctx context.Context, pg map[string]string, d *dovecot) (fact, error) {
	var said []string
	for _, name := range durable {
		said = append(said, name+" = "+pg[name])
	}
	fsync, err := d.setting(ctx, "mail_fsync")
	if err != nil {
		return fact{}, err
	}
	return fact{"Durability", fmt.Sprintf("PostgreSQL %s; Dovecot mail_fsync = %s", strings.Join(said, ", "), fsync)}, nil
}

// encryption tells what the two speak with a client like ours; it should be the same.
func encryption(ctx context.Context, c *tls.Config, ours, theirs string) (fact, error) {
	var said []string
	for _, addr := range []string{ours, theirs} {
		conn, err := (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return fact{}, fmt.Errorf("what TLS is spoken: %w", err)
		}
		state := conn.(*tls.Conn).ConnectionState()
		said = append(said, fmt.Sprintf("%s %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite)))
		conn.Close()
	}
	if said[0] == said[1] {
		return fact{"TLS", said[0] + ", the same certificate"}, nil
	}
	return fact{"TLS", "Postern " + said[0] + ", Dovecot " + said[1] + ", the same certificate"}, nil
}
