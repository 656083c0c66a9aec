package pop3

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/auth"
	"postern/pkg/message"
	"postern/pkg/store"
)

const (
	alice  = "alice@example.org"
	secret = "open sesame"
)

// world is a server on a loopback port, over a store that can be made to fail.
type world struct {
	t      *testing.T
	store  *faultyStore
	server *Server
	addr   string
}

func newWorld(t *testing.T, change ...func(*Server)) *world {
	t.Helper()
	w := &world{t: t, store: &faultyStore{backend: newBackend(t), faults: make(map[string]error)}}
	id := w.store.AddAccount(alice, "", 0)
	w.server = &Server{
		Accounts: w.store, Hostname: "mail.example.org",
		Auth: &doorman{users: map[string]store.AccountID{alice: id}},
	}
	for _, f := range change {
		f(w.server)
	}
	w.addr = startServing(t, w.server)
	return w
}

func startServing(t *testing.T, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, s, l)
	return l.Addr().String()
}

func serveOn(t *testing.T, s *Server, l net.Listener) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()        // what a test left open is cut off
		s.Shutdown(ctx) //nolint:errcheck // it says so
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func (w *world) account() store.Account {
	w.t.Helper()
	a, err := w.store.backend.Account(context.Background(), w.server.Auth.(*doorman).users[alice])
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// deliver puts messages into INBOX.
func (w *world) deliver(messages ...string) {
	w.t.Helper()
	a := w.account()
	box, err := a.Mailbox(context.Background(), "INBOX")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, text := range messages {
		s, err := message.Spool(strings.NewReader(text), message.SpoolOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := a.Append(context.Background(), box.ID, &store.Draft{Spooled: s, Received: time.Unix(0, 0)}); err != nil {
			w.t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
}

// expunge removes messages as an IMAP session would.
func (w *world) expunge(uids ...imap.UID) {
	w.t.Helper()
	a := w.account()
	box, err := a.Mailbox(context.Background(), "INBOX")
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := a.Expunge(context.Background(), box.ID, imap.UIDSetNum(uids...), store.Actor{Protocol: "imap"}); err != nil {
		w.t.Fatal(err)
	}
}

// awaitUnlocked waits until no session has the maildrop.
func (w *world) awaitUnlocked() {
	w.t.Helper()
	for {
		lease, err := w.account().LockMaildrop(context.Background())
		if err == nil {
			lease.Release()
			return
		}
		if !errors.Is(err, store.ErrInUse) {
			w.t.Fatal(err)
		}
		runtime.Gosched()
	}
}

func (w *world) uids() []imap.UID {
	w.t.Helper()
	_, snap, err := w.account().Open(context.Background(), "INBOX")
	if err != nil {
		w.t.Fatal(err)
	}
	var uids []imap.UID
	for i := range snap.Len() {
		uids = append(uids, snap.UID(i))
	}
	return uids
}

// faultyStore is a store in which single operations fail on demand.
type faultyStore struct {
	backend

	mu     sync.Mutex
	faults map[string]error // by operation: account, lock, open, messages, expunge, "page <uid>" (once), "body <uid>"
	lost   []chan struct{}  // of the leases given out
	asked  []imap.UIDSet    // of Messages
}

func (s *faultyStore) fail(op string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[op] = err
}

func (s *faultyStore) fault(op string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults[op]
}

// faultOnce is fault for what works again the next time.
func (s *faultyStore) faultOnce(op string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.faults[op]
	delete(s.faults, op)
	return err
}

func (s *faultyStore) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// loseLeases makes every lease run out.
func (s *faultyStore) loseLeases() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, lost := range s.lost {
		close(lost)
	}
	s.lost = nil
}

func (s *faultyStore) queries() []imap.UIDSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *faultyStore) Account(ctx context.Context, id store.AccountID) (store.Account, error) {
	if err := s.fault("account"); err != nil {
		return nil, err
	}
	a, err := s.backend.Account(ctx, id)
	return &faultyAccount{a, s}, err
}

type faultyAccount struct {
	store.Account
	s *faultyStore
}

func (a *faultyAccount) LockMaildrop(ctx context.Context) (*store.Lease, error) {
	if err := a.s.fault("lock"); err != nil {
		return nil, err
	}
	lease, err := a.Account.LockMaildrop(ctx)
	if err != nil {
		return nil, err
	}
	lost := make(chan struct{})
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.s.lost = append(a.s.lost, lost)
	return &store.Lease{Lost: lost, Release: lease.Release}, nil
}

func (a *faultyAccount) Open(ctx context.Context, name string) (store.Mailbox, *store.Snapshot, error) {
	if err := a.s.fault("open"); err != nil {
		return store.Mailbox{}, nil, err
	}
	return a.Account.Open(ctx, name)
}

func (a *faultyAccount) Expunge(ctx context.Context, box store.MailboxID, uids imap.UIDSet, by store.Actor) ([]imap.UID, error) {
	if err := a.s.fault("expunge"); err != nil {
		return nil, err
	}
	return a.Account.Expunge(ctx, box, uids, by)
}

func (a *faultyAccount) Messages(
	ctx context.Context, have *store.Snapshot, uids imap.UIDSet, want store.Fields,
) iter.Seq2[*store.Message, error] {
	a.s.mu.Lock()
	a.s.asked = append(a.s.asked, uids)
	a.s.mu.Unlock()
	return func(yield func(*store.Message, error) bool) {
		if err := a.s.fault("messages"); err != nil {
			yield(nil, err)
			return
		}
		for m, err := range a.Account.Messages(ctx, have, uids, want) {
			if m != nil {
				if err := a.s.faultOnce("page " + imap.UIDSetNum(m.UID).String()); err != nil {
					yield(nil, err)
					return
				}
				m.Body = faultyBody{ctx, a.s, imap.UIDSetNum(m.UID).String(), m.Body}
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// faultyBody fails as a whole, after its first octets, or not before its context ends.
type faultyBody struct {
	ctx  context.Context
	s    *faultyStore
	uid  string
	body io.ReaderAt
}

var (
	errHang  = errors.New("hang until the context ends")
	errPanic = errors.New("panic")
)

func (b faultyBody) ReadAt(p []byte, off int64) (int, error) {
	err := b.s.fault("body " + b.uid)
	if err == nil && off > 0 {
		err = b.s.fault("tail " + b.uid)
	}
	if errors.Is(err, errHang) {
		<-b.ctx.Done()
		err = store.ErrUnavailable
	}
	if errors.Is(err, errPanic) {
		panic("on purpose")
	}
	if err != nil {
		return 0, err
	}
	return b.body.ReadAt(p, off)
}

// doorman knows accounts and one password. It stands in for package auth, without its delays.
type doorman struct {
	users map[string]store.AccountID
	none  bool // offers no mechanism, as on a connection without TLS
}

func (d *doorman) Keep(auth.Identity, auth.Peer, func()) *auth.Stay { return nil }

func (d *doorman) Mechanisms(auth.Peer) []string {
	if d.none {
		return nil
	}
	return []string{"PLAIN", "LOGIN"}
}

func (d *doorman) Login(_ context.Context, _ auth.Peer, user, password string) (auth.Identity, error) {
	id, ok := d.users[user]
	switch {
	case user == "busy@example.org":
		return auth.Identity{}, auth.ErrThrottled
	case user == "away@example.org":
		return auth.Identity{}, store.ErrUnavailable
	case !ok || password != secret:
		return auth.Identity{}, auth.ErrDenied
	}
	return auth.Identity{Account: id, User: user}, nil
}

func (d *doorman) Exchange(
	ctx context.Context, p auth.Peer, mech string, initial []byte, ask func([]byte) ([]byte, error),
) (auth.Identity, error) {
	if mech == "LOGIN" {
		user, err := ask([]byte("Username:"))
		if err != nil {
			return auth.Identity{}, err
		}
		password, err := ask([]byte("Password:"))
		if err != nil {
			return auth.Identity{}, err
		}
		return d.Login(ctx, p, string(user), string(password))
	}
	if initial == nil {
		var err error
		if initial, err = ask(nil); err != nil {
			return auth.Identity{}, err
		}
	}
	parts := strings.Split(string(initial), "\x00")
	if len(parts) != 3 {
		return auth.Identity{}, auth.ErrDenied
	}
	return d.Login(ctx, p, parts[1], parts[2])
}
