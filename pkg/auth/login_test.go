package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/store"
)

// directory is a Directory in a map; a name is looked up without regard to case.
type directory struct {
	mu    sync.Mutex
	users map[string]Credential
	apps  map[store.AccountID][]AppPassword
	uses  []Use
	steps map[store.AccountID]int64 // of codes
	err   error                     // for every look-up

	appsErr error // for those of app passwords
}

func (d *directory) Credential(_ context.Context, user string) (Credential, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return Credential{}, d.err
	}
	cred, ok := d.users[strings.ToLower(user)]
	if !ok {
		return Credential{}, fmt.Errorf("user %s: %w", user, store.ErrNotFound)
	}
	return cred, nil
}

func (d *directory) AppPasswords(_ context.Context, id store.AccountID) ([]AppPassword, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.apps[id]), errors.Join(d.err, d.appsErr)
}

func (d *directory) RenewSecrets(_ context.Context, id store.AccountID, hash string, by Secrets) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for user, cred := range d.users {
		if cred.Account == id && cred.Secret == hash {
			cred.Secret, cred.SCRAM = by.Hash, by.SCRAM
			d.users[user] = cred
			return d.err
		}
	}
	return store.ErrNotFound
}

func (d *directory) UseCode(_ context.Context, id store.AccountID, step int64) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil || step <= d.steps[id] {
		return false, d.err
	}
	d.steps[id] = step
	return true, nil
}

func (d *directory) UsedAppPasswords(_ context.Context, uses []Use) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.uses = append(d.uses, uses...)
	return d.err
}

// change changes what is known of a user.
func (d *directory) change(user string, by func(*Credential)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	cred := d.users[user]
	by(&cred)
	d.users[user] = cred
}

// set gives a user a password that is kept as it is: the stage compares instead of hashing.
func (d *directory) set(id store.AccountID, user, password string, disabled bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users[user] = Credential{Identity: Identity{Account: id, User: user}, Secret: password, Disabled: disabled}
}

func (d *directory) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// stage is an Auth with a clock that moves when somebody waits, and everything that can be seen of it.
type stage struct {
	*Auth
	t       *testing.T
	dir     *directory
	logs    *observer.ObservedLogs
	checked atomic.Int32 // passwords compared

	mu     sync.Mutex
	now    time.Time       // guarded by mu
	delays []time.Duration // guarded by mu
}

const (
	alice = "alice@example.org"
	right = "correct horse"
)

var home = netip.MustParseAddr("192.0.2.1")

func newStage(t *testing.T, change ...func(*Options)) *stage {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	s := &stage{t: t, logs: logs, now: time.Unix(1e9, 0), dir: &directory{users: map[string]Credential{}, apps: map[store.AccountID][]AppPassword{}, steps: map[store.AccountID]int64{}}}
	s.dir.set(1, alice, right, false)
	s.dir.set(2, "bob@example.org", right, true)
	s.dir.set(3, "carol@example.org", "", false)
	opt := Options{Directory: s.dir, Log: zap.New(core), Now: s.clock, Sleep: s.sleep, Jitter: func() float64 { return 0.5 }}
	for _, c := range change {
		c(&opt)
	}
	s.Auth = New(opt)
	s.current = func(Credential) bool { return true }
	s.verify = func(password, secret string) (bool, error) {
		s.checked.Add(1)
		return password == secret, nil
	}
	return s
}

func (s *stage) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *stage) sleep(_ context.Context, d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delays = append(s.delays, d)
	return nil
}

func (s *stage) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *stage) login(from netip.Addr, user, password string) error {
	_, err := s.Login(s.t.Context(), Peer{Addr: from, TLS: true, Protocol: "imap"}, user, password)
	return err
}

// want logs in and compares what comes of it.
func (s *stage) want(err error, from netip.Addr, user, password string) {
	s.t.Helper()
	if got := s.login(from, user, password); !errors.Is(got, err) {
		s.t.Fatalf("login of %s with %q from %s: %v, want %v", user, password, from, got, err)
	}
}

// wrong fails n times with different passwords.
func (s *stage) wrong(n int, from netip.Addr, user string) {
	s.t.Helper()
	for i := range n {
		s.want(ErrDenied, from, user, fmt.Sprintf("guess %d from %s", i, from))
	}
}

// TestLogin has every kind of attempt. Each compares exactly one password, or none if who the user is plays no part:
// so none tells whether there is such a user by the time it takes.
func TestLogin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, user, password string
		err                  error
		checked              int32
		reason               string
	}{
		{"right", alice, right, nil, 1, ""},
		{"another spelling", "Alice@Example.ORG", right, nil, 1, ""},
		{"another kind of space", alice, "correct\u00a0horse", nil, 1, ""},
		{"wrong", alice, "wrong", ErrDenied, 1, "wrong password"},
		{"unknown", "nobody@example.org", right, ErrDenied, 1, "unknown user"},
		{"disabled", "bob@example.org", right, ErrDenied, 1, "account disabled"},
		{"no password", "carol@example.org", right, ErrDenied, 1, "account has no password"},
		{"no password, the decoy", "carol@example.org", decoy, ErrDenied, 1, "account has no password"},
		{"unknown, the decoy", "nobody@example.org", decoy, ErrDenied, 1, "unknown user"},
		{"empty password", alice, "", ErrDenied, 0, "not a password: empty"},
		{"empty user", "", right, ErrDenied, 0, "name is not text"},
		{"NUL in the password", alice, right + "\x00", ErrDenied, 0, "not a password: contains NUL"},
		{"NUL in the user", alice + "\x00", right, ErrDenied, 0, "name is not text"},
		{"user not UTF-8", "\xff", right, ErrDenied, 0, "name is not text"},
		{"password not UTF-8", alice, "\xff", ErrDenied, 0, "not a password: not UTF-8"},
		{"long user", strings.Repeat("a", 1<<20), right, ErrDenied, 0, "name or password too long"},
		{"long password", alice, strings.Repeat("a", 1<<20), ErrDenied, 0, "name or password too long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			id, err := s.Login(t.Context(), Peer{Addr: home, TLS: true, Protocol: "pop3"}, tt.user, tt.password)
			if !errors.Is(err, tt.err) || (err == nil) != (id == Identity{Account: 1, User: alice}) {
				t.Fatalf("Login = %+v, %v; want %v", id, err, tt.err)
			}
			if got := s.checked.Load(); got != tt.checked {
				t.Errorf("%d passwords compared, want %d", got, tt.checked)
			}
			s.checkLine(tt.reason)
			if refused := tt.err != nil; refused != (len(s.delays) == 1) {
				t.Errorf("delays %v", s.delays)
			}
		})
	}
}

// checkLine expects the one line that a login leaves, and no password in it.
func (s *stage) checkLine(reason string) {
	s.t.Helper()
	lines := s.logs.All()
	if len(lines) != 1 {
		s.t.Fatalf("%d lines in the log, want 1: %v", len(lines), lines)
	}
	fields := lines[0].ContextMap()
	if reason == "" {
		if lines[0].Message != "login" {
			s.t.Errorf("line %q", lines[0].Message)
		}
		return
	}
	if lines[0].Message != "login refused" || fields["reason"] != reason || fields["remote"] != home.String() || fields["proto"] != "pop3" {
		s.t.Errorf("line %q, %v; want reason %q", lines[0].Message, fields, reason)
	}
	if user, _ := fields["user"].(string); len(user) > maxUser || strings.Contains(fmt.Sprint(fields), right) {
		s.t.Errorf("the line says too much: %v", fields)
	}
}

// TestUnavailable has the directory away: nobody is denied, delayed or counted for it.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.dir.fail(fmt.Errorf("connect: %w", store.ErrUnavailable))
	for range 100 {
		s.want(store.ErrUnavailable, home, alice, "guess")
	}
	s.dir.fail(nil)
	s.want(nil, home, alice, right)
	if len(s.delays) > 0 {
		t.Errorf("delays: %v", s.delays)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.dir.fail(ctx.Err())
	if _, err := s.Login(ctx, Peer{Addr: home, TLS: true}, alice, right); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, ErrDenied) {
		t.Errorf("deadline in the directory: %v", err)
	}
}

// TestBrokenSecret has something stored that is no hash: the client learns nothing of it, the operator does.
func TestBrokenSecret(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.verify = checkHash
	s.want(ErrDenied, home, alice, right)
	if n := s.logs.FilterLevelExact(zap.ErrorLevel).Len(); n != 1 {
		t.Errorf("%d errors in the log, want 1", n)
	}
}

func TestNoTLS(t *testing.T) {
	t.Parallel()
	p := Peer{Addr: home}
	s := newStage(t)
	if _, err := s.Login(t.Context(), p, alice, right); !errors.Is(err, ErrMechanism) {
		t.Errorf("Login without TLS: %v", err)
	}
	if _, err := s.Exchange(t.Context(), p, "PLAIN", nil, nil); !errors.Is(err, ErrMechanism) {
		t.Errorf("Exchange without TLS: %v", err)
	}
	if m := s.Mechanisms(p); len(m) > 0 {
		t.Errorf("Mechanisms without TLS: %v", m)
	}
	s = newStage(t, func(o *Options) { o.Plaintext = true })
	if _, err := s.Login(t.Context(), p, alice, right); err != nil {
		t.Errorf("Login without TLS where that is allowed: %v", err)
	}
}

// TestDelay has the delay grow with different failures only, up to a limit.
func TestDelay(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.want(ErrDenied, home, alice, "stale")
	s.want(ErrDenied, home, alice, "stale")
	s.wrong(8, home, alice)
	want := []time.Duration{500, 500, 750, 1125}
	for i, d := range want {
		if s.delays[i] != d*time.Millisecond {
			t.Fatalf("delays %v, want them to start with %v ms", s.delays, want)
		}
	}
	if last := s.delays[len(s.delays)-1]; last != 5*time.Second {
		t.Errorf("the last delay is %v, want 5s", last)
	}
	for _, jitter := range []float64{0, 0.999} {
		s.opt.Jitter = func() float64 { return jitter }
		if d := s.delay(1); d < 375*time.Millisecond || d > 625*time.Millisecond {
			t.Errorf("delay with jitter %v: %v", jitter, d)
		}
	}
}

// TestDelayEnds has a client that leaves while it is made to wait.
func TestDelayEnds(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *Options) { o.Sleep, o.Delay, o.MaxDelay = nil, time.Hour, time.Hour })
	ctx, cancel := context.WithCancel(t.Context())
	verify := s.verify
	s.current = func(Credential) bool { return true }
	s.verify = func(password, secret string) (bool, error) {
		cancel()
		return verify(password, secret)
	}
	if _, err := s.Login(ctx, Peer{Addr: home, TLS: true}, alice, "wrong"); !errors.Is(err, ErrDenied) || !errors.Is(err, context.Canceled) {
		t.Errorf("Login = %v", err)
	}
}

// TestHashesAtOnce has many log in together: only so many hashes are computed at a time, and a client that opens many
// connections costs one.
func TestHashesAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *Options) { o.Hashes = 2 })
	for i := range 20 {
		s.dir.set(store.AccountID(10+i), fmt.Sprintf("user%d@example.org", i), right, false)
	}
	var running atomic.Int32
	var mu sync.Mutex
	var most int32 // guarded by mu
	verify := s.verify
	s.current = func(Credential) bool { return true }
	s.verify = func(password, secret string) (bool, error) {
		n := running.Add(1)
		defer running.Add(-1)
		mu.Lock()
		most = max(most, n)
		mu.Unlock()
		return verify(password, secret)
	}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if err := s.login(home, fmt.Sprintf("user%d@example.org", i%20), right); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most > 2 {
		t.Errorf("%d hashes at once, want at most 2", most)
	}
	if n := s.checked.Load(); n > 40 {
		t.Errorf("%d hashes for 20 users", n)
	}

	s.hashing.turns <- struct{}{} // both turns taken: one waits until its time is over
	s.hashing.turns <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Login(ctx, Peer{Addr: home, TLS: true}, alice, right); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Login with no turn to be had: %v", err)
	}
}
