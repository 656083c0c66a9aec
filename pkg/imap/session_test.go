package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern/pkg/message"
	"postern/pkg/store"
	"postern/pkg/store/memory"

	"github.com/emersion/go-imap/v2"
)

// bench is a server over a store in memory whose connections are pipes, so that time can be made to pass in a bubble.
type bench struct {
	server *Server
	store  *countingStore
	pipes  pipeListener
	served chan error
}

func newBench(t testing.TB) *bench {
	s := memory.New()
	id := s.AddAccount(testUser, "", 0)
	b := &bench{store: &countingStore{Store: s}, pipes: pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}}
	b.server = &Server{Accounts: b.store, Auth: &testAuth{id: id}, Spool: message.SpoolOptions{Dir: t.TempDir()}}
	b.served = make(chan error, 1)
	return b
}

func (b *bench) start() { go func() { b.served <- b.server.Serve(&b.pipes) }() }

// stop shuts down and reports what went wrong.
func (b *bench) stop(t testing.TB, grace time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := b.server.Shutdown(ctx)
	return errors.Join(err, <-b.served)
}

// dial opens a connection, and logs in if there is a tag to do it with.
func (b *bench) dial(t testing.TB, tag string) *pipe {
	t.Helper()
	client, server := net.Pipe()
	b.pipes.conns <- server
	p := newPipe(client)
	p.until(t, "* OK")
	if tag != "" {
		p.say(t, tag+" LOGIN "+testUser+" "+testPassword)
		p.until(t, tag+" OK")
	}
	return p
}

// pipeListener hands out the ends of pipes.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// pipe is a client that reads all the time.
type pipe struct {
	net.Conn
	lines chan string // closed at the end of the connection
}

func newPipe(c net.Conn) *pipe {
	p := &pipe{Conn: c, lines: make(chan string, 10_000)}
	go func() {
		defer close(p.lines)
		var held []byte
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			held = append(held, buf[:n]...)
			for {
				line, rest, ok := bytes.Cut(held, []byte("\r\n"))
				if !ok {
					break
				}
				p.lines <- string(line)
				held = rest
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

func (p *pipe) say(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(p, line+"\r\n"); err != nil {
		t.Fatal(err)
	}
}

// until reads lines up to one that begins so, and returns them all.
func (p *pipe) until(t testing.TB, prefix string) []string {
	t.Helper()
	var heard []string
	for line := range p.lines {
		heard = append(heard, line)
		if strings.HasPrefix(line, prefix) {
			return heard
		}
	}
	t.Fatalf("waited for %q, heard %q", prefix, heard)
	return nil
}

// do runs a command and returns what came before its tagged reply.
func (p *pipe) do(t testing.TB, command string) []string {
	t.Helper()
	p.say(t, command)
	tag, _, _ := strings.Cut(command, " ")
	heard := p.until(t, tag+" ")
	return heard[:len(heard)-1]
}

// countingStore counts what sessions ask of it, and can be made to misbehave.
type countingStore struct {
	store.Store
	calls atomic.Int64
	panic atomic.Bool
	hold  chan struct{} // if not nil, Mailboxes waits for it
	held  chan struct{} // and says so
}

func (s *countingStore) Account(ctx context.Context, id store.AccountID) (store.Account, error) {
	a, err := s.Store.Account(ctx, id)
	return &countingAccount{a, s}, err
}

type countingAccount struct {
	store.Account
	s *countingStore
}

func (a *countingAccount) Refresh(ctx context.Context, have *store.Snapshot) (*store.Snapshot, store.Changes, error) {
	a.s.calls.Add(1)
	if a.s.panic.Load() {
		panic("on purpose")
	}
	return a.Account.Refresh(ctx, have)
}

func (a *countingAccount) Open(ctx context.Context, name string) (store.Mailbox, *store.Snapshot, error) {
	a.s.calls.Add(1)
	return a.Account.Open(ctx, name)
}

func (a *countingAccount) ClaimRecent(ctx context.Context, box store.MailboxID, upTo imap.UID) (imap.UID, error) {
	a.s.calls.Add(1)
	return a.Account.ClaimRecent(ctx, box, upTo)
}

func (a *countingAccount) Mailboxes(ctx context.Context, in ...store.Branch) ([]store.Mailbox, error) {
	if a.s.hold != nil {
		close(a.s.held)
		<-a.s.hold
	}
	return a.Account.Mailboxes(ctx, in...)
}

// TestSyncAsksOnlyIfItMust counts statements: an unchanged mailbox costs one when it is selected and none for commands that
// follow each other, save those that are there to ask.
func TestSyncAsksOnlyIfItMust(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		p := b.dial(t, "l")
		p.do(t, "a APPEND INBOX {6+}\r\na: b\r\n")
		p.do(t, "b SELECT INBOX")
		for _, tt := range []struct {
			command string
			calls   int64
		}{
			{"c SELECT INBOX", 1}, // nothing is recent any more
			{"d FETCH 1 FLAGS", 0},
			{"e UID FETCH 1 FLAGS", 0},
			{"f SEARCH ALL", 0},
			{"g NOOP", 1},
			{"h CHECK", 1},
			{"i LIST \"\" *", 0},
			{"j IDLE\r\nDONE", 0},
			{"k APPEND INBOX {6+}\r\na: b\r\n", 2}, // it wrote: Refresh and ClaimRecent
			{"l FETCH 1 FLAGS", 0},
			{"m APPEND Sent {6+}\r\na: b\r\n", 0}, // it wrote elsewhere
		} {
			before := b.store.calls.Load()
			p.do(t, tt.command)
			if got := b.store.calls.Load() - before; got != tt.calls {
				t.Errorf("%.10s: asked %d times, want %d", tt.command, got, tt.calls)
			}
		}
		before := b.store.calls.Load()
		time.Sleep(freshFor) // in the bubble it takes no time
		if p.do(t, "n FETCH 1 FLAGS"); b.store.calls.Load() != before+1 {
			t.Error("a command after a pause does not ask")
		}
		if err := b.stop(t, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// TestIdleKeepalive: for an hour an idling client hears from the server at least every two minutes, and each time the store
// is asked, for notifications get lost.
func TestIdleKeepalive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		p := b.dial(t, "l")
		p.do(t, "a SELECT INBOX")
		p.say(t, "b IDLE")
		p.until(t, "+ ")
		last, calls := time.Now(), b.store.calls.Load()
		for begun := last; time.Since(begun) < time.Hour; last = time.Now() {
			p.until(t, "* OK Still here.")
			if gap := time.Since(last); gap > DefaultIdleKeepalive {
				t.Errorf("silent for %v", gap)
			}
		}
		if got := b.store.calls.Load() - calls; got < 30 {
			t.Errorf("asked %d times", got)
		}
		p.say(t, "DONE")
		p.until(t, "b OK")
		if err := b.stop(t, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// TestStuckPeer: one that takes nothing of what it is sent is gone within ten minutes.
func TestStuckPeer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		client, server := net.Pipe()
		gone := make(chan struct{})
		b.pipes.conns <- &tellingConn{server, sync.OnceFunc(func() { close(gone) })}
		begun := time.Now()
		<-gone // the greeting waits to be read
		if took := time.Since(begun); took > 10*time.Minute {
			t.Errorf("gone after %v", took)
		}
		_ = client.Close()
		if err := b.stop(t, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// tellingConn tells when it is closed.
type tellingConn struct {
	net.Conn
	tell func()
}

func (c *tellingConn) Close() error {
	c.tell()
	return c.Conn.Close()
}

// TestAutologout: RFC 3501 §5.4 asks for thirty minutes at least, after login; before, there is no reason to wait.
func TestAutologout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		for _, tt := range []struct {
			tag      string
			from, to time.Duration
		}{
			{"", time.Minute, 3 * time.Minute},
			{"l", 30 * time.Minute, 40 * time.Minute},
		} {
			p, begun := b.dial(t, tt.tag), time.Now()
			p.until(t, "* BYE")
			if took := time.Since(begun); took < tt.from || took > tt.to {
				t.Errorf("%q: after %v", tt.tag, took)
			}
		}
		// Drops before login do not keep a connection alive.
		p, begun := b.dial(t, ""), time.Now()
		for range 100 {
			if _, err := io.WriteString(p, "x"); err != nil {
				break
			}
			time.Sleep(10 * time.Second)
		}
		if took := time.Since(begun); took > 3*time.Minute {
			t.Errorf("after %v", took)
		}
		if err := b.stop(t, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// TestShutdown: who waits hears BYE at once, who has a command running gets its reply first.
func TestShutdown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store.hold, b.store.held = make(chan struct{}), make(chan struct{})
	b.start()
	idle, waiting, running := b.dial(t, "l"), b.dial(t, "l"), b.dial(t, "l")
	idle.say(t, "a IDLE")
	idle.until(t, "+ ")
	running.say(t, `a LIST "" INBOX`)
	<-b.store.held
	stopped := make(chan error, 1)
	go func() { stopped <- b.stop(t, patience) }()
	idle.until(t, "* BYE")
	waiting.until(t, "* BYE")
	close(b.store.hold)
	running.until(t, "a OK")
	running.until(t, "* BYE")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestShutdownDeadline: what does not end in time is ended.
func TestShutdownDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.server.Limits.Stall = time.Hour
		b.start()
		p := b.dial(t, "l")
		p.say(t, "a APPEND INBOX {100}")
		p.until(t, "+ ")
		if err := b.stop(t, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// TestPanic: a bug ends one session, politely, and no other.
func TestPanic(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.start()
	p, other := b.dial(t, "l"), b.dial(t, "l")
	p.do(t, "a SELECT INBOX")
	b.store.panic.Store(true)
	p.say(t, "b NOOP")
	p.until(t, "* BYE")
	b.store.panic.Store(false)
	other.do(t, "a SELECT INBOX")
	other.do(t, "b NOOP")
	if err := b.stop(t, patience); err != nil {
		t.Error(err)
	}
}

// TestTwoNewsAtOnce: deliveries that come together are both announced to one who idles.
func TestTwoNewsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.start()
	p, other := b.dial(t, "l"), b.dial(t, "l")
	p.do(t, "a SELECT INBOX")
	p.say(t, "b IDLE")
	p.until(t, "+ ")
	const n = 50
	for range n {
		other.do(t, "a APPEND INBOX {6+}\r\na: b\r\n")
	}
	p.until(t, fmt.Sprintf("* %d EXISTS", n))
	if err := b.stop(t, patience); err != nil {
		t.Error(err)
	}
}
