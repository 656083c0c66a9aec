package imap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/pkg/auth"
	"postern/pkg/message"
	"postern/pkg/store"
	"postern/pkg/store/memory"
	"postern/pkg/store/postgres"

	"github.com/emersion/go-imap/v2"
)

const (
	testUser     = "alice@example.org"
	testPassword = "secret"
)

// received is when the messages of tests arrived, unless they say otherwise.
var received = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

// world is a server with one account.
type world struct {
	server  *Server
	store   *faultyStore
	account store.Account
	start   func() net.Listener
}

// newWorld returns a world with an account in memory, or in what is given.
func newWorld(t testing.TB, from ...accounts) *world {
	t.Helper()
	inner, id := append(from, inMemory)[0](t)
	account, err := inner.Account(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	faulty := &faultyStore{Store: inner, faults: make(map[imap.UID]int64)}
	w := &world{store: faulty, account: account}
	w.server = &Server{
		Accounts: faulty, Auth: &testAuth{id: id}, Hostname: "mail.example.org", Version: "test",
		Spool: message.SpoolOptions{Dir: t.TempDir()},
	}
	w.start = sync.OnceValue(func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return startServing(t, w.server, l)
	})
	return w
}

// startServing runs a server until the test ends.
func startServing(t testing.TB, s *Server, l net.Listener) net.Listener {
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-done); err != nil {
			t.Errorf("shut down: %v", err)
		}
	})
	return l
}

// dial opens a connection; nothing has been read from it.
func (w *world) dial(t testing.TB) *client {
	conn, err := net.Dial("tcp", w.start().Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return newClient(conn)
}

// addUser makes an account for somebody else and returns its address, whose domain only this world has.
func (w *world) addUser(t testing.TB, name string) string {
	t.Helper()
	address := fmt.Sprintf("%s@w%d.example.org", name, w.account.ID())
	var id store.AccountID
	switch s := w.store.Store.(type) {
	case *memory.Store:
		id = s.AddAccount(address, "", 0)
	case *postgres.Store:
		var err error
		if id, err = s.CreateAccount(t.Context(), address, "", 0); err != nil {
			t.Fatal(err)
		}
	}
	w.server.Auth.(*testAuth).add(address, id)
	return address
}

// login opens a connection and logs in.
func (w *world) login(t *testing.T) *client { return w.loginAs(t, testUser) }

func (w *world) loginAs(t *testing.T, user string) *client {
	c := w.dial(t)
	c.send(t, []byte("login LOGIN "+user+" "+testPassword+"\r\n"))
	for {
		s, err := c.response()
		switch {
		case err != nil:
			t.Fatal(err)
		case strings.HasPrefix(s, "login OK"):
			return c
		case !strings.HasPrefix(s, "* "):
			t.Fatalf("login: %s", s)
		}
	}
}

// direct carries out what a script says happens to the mailbox by other means than the connections it shows.
func (w *world) direct(t *testing.T, s *script, st *scriptLine) {
	t.Helper()
	words := strings.Fields(st.arg)
	run := directives[st.verb]
	if run == nil || len(words) == 0 {
		t.Fatalf("line %d: there is no directive %q", st.line, st.verb)
	}
	if err := run(t, w, s, words); err != nil {
		t.Fatalf("line %d: %s %s: %v", st.line, st.verb, st.arg, err)
	}
}

var directives = map[string]func(t *testing.T, w *world, s *script, words []string) error{
	"mailbox": func(t *testing.T, w *world, _ *script, words []string) error {
		_, err := w.account.Create(t.Context(), strings.Join(words, " "))
		return err
	},
	"message":    directMessage,
	"flags":      directFlags,
	"expunge":    directExpunge,
	"unreadable": directUnreadable,
	"set":        directSet,
	"store": func(_ *testing.T, w *world, _ *script, words []string) error {
		m, ok := w.store.Store.(interface{ SetDown(bool) })
		if !ok {
			return errors.New("only the store in memory can go down")
		}
		m.SetDown(words[0] == "down")
		return nil
	},
	"sweep": func(_ *testing.T, w *world, _ *script, _ []string) error {
		m, ok := w.store.Store.(interface{ Sweep() })
		if !ok {
			return errors.New("only the store in memory can be swept")
		}
		m.Sweep()
		return nil
	},
}

// directMessage is "message INBOX 1.eml x40 (\Seen)".
func directMessage(t *testing.T, w *world, s *script, words []string) error {
	if len(words) < 2 {
		return errors.New("needs a mailbox and a section")
	}
	box, err := w.account.Mailbox(t.Context(), words[0])
	if err != nil {
		return err
	}
	times, flags := 1, []imap.Flag(nil)
	for _, word := range words[2:] {
		if n, err := strconv.Atoi(strings.TrimPrefix(word, "x")); err == nil {
			times = n
			continue
		}
		flags = append(flags, imap.Flag(strings.Trim(word, "()")))
	}
	return deliver(t, w.account, box.ID, s.message(t, words[1]), flags, times)
}

func deliver(t testing.TB, a store.Account, box store.MailboxID, octets []byte, fs []imap.Flag, times int) error {
	spooled, err := message.Spool(strings.NewReader(string(octets)), message.SpoolOptions{Dir: t.TempDir()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spooled.Close()) }()
	drafts := make([]*store.Draft, times)
	for i := range drafts {
		drafts[i] = &store.Draft{Spooled: spooled, Flags: fs, Received: received}
	}
	_, err = a.Append(t.Context(), box, drafts...)
	return err
}

// directFlags is "flags INBOX 1:3 +(\Seen)".
func directFlags(t *testing.T, w *world, _ *script, words []string) error {
	box, uids, err := w.target(t, words)
	if err != nil || len(words) < 3 {
		return errors.Join(err, errors.New("needs a mailbox, UIDs and flags"))
	}
	op := map[byte]imap.StoreFlagsOp{'+': imap.StoreFlagsAdd, '-': imap.StoreFlagsDel, '=': imap.StoreFlagsSet}[words[2][0]]
	var fs []imap.Flag
	for _, word := range words[2:] {
		if name := strings.Trim(word, "+-=()"); name != "" {
			fs = append(fs, imap.Flag(name))
		}
	}
	_, err = w.account.SetFlags(t.Context(), box, uids, store.FlagChange{Op: op, Flags: fs})
	return err
}

// directExpunge is "expunge INBOX 1:3".
func directExpunge(t *testing.T, w *world, _ *script, words []string) error {
	box, uids, err := w.target(t, words)
	if err != nil {
		return err
	}
	_, err = w.account.Expunge(t.Context(), box, uids, store.Actor{Protocol: "imap"})
	return err
}

// directUnreadable is "unreadable INBOX 3" or "unreadable INBOX 3 after 100000".
func directUnreadable(t *testing.T, w *world, _ *script, words []string) error {
	_, uids, err := w.target(t, words)
	if err != nil {
		return err
	}
	after := int64(-1)
	if len(words) == 4 {
		if after, err = strconv.ParseInt(words[3], 10, 64); err != nil {
			return err
		}
	}
	nums, _ := uids.Nums()
	w.store.damage(nums, after)
	return nil
}

func (w *world) target(t *testing.T, words []string) (store.MailboxID, imap.UIDSet, error) {
	if len(words) < 2 {
		return 0, nil, errors.New("needs a mailbox and UIDs")
	}
	box, err := w.account.Mailbox(t.Context(), words[0])
	if err != nil {
		return 0, nil, err
	}
	d := decoderOf(words[1])
	uids := d.UIDSet()
	return box.ID, static(uids, box.UIDNext-1), d.Err()
}

// directSet is "set idle-keepalive 50ms": an option of the server, before the first connection.
func directSet(_ *testing.T, w *world, _ *script, words []string) error {
	if len(words) != 2 {
		return errors.New("needs an option and a value")
	}
	durations := map[string]*time.Duration{
		"idle-keepalive": &w.server.IdleKeepalive, "idle-timeout": &w.server.IdleTimeout,
		"login-timeout": &w.server.LoginTimeout, "stall-timeout": &w.server.Limits.Stall,
		"progress-interval": &w.server.ProgressInterval, "search-time": &w.store.searchTime,
	}
	numbers := map[string]*int{
		"compressed":    &w.server.MaxCompressed,
		"message-limit": &w.server.MessageLimit, "save-limit": &w.server.SaveLimit,
		"bad-commands": &w.server.Limits.Bad, "min-rate": &w.server.Limits.MinRate,
		"sessions": &w.server.MaxSessionsPerAccountAndAddress, "sessions-all": &w.server.MaxSessionsPerAccount,
	}
	var err error
	switch {
	case durations[words[0]] != nil:
		*durations[words[0]], err = time.ParseDuration(words[1])
	case numbers[words[0]] != nil:
		*numbers[words[0]], err = strconv.Atoi(words[1])
	case words[0] == "not-with-anyone":
		w.server.NotWithAnyone = true
	case words[0] == "uidonly":
		w.server.UIDOnly = true
	case words[0] == "disable":
		w.server.Disable = strings.Split(words[1], ",")
	case words[0] == "account-disable":
		w.server.Auth.(*testAuth).disable = words[1]
	case words[0] == "max-metadata":
		w.server.MaxMetadata, err = strconv.Atoi(words[1])
	case words[0] == "admin":
		w.server.Admin = words[1]
	case words[0] == "admins":
		w.server.Admins = []string{strings.ToUpper(w.account.Address())}
	case words[0] == "early-octets":
		w.server.Limits.Early, err = strconv.ParseInt(words[1], 10, 64)
	case words[0] == "max-message":
		w.server.MaxMessage, err = strconv.ParseInt(words[1], 10, 64)
	default:
		err = errors.New("no such option")
	}
	return err
}

// testAuth knows one user, and those that are added.
type testAuth struct {
	id      store.AccountID
	disable string

	mu     sync.Mutex
	others map[string]store.AccountID // guarded by mu
}

func (a *testAuth) add(user string, id store.AccountID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.others == nil {
		a.others = make(map[string]store.AccountID)
	}
	a.others[user] = id
}

func (a *testAuth) find(user string) (store.AccountID, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if user == testUser {
		return a.id, true
	}
	id, ok := a.others[user]
	return id, ok
}

func (a *testAuth) Keep(auth.Identity, auth.Peer, func()) *auth.Stay { return nil }

func (a *testAuth) Mechanisms(auth.Peer) []string { return []string{"PLAIN"} }

func (a *testAuth) Login(_ context.Context, _ auth.Peer, user, password string) (auth.Identity, error) {
	id, ok := a.find(user)
	if !ok || password != testPassword {
		return auth.Identity{}, auth.ErrDenied
	}
	return auth.Identity{Account: id, User: user, Disable: a.disable}, nil
}

func (a *testAuth) Exchange(
	ctx context.Context, p auth.Peer, mech string, initial []byte, ask func([]byte) ([]byte, error),
) (auth.Identity, error) {
	if mech != "PLAIN" {
		return auth.Identity{}, auth.ErrMechanism
	}
	if initial == nil {
		var err error
		if initial, err = ask(nil); err != nil {
			return auth.Identity{}, err
		}
	}
	words := strings.Split(string(initial), "\x00")
	if len(words) != 3 {
		return auth.Identity{}, auth.ErrCancelled
	}
	return a.Login(ctx, p, words[1], words[2])
}

// faultyStore is a store some of whose messages cannot be read.
type faultyStore struct {
	store.Store
	mu     sync.Mutex
	faults map[imap.UID]int64 // how much can be read; -1 means that not even Messages gives it

	searchTime time.Duration // how long Search takes at least
}

func (s *faultyStore) damage(uids []imap.UID, after int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, uid := range uids {
		s.faults[uid] = after
	}
}

func (s *faultyStore) fault(uid imap.UID) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	after, ok := s.faults[uid]
	return after, ok
}

func (s *faultyStore) Account(ctx context.Context, id store.AccountID) (store.Account, error) {
	a, err := s.Store.Account(ctx, id)
	return &faultyAccount{Account: a, store: s}, err
}

type faultyAccount struct {
	store.Account
	store *faultyStore
}

func (a *faultyAccount) Search(ctx context.Context, have *store.Snapshot, c *store.Criteria) ([]imap.UID, error) {
	if a.store.searchTime > 0 {
		select {
		case <-time.After(a.store.searchTime):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return a.Account.Search(ctx, have, c)
}

var errBroken = errors.New("broken on purpose")

func (a *faultyAccount) Messages(
	ctx context.Context, have *store.Snapshot, uids imap.UIDSet, want store.Fields,
) iter.Seq2[*store.Message, error] {
	return func(yield func(*store.Message, error) bool) {
		for m, err := range a.Account.Messages(ctx, have, uids, want) {
			if m != nil && err == nil {
				after, ok := a.store.fault(m.UID)
				switch {
				case ok && after < 0:
					err = fmt.Errorf("read UID %d: %w", m.UID, errBroken)
				case ok:
					m.Body = &brokenBody{m.Body, after}
				}
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// brokenBody can be read up to a point.
type brokenBody struct {
	io.ReaderAt
	after int64
}

func (b *brokenBody) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.after {
		return 0, errBroken
	}
	return b.ReaderAt.ReadAt(p, off)
}
