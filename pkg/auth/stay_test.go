package auth

import (
	"cmp"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"postern/pkg/store"
)

// phone gives alice an app password.
func (s *stage) phone(change func(*AppPassword)) string {
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	cred := s.dir.users[alice]
	if cred.Salt == "" {
		cred.Salt = cmp.Or(SaltOf(cred.SCRAM), NewSalt())
		s.dir.users[alice] = cred
	}
	password, p, err := NewAppPassword(cred.Salt)
	if err != nil {
		s.t.Fatal(err)
	}
	p.ID, p.Name = 7, "telephone"
	change(&p)
	s.dir.apps[1] = append(s.dir.apps[1], p)
	return password
}

func (d *directory) revoke() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.apps)
}

func (d *directory) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.users)
}

func nothing(*AppPassword) {}

// TestAppPassword logs in with app passwords of every kind.
func TestAppPassword(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		change  func(*AppPassword)
		spell   func(string) string
		user    string
		err     error
		checked int32
	}{
		{"right", nothing, nil, alice, nil, 0},
		{"as a telephone spells it", nothing, func(p string) string { return strings.ToUpper(strings.ReplaceAll(p, "-", " ")) }, alice, nil, 0},
		{"another's", nothing, nil, "bob@example.org", ErrDenied, 1},
		{"one letter off", nothing, func(p string) string { return "2" + strings.Repeat("a", 23) }, alice, ErrDenied, 1},
		{"in scope", func(p *AppPassword) { p.Scope = []string{"pop3", "imap"} }, nil, alice, nil, 0},
		{"out of scope", func(p *AppPassword) { p.Scope = []string{"pop3"} }, nil, alice, ErrDenied, 0},
		{"expired", func(p *AppPassword) { p.Expires = time.Unix(1e9, 0) }, nil, alice, ErrDenied, 0},
		{"not yet expired", func(p *AppPassword) { p.Expires = time.Unix(1e9+1, 0) }, nil, alice, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			password := s.phone(tt.change)
			if tt.spell != nil {
				password = tt.spell(password)
			}
			s.want(tt.err, home, tt.user, password)
			if got := s.checked.Load(); got != tt.checked {
				t.Errorf("%d hashes computed, want %d", got, tt.checked)
			}
		})
	}
}

// TestAppOnly has the account's own password refused, also after it was remembered, and app passwords go on.
func TestAppOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	password := s.phone(nothing)
	s.want(nil, home, alice, right)
	s.dir.change(alice, func(c *Credential) { c.AppOnly = true })
	s.want(ErrDenied, home, alice, right)
	s.want(nil, home, alice, password)
}

// TestKeep has something happen to an account while there are sessions, and looks which of them end.
func TestKeep(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		happens    func(s *stage)
		all        bool // are told, not of the account alone
		own, phone bool // ended
	}{
		{"nothing", func(*stage) {}, false, false, false},
		{"new password", func(s *stage) { s.dir.change(alice, func(c *Credential) { c.Epoch++ }) }, false, true, false},
		{"disabled", func(s *stage) { s.dir.change(alice, func(c *Credential) { c.Disabled = true }) }, false, true, true},
		{"app passwords only", func(s *stage) { s.dir.change(alice, func(c *Credential) { c.AppOnly = true }) }, false, true, false},
		{"deleted", func(s *stage) { s.dir.forget() }, false, true, true},
		{"made again", func(s *stage) { s.dir.change(alice, func(c *Credential) { c.Account = 9 }) }, false, true, true},
		{"revoked", func(s *stage) { s.dir.revoke() }, false, false, true},
		{"revoked, and the note was lost", func(s *stage) { s.dir.revoke() }, true, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				password := s.phone(nothing)
				var own, phone, gone atomic.Bool
				s.stay(right, &own)
				s.stay(password, &phone)
				s.stay(password, &gone).Leave()
				stop := s.run()
				tt.happens(s)
				if tt.all {
					s.Recheck(0)
				} else {
					s.Recheck(1)
				}
				synctest.Wait()
				if own.Load() != tt.own || phone.Load() != tt.phone || gone.Load() {
					t.Errorf("ended: own %v, phone %v, left before %v; want %v, %v", own.Load(), phone.Load(), gone.Load(), tt.own, tt.phone)
				}
				stop()
			})
		})
	}
}

// stay logs alice in and keeps the session.
func (s *stage) stay(password string, ended *atomic.Bool) *Stay {
	s.t.Helper()
	p := Peer{Addr: home, TLS: true, Protocol: "imap"}
	id, err := s.Login(s.t.Context(), p, alice, password)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.Keep(id, p, func() { ended.Store(true) })
}

func (s *stage) run() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}
}

// TestKeepLate has the password change between its check and the beginning of the session.
func TestKeepLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		stop := s.run()
		p := Peer{Addr: home, TLS: true, Protocol: "imap"}
		id, err := s.Login(t.Context(), p, alice, right)
		if err != nil {
			t.Fatal(err)
		}
		s.dir.change(alice, func(c *Credential) { c.Epoch++ })
		s.Recheck(1)
		synctest.Wait()
		var ended atomic.Bool
		s.Keep(id, p, func() { ended.Store(true) })
		synctest.Wait()
		if !ended.Load() {
			t.Error("the session goes on")
		}
		stop()
	})
}

// TestKeepAway has the directory away when it is asked: nobody is thrown out, and the question is put again.
func TestKeepAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		var ended atomic.Bool
		s.stay(right, &ended)
		stop := s.run()
		s.dir.change(alice, func(c *Credential) { c.Epoch++ })
		s.dir.fail(store.ErrUnavailable)
		s.Recheck(1)
		time.Sleep(10 * stillRetry)
		if ended.Load() {
			t.Error("ended without an answer")
		}
		s.dir.fail(nil)
		time.Sleep(2 * stillRetry)
		if !ended.Load() {
			t.Error("not asked again")
		}
		stop()
	})
}

// TestKeepExpires has an app password's time end in the middle of a session, and its last use written down.
func TestKeepExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		password := s.phone(func(p *AppPassword) { p.Expires = time.Unix(1e9+3600, 0) })
		var ended atomic.Bool
		stay := s.stay(password, &ended)
		stop := s.run()
		stay.Client("Mail 1.0")
		time.Sleep(2 * useEvery)
		if ended.Load() {
			t.Error("ended too early")
		}
		s.pass(time.Hour)
		time.Sleep(2 * useEvery)
		if !ended.Load() {
			t.Error("goes on")
		}
		stop()
		want := Use{Account: 1, Password: 7, At: time.Unix(1e9, 0), From: home, Client: "Mail 1.0"}
		if len(s.dir.uses) != 1 || s.dir.uses[0] != want {
			t.Errorf("uses %+v, want %+v", s.dir.uses, want)
		}
		for _, line := range s.logs.All() {
			if line.Level > zap.InfoLevel || strings.Contains(line.Message, password) {
				t.Errorf("line %+v", line)
			}
		}
	})
}
