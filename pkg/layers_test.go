// Package pkg_test guards the shape of the repository: which package may import which, and where SQL may stand.
package pkg_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A layer says what a package may import: our packages, by path below postern/, and third-party modules, by prefix. The
// standard library is free. docs/architecture.md tells the same in prose.
type layer struct {
	ours   []string
	theirs []string
	reason string
}

const (
	goIMAP     = "github.com/emersion/go-imap/v2"
	goSASL     = "github.com/emersion/go-sasl"
	pgx        = "github.com/jackc/pgx/v5"
	puddle     = "github.com/jackc/puddle/v2" // the pool below pgx's: its error says that the pool is closed
	goose      = "github.com/pressly/goose/v3"
	compress   = "github.com/klauspost/compress"
	prometheus = "github.com/prometheus/client_golang"
	zap        = "go.uber.org/zap"
	koanf      = "github.com/knadh/koanf"
	pflag      = "github.com/spf13/pflag"
	cobra      = "github.com/spf13/cobra"
	humanize   = "github.com/dustin/go-humanize"
	certmagic  = "github.com/caddyserver/certmagic"
	acmez      = "github.com/mholt/acmez/v3"
	libdns     = "github.com/libdns/libdns"
	miekgDNS   = "github.com/miekg/dns"
	xnet       = "golang.org/x/net"
	xtext      = "golang.org/x/text"
	xsync      = "golang.org/x/sync"
	xcrypto    = "golang.org/x/crypto"
	argon2id   = "github.com/alexedwards/argon2id"
	goCrypt    = "github.com/go-crypt/crypt"
	zxcvbn     = "github.com/ccojocar/zxcvbn-go"
	scram      = "github.com/xdg-go/scram"
	goOIDC     = "github.com/coreos/go-oidc/v3"
	goJOSE     = "github.com/go-jose/go-jose/v4"
	otp        = "github.com/pquerna/otp"
	barcode    = "github.com/boombuler/barcode"
	memlimit   = "github.com/KimMachineGun/automemlimit"
	goLDAP     = "github.com/go-ldap/ldap/v3"

	progressbar = "github.com/schollz/progressbar/v3"
)

var layers = map[string]layer{
	"pkg/message": {theirs: []string{xtext}, reason: "a leaf: it reads octets and knows neither store nor protocol"},
	"pkg/order": {
		ours: []string{"pkg/message"}, theirs: []string{xtext},
		reason: "keys and orders of messages: it knows neither store nor protocol",
	},
	"pkg/imap/wire":  {theirs: []string{goIMAP, xtext}, reason: "tokens only: it knows no command"},
	"pkg/config":     {theirs: []string{koanf, pflag, humanize, memlimit}, reason: "only gateway and cmd read the configuration"},
	"pkg/embedded":   {reason: "runs a PostgreSQL, speaks no SQL"},
	"pkg/listen":     {theirs: []string{zap, xsync}, reason: "makes listeners, knows no protocol"},
	"pkg/transcript": {reason: "test support that knows no protocol"},
	"pkg/allocs":     {reason: "test support that knows no package it measures"},
	"pkg/serve":      {theirs: []string{zap, prometheus}, reason: "the life of connections, whatever they speak"},
	"pkg/observe":    {theirs: []string{zap, prometheus}, reason: "builds logger and metrics, knows no package that uses them"},
	"migrations":     {reason: "SQL files and their embed.FS"},

	"pkg/store": {ours: []string{"pkg/message", "pkg/order"}, theirs: []string{goIMAP, xtext}, reason: "what mail is: no SQL, no protocol"},
	"pkg/auth": {
		ours: []string{"pkg/store"}, theirs: []string{goSASL, argon2id, goCrypt, scram, otp, zxcvbn, xcrypto, xtext, zap},
		reason: "credentials to accounts: no protocol, no SQL",
	},
	"pkg/oauth": {
		ours: []string{"pkg/auth"}, theirs: []string{goOIDC, goJOSE, prometheus, zap},
		reason: "tokens and their providers: neither accounts nor SASL",
	},
	"pkg/directory": {
		ours: []string{"pkg/auth"}, theirs: []string{goLDAP, prometheus, zap},
		reason: "passwords kept elsewhere: neither accounts nor SASL",
	},
	"pkg/directory/slapdtest": {ours: []string{"pkg/certs/certtest", "pkg/listen/freeport"}, reason: "an LDAP server for tests"},
	"pkg/oauth/oauthtest":     {theirs: []string{goJOSE}, reason: "a provider for tests"},
	"pkg/store/postgres": {
		ours:   []string{"pkg/store", "pkg/auth", "pkg/message", "pkg/order", "migrations"},
		theirs: []string{goIMAP, pgx, puddle, goose, compress, zap, prometheus, xsync, xcrypto, xtext, certmagic, xnet},
		reason: "the only SQL; it knows no protocol",
	},
	"pkg/store/postgres/floor": {theirs: []string{pgx}, reason: "the least SQL there is, to compare with: it knows no store"},
	"pkg/store/postgres/pgtest": {
		ours: []string{"pkg/embedded", "pkg/store/postgres", "pkg/store/postgres/floor", "migrations"}, theirs: []string{pgx, goose, zap},
		reason: "databases for tests",
	},
	"pkg/store/memory": {
		ours: []string{"pkg/store", "pkg/auth", "pkg/message", "pkg/order"}, theirs: []string{goIMAP},
		reason: "the model for tests: plain maps",
	},
	"pkg/store/storetest": {
		ours: []string{"pkg/store", "pkg/message", "pkg/order"}, theirs: []string{goIMAP},
		reason: "the contract must not know who keeps it",
	},
	"pkg/imap": {
		ours:   []string{"pkg/imap/wire", "pkg/auth", "pkg/store", "pkg/message", "pkg/order", "pkg/serve"},
		theirs: []string{compress, goIMAP, zap, prometheus, xtext}, reason: "a protocol never imports another, nor a concrete store",
	},
	"pkg/pop3": {
		ours:   []string{"pkg/auth", "pkg/store", "pkg/message", "pkg/serve"},
		theirs: []string{goIMAP, zap, prometheus}, reason: "a protocol never imports another, nor a concrete store",
	},
	"pkg/lmtp": {
		ours:   []string{"pkg/store", "pkg/message", "pkg/serve"},
		theirs: []string{goIMAP, zap, prometheus, xsync}, reason: "a protocol never imports another, nor a concrete store",
	},
	"pkg/postfix": {
		ours: []string{"pkg/store", "pkg/serve"}, theirs: []string{zap, prometheus},
		reason: "answers questions: it changes nothing and knows no other protocol",
	},
	"pkg/bench": {theirs: []string{xtext, xsync}, reason: "measures servers of any make from outside: it shares nothing with ours"},
	"pkg/bench/versus": {
		ours:   []string{"pkg/bench", "pkg/auth", "pkg/config", "pkg/embedded", "pkg/gateway", "pkg/store/postgres/floor"},
		reason: "starts Postern as an operator does, another server beside it, and compares; nothing imports it",
	},
	"pkg/certs":           {theirs: []string{certmagic, acmez, libdns, miekgDNS, zap}, reason: "hands out a *tls.Config"},
	"pkg/certs/acmetest":  {ours: []string{"pkg/certs/certtest", "pkg/listen/freeport"}, theirs: []string{miekgDNS}, reason: "a CA for tests"},
	"pkg/certs/certtest":  {reason: "a leaf: certificates for servers that tests start"},
	"pkg/listen/freeport": {reason: "a leaf: ports for programs that tests start"},
	"pkg/gateway":         {reason: "wires everything", ours: []string{"pkg", "migrations"}, theirs: []string{""}},
	"pkg/slack":           {reason: "a leaf: what a process is before it serves"},
	"deploy":              {reason: "tests of its files only"},
	"pkg":                 {reason: "tests of the repository only"},
	"cmd/postern": {
		ours:   []string{"pkg/gateway", "pkg/config", "pkg/store", "pkg/store/postgres", "pkg/auth", "pkg/observe", "pkg/bench", "pkg/slack"},
		theirs: []string{cobra, pflag, zap, humanize, progressbar, barcode, "golang.org/x/term"}, reason: "flags and exit codes; no logic",
	},
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Doc        string
	GoFiles    []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Doc,GoFiles", "postern/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// TestLayers holds every package to its row. A package without a row fails: give it one, with its reason.
func TestLayers(t *testing.T) {
	t.Parallel()
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, "postern/")
		row, ok := layers[name]
		if !ok {
			t.Errorf("%s has no row in the table of layers", name)
			continue
		}
		for _, imported := range p.Imports {
			if !row.allows(imported) {
				t.Errorf("%s may not import %s: %s", name, imported, row.reason)
			}
		}
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", name)
		}
	}
}

func (l layer) allows(path string) bool {
	if ours, ok := strings.CutPrefix(path, "postern/"); ok {
		return slices.ContainsFunc(l.ours, func(o string) bool { return ours == o || o == "pkg" && strings.HasPrefix(ours, "pkg/") })
	}
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		return true
	}
	return slices.ContainsFunc(l.theirs, func(m string) bool { return path == m || strings.HasPrefix(path, m+"/") || m == "" })
}

// sqlText finds statements; words of English alone do not match.
var sqlText = regexp.MustCompile(`(?i)\b(select\s+[\w*,.\s()]+\s+from\s+\w+|insert\s+into\s+\w+|update\s+\w+\s+set\s+|delete\s+from\s+\w+)`)

// TestSQLInOnePlace finds SQL outside store/postgres and migrations.
func TestSQLInOnePlace(t *testing.T) {
	t.Parallel()
	walk(t, func(path string) {
		dir := filepath.ToSlash(path)
		if strings.Contains(dir, "/store/postgres/") || strings.Contains(dir, "/migrations/") || strings.HasSuffix(dir, "layers_test.go") {
			return
		}
		if strings.HasSuffix(path, ".sql") {
			t.Errorf("%s: SQL files stand in migrations/", path)
		}
		if !strings.HasSuffix(path, ".go") {
			return
		}
		for _, lit := range stringLiterals(t, path) {
			if sqlText.MatchString(lit) {
				t.Errorf("%s: SQL stands in pkg/store/postgres only: %s", path, lit)
			}
		}
	})
}

// longFiles lists the files over 500 lines, each with its reason.
var longFiles = map[string]string{}

// TestFileLength keeps files to 500 lines.
func TestFileLength(t *testing.T) {
	t.Parallel()
	walk(t, func(path string) {
		if !strings.HasSuffix(path, ".go") {
			return
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(filepath.ToSlash(path), "../")
		if n := strings.Count(string(content), "\n"); n > 500 && longFiles[name] == "" {
			t.Errorf("%s has %d lines: split it, or give its reason in longFiles", name, n)
		}
	})
}

func walk(t *testing.T, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "data" || d.Name() == ".git" || d.Name() == "bin"):
			return fs.SkipDir
		case !d.IsDir():
			visit(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func stringLiterals(t *testing.T, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			found = append(found, lit.Value)
		}
		return true
	})
	return found
}
