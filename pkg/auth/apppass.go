package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/pkg/store"
)

// AppPassword is a password of an account that we have made, for one device.
type AppPassword struct {
	ID      int64
	Name    string
	Digest  []byte   // see NewAppPassword
	SCRAM   string   // keys made from it with the account's Salt; empty in those made before there were any
	Scope   []string // the protocols it is good for; none means all
	Created time.Time
	Expires time.Time // zero: never
	Last    Use       // zero: none
}

// Use is the use of an app password.
type Use struct {
	Account  store.AccountID
	Password int64
	At       time.Time
	From     netip.Addr
	Client   string // what it calls itself, such as an ID of IMAP; may be empty
}

// appAlphabet has no letter that looks like another, so that a password can be typed from a screen.
const (
	appAlphabet = "abcdefghijkmnpqrstuvwxyz23456789"
	appLetters  = 24 // five bits each
	appGroup    = 4
)

// NewAppPassword makes an app password and what is kept of it. It has 120 random bits: nobody guesses one of those, however
// fast, so that the digest is a plain SHA-256, without salt. That lets a login look for it at no cost, where a slow hash would
// have to be computed for each of an account's. The keys of SCRAM are those of the password as it is shown, with its hyphens.
func NewAppPassword(salt Salt) (password string, p AppPassword, err error) {
	var b [appLetters]byte
	rand.Read(b[:]) // it ends the program rather than fail
	var text strings.Builder
	for i, octet := range b {
		if i > 0 && i%appGroup == 0 {
			text.WriteByte('-')
		}
		text.WriteByte(appAlphabet[octet%byte(len(appAlphabet))])
	}
	password = text.String()
	p.Digest = appDigest(password)
	p.SCRAM, err = newSCRAMKeys(password, salt)
	return password, p, err
}

// appDigest is the digest of what may be an app password, nil if it cannot be. Capitals, hyphens and spaces do not count: a
// telephone puts them in by itself.
func appDigest(password string) []byte {
	letters := strings.NewReplacer("-", "", " ", "").Replace(strings.ToLower(password))
	if len(letters) != appLetters || strings.Trim(letters, appAlphabet) != "" {
		return nil
	}
	sum := sha256.Sum256([]byte(letters))
	return sum[:]
}

// findApp looks whether the password is one of the user's app passwords.
func (a *Auth) findApp(ctx context.Context, t *attempt) error {
	digest := appDigest(t.password)
	if digest == nil {
		return nil
	}
	all, err := a.opt.Directory.AppPasswords(ctx, t.cred.Account)
	if err != nil {
		return err
	}
	for i := range all {
		if subtle.ConstantTimeCompare(all[i].Digest, digest) == 1 {
			t.app = &all[i]
		}
	}
	return nil
}

// faultOfApp says why an app password that is right does not log in here, if so.
func (a *Auth) faultOfApp(t *attempt) string {
	switch {
	case t.cred.Disabled:
		return "account disabled"
	case len(t.app.Scope) > 0 && !slices.Contains(t.app.Scope, t.peer.Protocol):
		return "app password is not for this protocol"
	case t.app.expired(a.opt.Now()):
		return "app password has expired"
	}
	return ""
}

func (p *AppPassword) expired(now time.Time) bool {
	return !p.Expires.IsZero() && !now.Before(p.Expires)
}
