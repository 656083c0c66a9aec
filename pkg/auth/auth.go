// Package auth turns credentials into an account, or refuses, at an even pace.
package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"postern/pkg/store"
)

var (
	// ErrDenied is returned for wrong credentials, an unknown user and a disabled account alike.
	ErrDenied = errors.New("wrong name or password")
	// ErrThrottled is returned when a peer or a user has failed too often of late.
	ErrThrottled = errors.New("too many failures, try later")
	// ErrAway is returned when what would prove the user cannot be checked now; it is a store.ErrUnavailable too.
	ErrAway = fmt.Errorf("login cannot be checked: %w", store.ErrUnavailable)
	// ErrBusy is returned when too many wait for their password to be checked; it is an ErrAway too.
	ErrBusy = fmt.Errorf("too many logins at once: %w", ErrAway)
	// ErrMechanism is returned for a SASL mechanism that is not offered.
	ErrMechanism = errors.New("mechanism not offered")
	// ErrCancelled is returned when the client ended an exchange, or answered what cannot be read.
	ErrCancelled = errors.New("authentication exchange cancelled")
)

// Peer is who is at the other end of a connection.
type Peer struct {
	Addr     netip.Addr
	TLS      bool
	Channel  Channel // of TLS; nil means that logins cannot be bound to it
	Protocol string  // "imap", "pop3"
	Conn     string  // names the connection in the log
	Client   string  // what the client has said of itself, if it has
}

// Authenticator decides who is at the other end. It is safe for concurrent use. A store that cannot be reached gives
// store.ErrUnavailable, never ErrDenied.
type Authenticator interface {
	// Mechanisms lists the SASL mechanisms offered to this peer.
	Mechanisms(p Peer) []string
	// Login checks a name and password. A refusal comes after a delay.
	Login(ctx context.Context, p Peer, user, password string) (Identity, error)
	// Exchange runs one SASL exchange. initial is nil when the client sent no initial response (an empty one is not nil).
	// ask sends a challenge and returns the answer; the protocol supplies only that, with its base64.
	Exchange(ctx context.Context, p Peer, mech string, initial []byte, ask func([]byte) ([]byte, error)) (Identity, error)
	// Keep watches over a session that has begun: end is called, from another goroutine and at most once, when the login is
	// good no longer. The session calls Leave when it has ended by itself.
	Keep(id Identity, p Peer, end func()) *Stay
}

// Identity is a user who has proved who they are, and by what.
type Identity struct {
	Account store.AccountID
	User    string // the account's address
	Disable string // capabilities of IMAP that are not there for this account, with commas between

	Epoch      int64     // of the account's own password: another one is of another epoch
	App        int64     // the app password that was used; 0: the account's own
	NoPassword bool      // a certificate or a token was shown instead
	Expires    time.Time // when the login is good no longer; zero: never

	asOf uint64 // what the guard had heard when the directory was asked
}

// Directory is where credentials are kept; store/postgres implements it.
type Directory interface {
	// Credential returns what is known of a user (any spelling of the address), or store.ErrNotFound.
	Credential(ctx context.Context, user string) (Credential, error)
	// AppPasswords returns those of an account, in order of their making, at most some hundred.
	AppPasswords(ctx context.Context, id store.AccountID) ([]AppPassword, error)
	// RenewSecrets replaces what is kept of a password, which stays the same, unless the hash is not the one given:
	// then store.ErrNotFound.
	RenewSecrets(ctx context.Context, id store.AccountID, hash string, by Secrets) error
	// UseCode keeps that a code of a time step has been used, unless that one or a later one has been: then false.
	UseCode(ctx context.Context, id store.AccountID, step int64) (fresh bool, err error)
	// UsedAppPasswords keeps the last use of each.
	UsedAppPasswords(ctx context.Context, uses []Use) error
}

// Credential is what a Directory knows of a user.
type Credential struct {
	Identity
	Secret   string // a password hash, see Hash and ImportHash; empty means no password works
	SCRAM    string // keys made from the same password, see Secrets; empty if there are none yet
	Salt     Salt   // of all keys that are made for this account; empty: that of SCRAM, if any
	Disabled bool
	AppOnly  bool   // the account's own password does not log in
	TOTP     string // the secret of the codes that the own password needs, see NewTOTP; empty if it needs none
}
