package lmtp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

const (
	alice = "alice@example.org"
	bob   = "bob@example.org"
)

// world is a server on a loopback port, over a store that can be made to fail. It begins to serve at the first dial.
type world struct {
	t      *testing.T
	store  *faultyStore
	server *Server
	ids    map[string]store.AccountID
	start  func() string
}

func newWorld(t *testing.T, change ...func(*Server)) *world {
	t.Helper()
	s := &faultyStore{backend: newBackend(t), faults: make(map[string]error)}
	w := &world{t: t, store: s, server: &Server{Accounts: s, Hostname: "mail.example.org"}, ids: make(map[string]store.AccountID)}
	w.add(alice, 0)
	w.add(bob, 0)
	for _, f := range change {
		f(w.server)
	}
	w.start = sync.OnceValue(func() string { return startServing(t, w.server) })
	return w
}

func (w *world) add(address string, quota int64) {
	w.ids[address] = w.store.AddAccount(address, "", quota)
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

func (w *world) account(address string) store.Account {
	w.t.Helper()
	a, err := w.store.backend.Account(context.Background(), w.ids[address])
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// messages returns what a mailbox holds.
func (w *world) messages(address, mailbox string) []string {
	w.t.Helper()
	a := w.account(address)
	_, snap, err := a.Open(context.Background(), mailbox)
	if err != nil {
		w.t.Fatal(err)
	}
	all := imap.UIDSet{{Start: 1, Stop: snap.UIDNext()}}
	var texts []string
	for m, err := range a.Messages(context.Background(), snap, all, store.WithBody) {
		if err != nil {
			w.t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
		if err != nil {
			w.t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// bodies returns what a mailbox holds, without the trace headers.
func (w *world) bodies(address, mailbox string) []string {
	w.t.Helper()
	texts := w.messages(address, mailbox)
	for i, text := range texts {
		_, rest, ok := strings.Cut(text, "\r\n\tfor <")
		_, body, _ := strings.Cut(rest, "\r\n")
		if !ok {
			w.t.Fatalf("no trace headers: %q", text)
		}
		texts[i] = body
	}
	return texts
}

// talk is a connection driven by a test.
type talk struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (w *world) dial() *talk {
	w.t.Helper()
	return newTalk(w.t, "tcp", w.start())
}

func newTalk(t *testing.T, network, addr string) *talk {
	t.Helper()
	nc, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c := &talk{t, nc, bufio.NewReader(nc)}
	c.hear("220 mail.example.org")
	c.say("LHLO mta.example.net")
	for strings.HasPrefix(c.hear("250"), "250-") {
		continue
	}
	return c
}

func (c *talk) write(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *talk) say(line string) {
	c.t.Helper()
	c.write(line + "\r\n")
}

// hear reads a line that must begin with prefix.
func (c *talk) hear(prefix string) string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, prefix) {
		c.t.Fatalf("want %s, got %q, %v", prefix, line, err)
	}
	return line
}

func (c *talk) hearEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		c.t.Fatalf("want the end, got %q, %v", rest, err)
	}
}

// envelope opens a transaction.
func (c *talk) envelope(from string, to ...string) {
	c.t.Helper()
	c.say("MAIL FROM:<" + from + ">")
	c.hear("250 2.1.0")
	for _, rcpt := range to {
		c.say("RCPT TO:<" + rcpt + ">")
		c.hear("250 2.1.5")
	}
}

// send sends a message, with its dots doubled and its end, to one recipient and returns the reply.
func (c *talk) send(to, data string) string {
	c.t.Helper()
	c.envelope("sender@example.net", to)
	c.say("DATA")
	c.hear("354")
	c.write(data)
	return c.hear("")
}

// faultyStore is a store in which single operations fail on demand.
type faultyStore struct {
	backend

	mu     sync.Mutex
	faults map[string]error // by operation: route, "append <address>"
	stale  map[string]store.Route
	before func(address string) // runs before each Append
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

func (s *faultyStore) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// once makes the next Route of an address give an answer that is no longer true.
func (s *faultyStore) once(address string, r store.Route) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale == nil {
		s.stale = make(map[string]store.Route)
	}
	s.stale[address] = r
}

func (s *faultyStore) Route(ctx context.Context, address string) (store.Route, error) {
	if err := s.fault("route"); err != nil {
		return store.Route{}, err
	}
	s.mu.Lock()
	r, ok := s.stale[address]
	delete(s.stale, address)
	s.mu.Unlock()
	if ok {
		return r, nil
	}
	return s.backend.Route(ctx, address)
}

func (s *faultyStore) Account(ctx context.Context, id store.AccountID) (store.Account, error) {
	a, err := s.backend.Account(ctx, id)
	if err != nil {
		return nil, err
	}
	return &faultyAccount{a, s}, nil
}

type faultyAccount struct {
	store.Account
	s *faultyStore
}

var (
	errHang  = errors.New("hang until the context ends")
	errPanic = errors.New("panic")
)

func (a *faultyAccount) Append(ctx context.Context, box store.MailboxID, drafts ...*store.Draft) ([]imap.UID, error) {
	address := deliveredTo(drafts[0])
	if a.s.before != nil {
		a.s.before(address)
	}
	switch err := a.s.fault("append " + address); {
	case errors.Is(err, errHang):
		<-ctx.Done()
		return nil, ctx.Err()
	case errors.Is(err, errPanic):
		panic("on purpose")
	case err != nil:
		return nil, err
	}
	return a.Account.Append(ctx, box, drafts...)
}

func deliveredTo(d *store.Draft) string {
	_, rest, _ := strings.Cut(string(d.Prefix), "Delivered-To: ")
	address, _, _ := strings.Cut(rest, "\r\n")
	return address
}
