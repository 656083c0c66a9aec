package auth

import (
	"errors"
	"strings"
	"testing"
)

func TestHash(t *testing.T) {
	t.Parallel()
	const composed, decomposed = "Gr\u00fc\u00dfe \u65e5\u672c", "Gru\u0308\u00dfe\u3000\u65e5\u672c"
	secret, err := Hash(composed)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %s", secret)
	}
	if again, err := Hash(composed); err != nil || again == secret {
		t.Errorf("a second hash is the same, or %v", err)
	}
	typed, err := normalise(decomposed)
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{typed: true, decomposed: false, "": false, composed + " ": false} {
		if got, err := checkHash(password, secret); got != want || err != nil {
			t.Errorf("checkHash(%q) = %v, %v; want %v", password, got, err, want)
		}
	}
	for _, bad := range []string{"", "a\x00b", "\xff", strings.Repeat("x", maxPassword+1)} {
		if h, err := Hash(bad); !errors.Is(err, ErrPassword) {
			t.Errorf("Hash(%.20q) = %q, %v", bad, h, err)
		}
	}
}

// TestDecoy has the stand-in cost what a real hash does.
func TestDecoy(t *testing.T) {
	t.Parallel()
	secret, err := Hash("x")
	if err != nil {
		t.Fatal(err)
	}
	head := func(s string) string { return s[:strings.LastIndex(s[:strings.LastIndex(s, "$")], "$")] }
	if head(decoy) != head(secret) || len(decoy) != len(secret) {
		t.Errorf("decoy %s\n hash %s", decoy, secret)
	}
	if ok, err := checkHash("x", decoy); ok || err != nil {
		t.Errorf("checkHash with the decoy: %v, %v", ok, err)
	}
}

func TestCheckHashRefuses(t *testing.T) {
	t.Parallel()
	tail := decoy[strings.Index(decoy, "p=1")+3:]
	for _, secret := range []string{
		"",
		"plain",
		"{SSHA}abc",
		"$2y$10$abcdefghijklmnopqrstuv",
		"$argon2i$v=19$m=19456,t=2,p=1" + tail,
		"$argon2id$v=16$m=19456,t=2,p=1" + tail,
		"$argon2id$v=19$m=19456,t=0,p=1" + tail,
		"$argon2id$v=19$m=19456,t=2,p=0" + tail,
		"$argon2id$v=19$m=4294967295,t=2,p=1" + tail,
		"$argon2id$v=19$m=19456,t=4000000000,p=1" + tail,
		"$argon2id$v=19$m=19456,t=2,p=1$!$!",
		"$argon2id$v=19$m=19456,t=2,p=1$AAAA$",
	} {
		if ok, err := checkHash("x", secret); ok || !errors.Is(err, errSecret) {
			t.Errorf("checkHash(%s) = %v, %v", secret, ok, err)
		}
	}
}
