package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMajorVersion(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 18beta1\n":                        18,
		"postgres (PostgreSQL) 17devel":                          17,
		"postgres (PostgreSQL) 9.6.24":                           9,
		"postgres (EnterpriseDB) 15":                             0,
		"":                                                       0,
	} {
		got, err := majorVersion(out)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("majorVersion(%q) = %d, %v; want %d", out, got, err, want)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	installed := func(majors ...int) (found []binaries) {
		for _, n := range majors {
			found = append(found, binaries{fmt.Sprintf("/pg%d", n), n})
		}
		return found
	}
	for _, tt := range []struct {
		name  string
		found []binaries
		have  int
		want  int
		err   error
		words []string
	}{
		{name: "newest for a new cluster", found: installed(18, 17, 15), want: 18},
		{name: "the cluster's own", found: installed(18, 17, 15), have: 15, want: 15},
		{name: "nothing", err: ErrNoBinaries, words: []string{"apt-get install", "dnf install", "brew install", "embedded.bin_dir", "database.url"}},
		{name: "another version", found: installed(17), have: 15, err: ErrVersion, words: []string{"made by PostgreSQL 15", "is PostgreSQL 17", "pg_upgrade"}},
		{name: "too old", found: installed(14, 9), err: ErrVersion, words: []string{"PostgreSQL 14", "15 is the oldest"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := choose(tt.found, tt.have)
			if !errors.Is(err, tt.err) || (err == nil && got.major != tt.want) {
				t.Fatalf("choose = %+v, %v; want %d, %v", got, err, tt.want, tt.err)
			}
			for _, w := range tt.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

// install makes a folder with programs that only know their version.
func install(t *testing.T, dir string, major int) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %d.1'\n", major)
	for _, name := range []string{"initdb", "postgres"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSearchPlaces(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	inPath := install(t, filepath.Join(root, "path"), 16)
	install(t, filepath.Join(root, "usual/16/bin"), 16)
	newest := install(t, filepath.Join(root, "usual/18/bin"), 18)
	if err := os.MkdirAll(filepath.Join(root, "usual/19/bin"), 0o755); err != nil {
		t.Fatal(err) // client programs only: not a server
	}
	got := searchPlaces([]string{inPath, filepath.Join(root, "nowhere")}, []string{filepath.Join(root, "usual/*/bin")})
	if len(got) != 3 || got[0].dir != newest || got[1].dir != inPath {
		t.Errorf("searchPlaces = %+v", got)
	}
	for _, pattern := range usualPlaces {
		if _, err := filepath.Match(pattern, "x"); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}

// TestBinDir has the setting name a folder that will not do.
func TestBinDir(t *testing.T) {
	t.Parallel()
	opt := options(t)
	opt.BinDir = t.TempDir()
	if _, err := Start(within(t), opt); !errors.Is(err, ErrNoBinaries) || !strings.Contains(err.Error(), opt.BinDir) {
		t.Errorf("an empty folder: %v", err)
	}
	opt.BinDir = install(t, filepath.Join(t.TempDir(), "bin"), 97)
	cluster := filepath.Join(opt.DataDir, "cluster")
	if err := os.Mkdir(cluster, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cluster, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(within(t), opt)
	if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "PostgreSQL 15") || !strings.Contains(err.Error(), "PostgreSQL 97") {
		t.Errorf("a cluster of another version: %v", err)
	}
}
