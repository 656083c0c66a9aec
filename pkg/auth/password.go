package auth

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/text/unicode/norm"
)

// params cost about 20 ms and 19 MiB a password: the recommendation of OWASP for one lane. A hash carries its own, so
// that they can be raised without touching what is stored.
var params = &argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// decoy is compared with when there is nothing to compare with, so that this takes as long. No password has it for a
// hash that anybody could find.
const decoy = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// The bounds of what a stored hash may ask for: a mistake in the directory must not take the machine.
const (
	maxMemory     = 1 << 20 // KiB
	maxIterations = 64
)

// ErrPassword is returned by Hash for what cannot be a password.
var ErrPassword = errors.New("not a password")

// errSecret means that what is stored is not a hash we can compare with.
var errSecret = errors.New("stored secret")

// Hash makes the Secret of a Credential from a password: argon2id in PHC form, with a salt of its own.
func Hash(password string) (string, error) {
	password, err := normalise(password)
	if err != nil {
		return "", err
	}
	return argon2id.CreateHash(password, params)
}

// ownScheme is how the hashes begin that we make.
const ownScheme = "$argon2id$"

// checkHash reports whether a normalised password is the one that was hashed.
func checkHash(password, secret string) (bool, error) {
	if !strings.HasPrefix(secret, ownScheme) {
		h, err := parseImported(secret)
		if err != nil {
			return false, fmt.Errorf("%w: %w", errSecret, err)
		}
		return h.matches(password)
	}
	if _, err := decodeOwn(secret); err != nil {
		return false, fmt.Errorf("%w: %w", errSecret, err)
	}
	return argon2id.ComparePasswordAndHash(password, secret)
}

func decodeOwn(secret string) (*argon2id.Params, error) {
	p, _, _, err := argon2id.DecodeHash(secret)
	if err != nil {
		return nil, err
	}
	if p.Iterations < 1 || p.Iterations > maxIterations || p.Parallelism < 1 || p.Memory > maxMemory || p.KeyLength == 0 {
		return nil, fmt.Errorf("parameters m=%d, t=%d, p=%d out of bounds", p.Memory, p.Iterations, p.Parallelism)
	}
	return p, nil
}

// isStrong reports whether a hash is as strong as one that Hash makes now.
func isStrong(secret string) bool {
	if !strings.HasPrefix(secret, ownScheme) {
		return false
	}
	p, err := decodeOwn(secret)
	return err == nil && p.Memory >= params.Memory && p.Iterations >= params.Iterations
}

// isCurrent reports whether what is kept of a password is what would be kept now.
func isCurrent(c Credential) bool {
	return c.SCRAM != "" && isStrong(c.Secret) && (c.Salt == "" || c.Salt == SaltOf(c.SCRAM))
}

// normalise brings a password into the form that is hashed, which does not depend on the keyboard: every kind of space
// becomes U+0020, then Unicode Normalization Form C, as in the OpaqueString profile of RFC 8265 §4.2. Unlike it, we do
// not refuse characters that our tables do not know yet.
func normalise(password string) (string, error) {
	switch {
	case password == "":
		return "", fmt.Errorf("%w: empty", ErrPassword)
	case len(password) > maxPassword:
		return "", fmt.Errorf("%w: longer than %d octets", ErrPassword, maxPassword)
	case !utf8.ValidString(password):
		return "", fmt.Errorf("%w: not UTF-8", ErrPassword)
	case strings.ContainsRune(password, 0):
		return "", fmt.Errorf("%w: contains NUL", ErrPassword)
	}
	spaces := func(r rune) rune {
		if unicode.Is(unicode.Zs, r) {
			return ' '
		}
		return r
	}
	return norm.NFC.String(strings.Map(spaces, password)), nil
}
