package auth

import (
	"crypto/sha1" //nolint:gosec // it is how the lists are made
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPolicy has new passwords of every kind.
func TestPolicy(t *testing.T) {
	t.Parallel()
	p := Policy{MinLength: 8, MinStrength: 2}
	for _, tt := range []struct {
		password string
		err      error
	}{
		{"correct horse battery", nil},
		{"Xk3$vPq9!mZt", nil},
		{"Xk3$vPq", ErrWeak},
		{"password", ErrWeak},
		{"12345678", ErrWeak},
		{"alice@example.org", ErrWeak},
		{"aaaaaaaaaaaaaaaa", ErrWeak},
		{strings.Repeat("x", 1000), ErrWeak},
		{"", ErrPassword},
		{"wrong\x00horse battery", ErrPassword},
	} {
		if err := p.Check(tt.password, alice); !errors.Is(err, tt.err) {
			t.Errorf("%q: %v, want %v", tt.password, err, tt.err)
		} else if err != nil && len(tt.password) > 3 && strings.Contains(err.Error(), tt.password) && tt.password != "password" {
			t.Errorf("%q is in the error", tt.password)
		}
	}
	if err := (Policy{}).Check("x", alice); err != nil {
		t.Errorf("without a policy: %v", err)
	}
}

// TestBreached looks for passwords in lists of every length, and for some that are not in them.
func TestBreached(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, n := range []int{0, 1, 2, 3, 100} {
		var lines []string
		for i := range n {
			lines = append(lines, fmt.Sprintf("%X:%d", sha1.Sum(fmt.Appendf(nil, "password %d", i)), 1<<i%100)) //nolint:gosec // as above
		}
		slices.Sort(lines)
		for j, end := range []string{"\n", "\r\n"} {
			path := filepath.Join(dir, fmt.Sprint(n, j))
			if err := os.WriteFile(path, []byte(strings.Join(lines, end)), 0o600); err != nil {
				t.Fatal(err)
			}
			for i := range n + 20 {
				if got, err := isBreached(path, fmt.Sprintf("password %d", i)); got != (i < n) || err != nil {
					t.Errorf("%d of %d: %v, %v", i, n, got, err)
				}
			}
			if err := (Policy{Breached: path}).Check("password 0", alice); errors.Is(err, ErrWeak) != (n > 0) {
				t.Errorf("Check with %d: %v", n, err)
			}
		}
	}
	if err := (Policy{Breached: filepath.Join(dir, "none")}).Check("password 0", alice); err == nil || errors.Is(err, ErrWeak) {
		t.Errorf("without the file: %v", err)
	}
	long := filepath.Join(dir, "long")
	if err := os.WriteFile(long, []byte(strings.Repeat("x", 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := isBreached(long, "x"); err == nil {
		t.Error("a file that is no list is taken for one")
	}
}
