package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/bcrypt"
)

// What an imported hash may ask for at most. It is replaced by one of ours at the first login, so it may be weaker than we
// would make it, but not stronger than a login has time for.
const (
	maxImported      = 512 // octets of the hash as it is written
	maxBcryptCost    = 15
	bcryptTail       = 53 // letters of salt and sum
	maxCryptRounds   = 1_000_000
	maxPBKDF2Rounds  = 2_000_000
	cryptRounds      = 5000 // of SHA-crypt, where none are said
	dovecotSHA1Parts = 5
)

// ErrHash is returned by ImportHash for what is not the hash of a password that we take.
var ErrHash = errors.New("not a password hash that can be imported")

// imported is a hash that another program has made.
type imported interface {
	matches(password string) (bool, error)
}

// ImportHash makes the Secret of a Credential from a hash that another program has made: bcrypt, SHA-256-CRYPT,
// SHA-512-CRYPT, PBKDF2 as passlib or Dovecot write it, salted SHA-1, SHA-256 and SHA-512, argon2id. A scheme in braces
// before it, as Dovecot and OpenLDAP write it, is understood. Hashes without salt and MD5 are refused: who has the old file has
// the passwords.
func ImportHash(s string) (secret string, err error) {
	s = strings.TrimSpace(s)
	if scheme, rest, ok := braced(s); ok && !strings.HasPrefix(scheme, "SSHA") && scheme != "PBKDF2" {
		s = rest
		switch scheme {
		case "CRYPT", "BLF-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "ARGON2ID":
		default:
			return "", fmt.Errorf("%w: scheme %s", ErrHash, scheme)
		}
	}
	if strings.HasPrefix(s, ownScheme) {
		if _, err := decodeOwn(s); err != nil {
			return "", fmt.Errorf("%w: %w", ErrHash, err)
		}
		return s, nil
	}
	if _, err := parseImported(s); err != nil {
		return "", fmt.Errorf("%w: %w", ErrHash, err)
	}
	return s, nil
}

// braced takes "{SCHEME}" off the front.
func braced(s string) (scheme, rest string, ok bool) {
	if !strings.HasPrefix(s, "{") {
		return "", s, false
	}
	scheme, rest, ok = strings.Cut(s[1:], "}")
	return strings.ToUpper(scheme), rest, ok
}

// parseImported reads a hash and holds it to the bounds. Its errors do not repeat the hash.
func parseImported(s string) (imported, error) {
	if len(s) > maxImported {
		return nil, errors.New("too long")
	}
	if scheme, rest, ok := braced(s); ok {
		return parseBraced(scheme, rest)
	}
	parts := strings.Split(s, "$")
	if len(parts) < 3 || parts[0] != "" {
		return nil, errors.New("scheme unknown")
	}
	switch parts[1] {
	case "2", "2a", "2b", "2y":
		return parseBcrypt(s)
	case "5", "6":
		return parseSHACrypt(s, parts)
	case "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
		return parsePBKDF2(parts)
	}
	return nil, errors.New("scheme unknown")
}

func parseBraced(scheme, rest string) (imported, error) {
	switch scheme {
	case "SSHA":
		return parseSalted(sha1.New, rest)
	case "SSHA256":
		return parseSalted(sha256.New, rest)
	case "SSHA512":
		return parseSalted(sha512.New, rest)
	case "PBKDF2":
		return parseDovecotPBKDF2(rest)
	}
	return nil, fmt.Errorf("scheme %s unknown", scheme)
}

type bcryptHash string

func parseBcrypt(s string) (imported, error) {
	cost, err := bcrypt.Cost([]byte(s))
	tail := s[strings.LastIndexByte(s, '$')+1:]
	if err != nil || len(tail) != bcryptTail || strings.Trim(tail, shacrypt.SaltCharSet) != "" {
		return nil, errors.New("bcrypt: malformed")
	}
	if cost > maxBcryptCost {
		return nil, fmt.Errorf("bcrypt: cost %d, at most %d", cost, maxBcryptCost)
	}
	return bcryptHash(s), nil
}

// matches compares as bcrypt always has: octets beyond the 72nd do not count.
func (h bcryptHash) matches(password string) (bool, error) {
	const most = 72
	err := bcrypt.CompareHashAndPassword([]byte(h), []byte(password[:min(len(password), most)]))
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return false, nil
	}
	return err == nil, err
}

type shaCrypt string

func parseSHACrypt(s string, parts []string) (imported, error) {
	rounds := cryptRounds
	if text, ok := strings.CutPrefix(parts[2], "rounds="); ok {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, errors.New("SHA-crypt: malformed")
		}
		rounds = n
	}
	if rounds > maxCryptRounds {
		return nil, fmt.Errorf("SHA-crypt: %d rounds, at most %d", rounds, maxCryptRounds)
	}
	if _, err := shacrypt.Decode(s); err != nil {
		return nil, errors.New("SHA-crypt: malformed")
	}
	return shaCrypt(s), nil
}

func (h shaCrypt) matches(password string) (bool, error) {
	d, err := shacrypt.Decode(string(h))
	if err != nil {
		return false, err
	}
	return d.MatchAdvanced(password)
}

// salted is what OpenLDAP calls SSHA: the hash of the password and then the salt.
type salted struct {
	hash      func() hash.Hash
	sum, salt []byte
}

func parseSalted(h func() hash.Hash, text string) (imported, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	size := h().Size()
	if err != nil || len(b) <= size {
		return nil, errors.New("salted hash: malformed")
	}
	return salted{h, b[:size], b[size:]}, nil
}

func (s salted) matches(password string) (bool, error) {
	h := s.hash()
	h.Write([]byte(password))
	h.Write(s.salt)
	return hmac.Equal(h.Sum(nil), s.sum), nil
}

type pbkdf2Hash struct {
	hash      func() hash.Hash
	rounds    int
	salt, sum []byte
}

// parsePBKDF2 reads what passlib writes: "$pbkdf2-sha256$rounds$salt$sum", with "." for "+" and without padding.
func parsePBKDF2(parts []string) (imported, error) {
	if len(parts) != 5 {
		return nil, errors.New("PBKDF2: malformed")
	}
	unpack := func(s string) ([]byte, error) {
		return base64.RawStdEncoding.DecodeString(strings.ReplaceAll(strings.TrimRight(s, "="), ".", "+"))
	}
	salt, err1 := unpack(parts[3])
	sum, err2 := unpack(parts[4])
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.New("PBKDF2: malformed")
	}
	h := map[string]func() hash.Hash{
		"pbkdf2": sha1.New, "pbkdf2-sha1": sha1.New, "pbkdf2-sha256": sha256.New, "pbkdf2-sha512": sha512.New,
	}[parts[1]]
	return newPBKDF2(h, parts[2], salt, sum)
}

// parseDovecotPBKDF2 reads "$1$salt$rounds$sum": SHA-1, the salt as it is, the sum in hexadecimal.
func parseDovecotPBKDF2(text string) (imported, error) {
	parts := strings.Split(text, "$")
	if len(parts) != dovecotSHA1Parts || parts[1] != "1" {
		return nil, errors.New("PBKDF2: malformed")
	}
	sum, err := hex.DecodeString(parts[4])
	if err != nil {
		return nil, errors.New("PBKDF2: malformed")
	}
	return newPBKDF2(sha1.New, parts[3], []byte(parts[2]), sum)
}

func newPBKDF2(h func() hash.Hash, rounds string, salt, sum []byte) (imported, error) {
	n, err := strconv.Atoi(rounds)
	switch {
	case err != nil || n < 1 || len(salt) == 0 || len(sum) < 16 || len(sum) > sha512.Size:
		return nil, errors.New("PBKDF2: malformed")
	case n > maxPBKDF2Rounds:
		return nil, fmt.Errorf("PBKDF2: %d rounds, at most %d", n, maxPBKDF2Rounds)
	}
	return pbkdf2Hash{h, n, salt, sum}, nil
}

func (p pbkdf2Hash) matches(password string) (bool, error) {
	sum, err := pbkdf2.Key(p.hash, password, p.salt, p.rounds, len(p.sum))
	return err == nil && subtle.ConstantTimeCompare(sum, p.sum) == 1, err
}
