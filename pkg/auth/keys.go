package auth

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"postern/pkg/store"
)

// scramRounds is what RFC 7677 §4 asks for at least; the client computes it each time, perhaps on a telephone.
const scramRounds = 4096

const (
	scramSalt   = 16      // octets
	maxRounds   = 1 << 20 // of keys that are made: a mistake in the directory must not take the machine
	scramScheme = "SCRAM-SHA-256$"
)

// Secrets is what is kept of a password.
type Secrets struct {
	Hash  string // see Hash and ImportHash
	SCRAM string // keys of SCRAM-SHA-256, as RFC 5803 §3 writes them; empty for an imported hash
}

// Salt is what the keys of SCRAM of an account are made with: "rounds:salt", as in RFC 5803 §3. All its passwords have one, for
// the server must say it before it knows which of them the client has. The empty Salt is none yet.
type Salt string

// NewSalt makes one.
func NewSalt() Salt {
	salt := make([]byte, scramSalt)
	rand.Read(salt) // it ends the program rather than fail
	return saltOf(salt, scramRounds)
}

func saltOf(salt []byte, rounds int) Salt {
	return Salt(strconv.Itoa(rounds) + ":" + base64.StdEncoding.EncodeToString(salt))
}

// SaltOf is the salt of keys, empty if they cannot be read.
func SaltOf(keys string) Salt {
	k, err := parseSCRAMKeys(keys)
	if err != nil {
		return ""
	}
	return k.info()
}

func (k scramKeys) info() Salt { return saltOf(k.salt, k.rounds) }

// parse reads a Salt.
func (s Salt) parse() (salt []byte, rounds int, err error) {
	count, text, _ := strings.Cut(string(s), ":")
	rounds, err = strconv.Atoi(count)
	if err == nil {
		salt, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil || rounds < 1 || rounds > maxRounds || len(salt) == 0 {
		return nil, 0, errors.New("salt of SCRAM: malformed")
	}
	return salt, rounds, nil
}

// NewSecrets makes them from a password and the account's salt, a new one if that is empty.
func NewSecrets(password string, salt Salt) (s Secrets, err error) {
	if s.Hash, err = Hash(password); err != nil {
		return Secrets{}, err
	}
	normal, err := normalise(password)
	if err != nil {
		return Secrets{}, err
	}
	s.SCRAM, err = newSCRAMKeys(normal, cmp.Or(salt, NewSalt()))
	return s, err
}

// scramKeys are the keys of RFC 5802 §3.
type scramKeys struct {
	salt           []byte
	rounds         int
	stored, server []byte
}

// newSCRAMKeys makes keys from a normalised password.
func newSCRAMKeys(password string, by Salt) (string, error) {
	salt, rounds, err := by.parse()
	if err != nil {
		return "", err
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("keys of SCRAM: %w", err)
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	text := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s%s$%s:%s", scramScheme, by, text(stored[:]), text(mac(salted, "Server Key"))), nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// parseSCRAMKeys reads "SCRAM-SHA-256$rounds:salt$StoredKey:ServerKey".
func parseSCRAMKeys(s string) (scramKeys, error) {
	bad := errors.New("keys of SCRAM: malformed")
	rest, ok := strings.CutPrefix(s, scramScheme)
	info, value, ok2 := strings.Cut(rest, "$")
	rounds, salt, ok3 := strings.Cut(info, ":")
	stored, server, ok4 := strings.Cut(value, ":")
	if !ok || !ok2 || !ok3 || !ok4 {
		return scramKeys{}, bad
	}
	var k scramKeys
	var errs [4]error
	k.rounds, errs[0] = strconv.Atoi(rounds)
	k.salt, errs[1] = base64.StdEncoding.DecodeString(salt)
	k.stored, errs[2] = base64.StdEncoding.DecodeString(stored)
	k.server, errs[3] = base64.StdEncoding.DecodeString(server)
	if errors.Join(errs[:]...) != nil || len(k.stored) != sha256.Size || len(k.server) != sha256.Size || k.rounds < 1 {
		return scramKeys{}, bad
	}
	return k, nil
}

// renew replaces what is kept of a password that is right: a hash that was imported or is weaker than ours now, keys that are
// not there yet. That it could not be is no reason to refuse the login.
func (a *Auth) renew(ctx context.Context, t *attempt) {
	if a.current(t.cred) {
		return
	}
	fresh, err := NewSecrets(t.password, t.cred.Salt)
	if isStrong(t.cred.Secret) {
		fresh.Hash = t.cred.Secret
	}
	if err == nil {
		err = a.opt.Directory.RenewSecrets(ctx, t.cred.Account, t.cred.Secret, fresh)
	}
	switch {
	case err == nil:
		t.cred.Secret, t.cred.SCRAM = fresh.Hash, fresh.SCRAM
	case !errors.Is(err, store.ErrNotFound): // then it has been changed meanwhile
		a.audit(t).Warn("stored password not renewed", zap.Error(err))
	}
}
