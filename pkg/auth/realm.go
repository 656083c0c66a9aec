package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"postern/pkg/store"
)

// Realm is a directory elsewhere that knows the passwords of the users of some domains. What is zero takes its default.
type Realm struct {
	Name    string   // for the log
	Domains []string // whose users it knows; one at least
	Checker Checker
	Only    bool // passwords that are kept here do not count for these users
	// Create makes an account for a user who has none, at the first right password; nil: such users are refused.
	Create func(ctx context.Context, address string) error

	CacheTTL time.Duration // how long a right password is remembered; default 10 min, negative: not at all
	Timeout  time.Duration // for an answer, and before it for one's turn to ask; default 5 s
	Asking   int           // questions at once; default 16
	Queue    int           // strangers that may wait to ask; default 256
}

// Checker asks a directory. It is safe for concurrent use.
type Checker interface {
	// Check reports whether a password is a user's. An error means that nobody could say.
	Check(ctx context.Context, q Question) (bool, error)
}

// Question is what a directory is asked.
type Question struct {
	User     string // an address, normalised
	Password string // never empty
	Peer     Peer   // who says so
}

// refusedFor is how long a wrong password is remembered: a telephone that has kept an old one does not bother the directory,
// which may lock the user out for it.
const refusedFor = 5 * time.Minute

// realm is a Realm at work. It is safe for concurrent use.
type realm struct {
	Realm
	a        *Auth
	line     *line
	verified *recent[digest, struct{}] // see key
	refused  *recent[digest, struct{}] // see refusedKey
}

// newRealms returns realms by domain.
func newRealms(a *Auth, realms []Realm) map[string]*realm {
	byDomain := make(map[string]*realm)
	for _, r := range realms {
		r.CacheTTL = cmp.Or(r.CacheTTL, 10*time.Minute)
		r.Timeout = cmp.Or(r.Timeout, 5*time.Second)
		made := &realm{
			Realm: r, a: a, line: newLine(cmp.Or(r.Asking, 16), cmp.Or(r.Queue, 256), r.Timeout),
			verified: newRecent[digest, struct{}](a.opt.CacheSize, r.CacheTTL, a.opt.Now),
			refused:  newRecent[digest, struct{}](a.opt.CacheSize, refusedFor, a.opt.Now),
		}
		for _, domain := range r.Domains {
			if address, ok := store.ParseAddress("@" + domain); ok {
				byDomain[address.Domain] = made
			}
		}
	}
	return byDomain
}

// realmOf is the one that knows the user's password, or nil. A user whose name is no address has none.
func (a *Auth) realmOf(user string) *realm {
	address, _ := store.ParseAddress(user)
	return a.realms[address.Domain]
}

// isElsewhere reports whether what is kept here of a user's password does not count.
func (a *Auth) isElsewhere(user string) bool {
	r := a.realmOf(user)
	return r != nil && r.Only
}

func (r *realm) way() way { return way{r.line, r.match, r.verified, r.key} }

// key stands for a password that the directory has confirmed. It is bound to the account, which may be another's of the same
// address tomorrow, and to its epoch: whatever ends the sessions of the account's own password ends it too.
func (r *realm) key(t *attempt) digest {
	return r.a.digest("confirmed", r.Name, t.cred.User, fmt.Sprint(t.cred.Account, " ", t.cred.Epoch), t.password)
}

func (r *realm) refusedKey(t *attempt) digest {
	return r.a.digest("refused", r.Name, t.name(), t.password)
}

// match asks the directory, whether or not there is such a user here: how long it takes must not tell.
func (r *realm) match(ctx context.Context, t *attempt) (fault string, err error) {
	ok, err := r.ask(ctx, t)
	switch {
	case err != nil:
		return "", err
	case !ok && t.known && t.cred.Disabled:
		return "account disabled", nil
	case !ok:
		return "wrong password, or a user that the directory does not know", nil
	case !t.known && r.Create != nil:
		return r.create(ctx, t)
	case !t.known:
		return "the password is right, but there is no account", nil
	}
	return t.faultOfAccount(), nil
}

func (r *realm) ask(ctx context.Context, t *attempt) (ok bool, err error) {
	if !isDistinct(t.name()) {
		return false, nil
	}
	if _, again := r.refused.get(r.refusedKey(t)); again {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	ok, err = r.Checker.Check(ctx, Question{User: t.name(), Password: t.password, Peer: t.peer})
	switch {
	case err != nil:
		return false, fmt.Errorf("%w: directory %s: %w", ErrAway, r.Name, err)
	case !ok:
		r.refused.put(r.refusedKey(t), struct{}{})
	}
	return ok, nil
}

// isDistinct reports whether directories take a name for no other. They compare more loosely than we do (RFC 4518 §2): spaces,
// letters without width and some forms of letters do not count. With those, one user could have many accounts, or another's.
func isDistinct(name string) bool {
	local := name[:strings.LastIndexByte(name, '@')]
	if local == "" || norm.NFKC.String(cases.Fold().String(local)) != local {
		return false
	}
	return !strings.ContainsFunc(local, func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == '\uFFFC' ||
			unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
	})
}

// create makes the account of a user whose password is right.
func (r *realm) create(ctx context.Context, t *attempt) (fault string, err error) {
	err = r.Create(ctx, t.name())
	if err != nil && !errors.Is(err, store.ErrExists) { // then by another connection, a moment ago
		return "", unavailable(ctx, fmt.Errorf("make the account of a user of directory %s: %w", r.Name, err))
	}
	if err := r.a.lookUp(ctx, t); err != nil {
		return "", err
	}
	if !t.known {
		return "the address is taken: by an alias, or an account that is being deleted", nil
	}
	r.a.identify(t)
	return t.faultOfAccount(), nil
}
