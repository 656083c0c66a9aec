package embedded

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// oldest is the first major version whose SQL we use.
const oldest = 15

// usualPlaces are where packages put the server, beside PATH: Debian and Ubuntu, the PostgreSQL project's packages for
// Red Hat, Alpine, Homebrew on Apple and on Intel processors.
var usualPlaces = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
}

// binaries is one installed server.
type binaries struct {
	dir   string
	major int
}

func (b binaries) postgres() string { return filepath.Join(b.dir, "postgres") }
func (b binaries) initdb() string   { return filepath.Join(b.dir, "initdb") }

// findBinaries chooses the server to run: the one in dir if that is set, else the one of the cluster's major version
// (have, 0 for no cluster yet), else the newest.
func findBinaries(dir string, have int) (binaries, error) {
	if dir != "" {
		b, err := inspect(dir)
		if err != nil {
			return binaries{}, fmt.Errorf("%w in %s (%w); %s", ErrNoBinaries, dir, err, advice)
		}
		return b, suits(b, have)
	}
	return choose(searchPlaces(filepath.SplitList(os.Getenv("PATH")), usualPlaces), have)
}

// choose picks from what is installed, which is in order of preference.
func choose(found []binaries, have int) (binaries, error) {
	if len(found) == 0 {
		return binaries{}, fmt.Errorf("%w in PATH, %s; %s", ErrNoBinaries, strings.Join(usualPlaces, ", "), advice)
	}
	for _, b := range found {
		if b.major == have {
			return b, nil
		}
	}
	return found[0], suits(found[0], have)
}

const advice = "install it: “apt-get install postgresql” (Debian, Ubuntu), “dnf install postgresql-server” (Fedora, Red Hat), " +
	"“brew install postgresql@17” (macOS); or set embedded.bin_dir to the folder of initdb and postgres; " +
	"or set database.url to use a PostgreSQL that runs elsewhere"

func suits(b binaries, have int) error {
	if have != 0 && b.major != have {
		return fmt.Errorf("%w: the data folder was made by PostgreSQL %d, but %s is PostgreSQL %d; install PostgreSQL %d, "+
			"or bring the folder forward with pg_upgrade, or dump it with the old version and restore it into a new folder",
			ErrVersion, have, b.postgres(), b.major, have)
	}
	if b.major < oldest {
		return fmt.Errorf("%w: %s is PostgreSQL %d, but %d is the oldest that will do; %s", ErrVersion, b.postgres(), b.major, oldest, advice)
	}
	return nil
}

// searchPlaces lists what is installed, newest first. What is in path comes before what is not of the same version.
func searchPlaces(path, patterns []string) []binaries {
	dirs := slices.Clone(path)
	for _, pattern := range patterns {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			continue // a malformed pattern matches nothing; the table is tested
		}
		dirs = append(dirs, matches...)
	}
	var found []binaries
	for _, dir := range dirs {
		if b, err := inspect(dir); err == nil {
			found = append(found, b)
		}
	}
	slices.SortStableFunc(found, func(a, b binaries) int { return cmp.Compare(b.major, a.major) })
	return found
}

// inspect looks for a server in one folder and asks it for its version.
func inspect(dir string) (binaries, error) {
	b := binaries{dir: dir}
	for _, file := range []string{b.initdb(), b.postgres()} {
		if info, err := os.Stat(file); err != nil {
			return b, err
		} else if info.IsDir() || info.Mode()&0o111 == 0 {
			return b, fmt.Errorf("%s is not a program", file)
		}
	}
	out, err := exec.Command(b.postgres(), "--version").Output()
	if err != nil {
		return b, fmt.Errorf("%s --version: %w", b.postgres(), err)
	}
	b.major, err = majorVersion(string(out))
	return b, err
}

// majorVersion reads "postgres (PostgreSQL) 15.18 (Debian …)", "… 18beta1" and the like.
func majorVersion(out string) (int, error) {
	_, rest, ok := strings.Cut(out, "(PostgreSQL) ")
	if n := leadingNumber(rest); ok && n > 0 {
		return n, nil
	}
	return 0, errors.New("not a version of PostgreSQL: " + strconv.Quote(out))
}

func leadingNumber(s string) int {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	n, err := strconv.Atoi(s[:end])
	if err != nil {
		return 0
	}
	return n
}
