package postgres

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"postern/pkg/store"
)

const (
	channel = "postern" // of LISTEN and NOTIFY

	noteLimit   = 7900                  // octets of a notification; PostgreSQL takes fewer than 8000
	noteFloor   = 10 * time.Millisecond // between two sends, so that a burst becomes one
	notePending = 100_000               // mailboxes to be told of; beyond, everyone is told to look
	noteAll     = "*"

	listenPing    = 30 * time.Second // of silence, before the listener asks whether the connection lives
	listenBackoff = 5 * time.Second  // at most, between two attempts
)

// notifier collects what other processes must be told. It is safe for concurrent use.
type notifier struct {
	wake chan struct{}

	mu      sync.Mutex
	pending map[boxKey]struct{}
	all     bool
	since   time.Time // of the oldest
}

func newNotifier() *notifier {
	return &notifier{wake: make(chan struct{}, 1), pending: make(map[boxKey]struct{})}
}

// add notes that mailboxes have changed; none stands for the tree, which is mailbox 0.
func (n *notifier) add(id store.AccountID, boxes []store.MailboxID) {
	n.mu.Lock()
	if len(n.pending) == 0 && !n.all {
		n.since = time.Now()
	}
	if len(boxes) == 0 {
		n.pending[boxKey{id, 0}] = struct{}{}
	}
	for _, box := range boxes {
		n.pending[boxKey{id, box}] = struct{}{}
	}
	if len(n.pending) > notePending {
		n.all = true
		clear(n.pending)
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// take returns what is to be sent, as notifications from a node, and since when it has waited.
func (n *notifier) take(node int) (notes []string, since time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	from := strconv.Itoa(node) + "|"
	if n.all {
		notes = []string{from + noteAll}
	} else {
		notes = encodeNotes(from, n.pending)
	}
	n.all = false
	clear(n.pending)
	return notes, n.since
}

// lost puts back that something could not be sent. What exactly no longer matters.
func (n *notifier) lost() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = true
}

// encodeNotes writes "node|account.mailbox;account.mailbox;…", in as many notifications as it takes.
func encodeNotes(from string, boxes map[boxKey]struct{}) []string {
	var notes []string
	b := []byte(from)
	for key := range boxes {
		if len(b)+30 > noteLimit {
			notes = append(notes, string(b))
			b = []byte(from)
		}
		b = strconv.AppendInt(b, int64(key.account), 36)
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(key.box), 36)
		b = append(b, ';')
	}
	if len(b) > len(from) {
		notes = append(notes, string(b))
	}
	return notes
}

// decodeNote reads a notification. ok is false if it is not one of ours; all says that anything may have changed.
func decodeNote(note string) (node int, boxes []boxKey, all, ok bool) {
	from, rest, found := strings.Cut(note, "|")
	node, err := strconv.Atoi(from)
	if !found || err != nil {
		return 0, nil, false, false
	}
	if rest == noteAll {
		return node, nil, true, true
	}
	for entry := range strings.SplitSeq(strings.TrimSuffix(rest, ";"), ";") {
		a, b, _ := strings.Cut(entry, ".")
		id, err1 := strconv.ParseInt(a, 36, 64)
		box, err2 := strconv.ParseInt(b, 36, 64)
		if err1 != nil || err2 != nil {
			return 0, nil, false, false
		}
		boxes = append(boxes, boxKey{store.AccountID(id), store.MailboxID(box)})
	}
	return node, boxes, false, true
}

// PostgreSQL orders the commits of all transactions that notify by one lock, so this never happens in a transaction that
// writes mail; and since nothing is lost with a notification, nobody waits for the disk.
const sqlNotify = `
select set_config('synchronous_commit', 'off', true), pg_notify($1, note)
from unnest($2::text[]) note`

// sendNotes tells other processes what has changed, some milliseconds' worth at a time.
func (s *Store) sendNotes(ctx context.Context) {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-wait.C:
		case <-ctx.Done():
			return
		}
		select {
		case <-s.notify.wake:
		case <-ctx.Done():
			return
		}
		pause := noteFloor
		if err := s.sendNote(ctx); err != nil {
			s.notify.lost()
			s.notify.add(0, nil) // try again
			pause = listenBackoff
		}
		wait.Reset(pause)
	}
}

func (s *Store) sendNote(ctx context.Context) error {
	notes, since := s.notify.take(s.ids.number())
	if len(notes) == 0 || s.presence.alone() {
		return nil // who comes later looks for himself
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := s.pool.Exec(ctx, sqlNotify, channel, notes)
	s.outage.report("notify", err)
	if err == nil {
		s.metrics.notifyDelay.Observe(time.Since(since).Seconds())
	}
	return err
}

// listen hears what other processes have changed. It owns one connection, the first of which is conn; when that is lost it gets
// another and wakes everyone, for notes may have been lost with it. The last one is for Close.
func (s *Store) listen(ctx context.Context, conn *pgx.Conn) {
	backoff := 50 * time.Millisecond
	for {
		var err error
		if conn == nil {
			if conn, err = s.appear(ctx); err == nil {
				backoff = 50 * time.Millisecond
				s.outage.report("listen", nil)
				s.wakeAll()
				s.logins.changed(0)
			}
		}
		if err == nil {
			err = s.attend(ctx, conn)
		}
		if ctx.Err() != nil {
			s.listener = conn
			return
		}
		if conn != nil {
			closeConn(conn)
			conn = nil
		}
		s.outage.report("listen", err)
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return
		}
		backoff = min(2*backoff, listenBackoff)
	}
}

// appear makes the connection on which this process listens, and by which others know of it.
func (s *Store) appear(ctx context.Context) (*pgx.Conn, error) {
	cfg := s.pool.Config().ConnConfig
	cfg.Tracer = nil // it waits for hours; that is not the time of a statement
	dial, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(dial, cfg)
	if err != nil {
		return nil, err
	}
	if _, err = conn.Exec(dial, `listen `+channel); err == nil {
		err = s.enter(ctx, conn)
	}
	if err == nil {
		_, err = s.upkeep(ctx, conn)
	}
	if err != nil {
		closeConn(conn)
		return nil, err
	}
	return conn, nil
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // it is of no more use, whatever the error
}

// heard wakes those whom a notification concerns. Our own were woken at the commit. It reports whether a process that has just
// begun asks for room.
func (s *Store) heard(n *pgconn.Notification) (room bool) {
	if from, rest, _ := strings.Cut(n.Payload, "|"); rest == noteRoom {
		return from != strconv.Itoa(s.ids.number())
	}
	node, boxes, all, ok := decodeNote(n.Payload)
	switch {
	case !ok || node == s.ids.number():
	case all:
		s.wakeAll()
	default:
		for _, key := range boxes {
			if key.box == loginBox {
				s.logins.changed(key.account)
				continue
			}
			s.cache.hear(key)
			s.hub.Wake(key.account, key.box)
		}
	}
	return false
}

// wakeAll is for when anything may have changed.
func (s *Store) wakeAll() {
	s.cache.hearAll()
	s.hub.WakeAll()
}
