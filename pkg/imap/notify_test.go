package imap

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// describe spells out what NOTIFY asks for.
func (r notifyRequest) describe() string {
	var b strings.Builder
	if r.status {
		b.WriteString("status ")
	}
	for i := range r.groups {
		g := &r.groups[i]
		fmt.Fprintf(&b, "[%s%q %b", g.kind, g.names, g.events)
		for _, it := range g.fetch {
			b.WriteString(" " + describeItem(it))
		}
		b.WriteString("]")
	}
	if r.unsupported {
		b.WriteString("!")
	}
	return b.String()
}

func TestParseNotify(t *testing.T) {
	t.Parallel()
	many := strings.Repeat(" (personal NONE)", maxEventGroups)
	tests := []struct{ line, want string }{
		{` NONE`, ``},
		{` set (personal none)`, `[PERSONAL[] 0]`},
		{` SET STATUS (selected NONE) (personal NONE)`, `status [SELECTED[] 0][PERSONAL[] 0]`},
		{` SET (Selected-Delayed (messagenew MESSAGEEXPUNGE FlagChange))`, `[SELECTED-DELAYED[] 111]`},
		{` SET (selected (MessageNew (FLAGS) MessageExpunge))`, `[SELECTED[] 11 UID FLAGS]`},
		{` SET (selected (MessageNew (FLAGS UID PREVIEW (LAZY)) MessageExpunge))`, `[SELECTED[] 11 FLAGS UID ` + describeItem(lazyPreviewItem) + `]`},
		{` SET (mailboxes inbox (MailboxName))`, `[MAILBOXES["INBOX"] 1000]`},
		{` SET (subtree ("a b" {1}` + "\r\n" + `c) (SubscriptionChange))`, `[SUBTREE["a b" "c"] 10000]`},
		{` SET (personal (MailboxMetadataChange ServerMetadataChange))`, `[PERSONAL[] 1100000]`},
		{` SET (personal (AnnotationChange))`, `[PERSONAL[] 0]!`},
		{` SET` + many, strings.Repeat(`[PERSONAL[] 0]`, maxEventGroups)},
		{` SET` + many + ` (personal NONE)`, `BAD`},
		{` SET (personal (` + strings.Repeat("X ", maxEvents) + `X))`, `BAD`},
		{` SET (mailboxes (` + strings.Repeat("x ", maxEventNames) + `x) NONE)`, `BAD`},
		{` SET (mailboxes (` + strings.Repeat("x ", 600) + `x) NONE) (mailboxes (` + strings.Repeat("x ", 600) + `x) NONE)`, `BAD`},
		{` SET (personal)`, `BAD`},
		{` SET personal NONE`, `BAD`},
		{` SET (personal NONE)x`, `BAD`},
		{` SET (personal (MessageNew(UID) MessageExpunge))`, `BAD`},
		{` SETSTATUS (personal NONE)`, `BAD`},
	}
	for _, tt := range tests {
		r, err := parseNotify(decoderOf(tt.line), 0)
		got := r.describe()
		if err != nil {
			got = "BAD"
		}
		if got != tt.want {
			t.Errorf("NOTIFY%.100s: %s %v, want %s", tt.line, got, err, tt.want)
		}
	}
}

func FuzzParseNotify(f *testing.F) {
	f.Add(` SET STATUS (selected-delayed (MessageNew (UID BODY.PEEK[HEADER.FIELDS (From)]) MessageExpunge)) (subtree (a "b c") NONE)`)
	f.Add(` SET (mailboxes INBOX (MailboxName SubscriptionChange X-Y))`)
	f.Add(` NONE`)
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseNotify(decoderOf(line), 0)
		if err != nil {
			return
		}
		names, selected := 0, 0
		for i := range r.groups {
			g := &r.groups[i]
			names += len(g.names)
			if g.selected() {
				selected++
			}
			if !r.unsupported && g.events.has(messageEvents) && !g.events.has(messageNew) || len(g.fetch) > maxFetchItems+1 {
				t.Fatalf("%q: %s", line, r.describe())
			}
		}
		if len(r.groups) > maxEventGroups || names > maxEventNames || selected > 1 {
			t.Fatalf("%q: %s", line, r.describe())
		}
		r.eventsOf("INBOX", true, true)
	})
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	tests := []struct{ a, b, want string }{
		{"", "", ""},
		{"a b c", "a b c", ""},
		{"a b c", "b c d", "a d"},
		{"", "x", "x"},
		{"x y", "", "x y"},
		{"b", "a c", "a b c"},
	}
	for _, tt := range tests {
		if got := strings.Join(differences(strings.Fields(tt.a), strings.Fields(tt.b)), " "); got != tt.want {
			t.Errorf("%q and %q: %q", tt.a, tt.b, got)
		}
	}
}

// surveyedStore counts how often all mailboxes are asked for.
type surveyedStore struct {
	store.Store
	surveys  atomic.Int64
	failures atomic.Int64 // how many more times the subscriptions cannot be had
}

func (s *surveyedStore) Account(ctx context.Context, id store.AccountID) (store.Account, error) {
	a, err := s.Store.Account(ctx, id)
	return &surveyedAccount{a, s}, err
}

type surveyedAccount struct {
	store.Account
	counter *surveyedStore
}

func (a *surveyedAccount) Mailboxes(ctx context.Context, in ...store.Branch) ([]store.Mailbox, error) {
	a.counter.surveys.Add(1)
	return a.Account.Mailboxes(ctx, in...)
}

func (a *surveyedAccount) Subscriptions(ctx context.Context) ([]string, error) {
	if a.counter.failures.Add(-1) >= 0 {
		return nil, store.ErrUnavailable
	}
	return a.Account.Subscriptions(ctx)
}

// Messages fails under a deadline, which a client that is slow to hear what it yields would meet.
func (a *surveyedAccount) Messages(ctx context.Context, have *store.Snapshot, uids imap.UIDSet, want store.Fields) iter.Seq2[*store.Message, error] {
	if _, ok := ctx.Deadline(); ok {
		return func(yield func(*store.Message, error) bool) { yield(nil, context.DeadlineExceeded) }
	}
	return a.Account.Messages(ctx, have, uids, want)
}

// manyMailboxes makes a world with n mailboxes, named "0" and so on.
func manyMailboxes(t testing.TB, n int) (*world, *surveyedStore, []store.MailboxID) {
	w := newWorld(t)
	counter := &surveyedStore{Store: w.store}
	w.server.Accounts = counter
	boxes := make([]store.MailboxID, n)
	for i := range boxes {
		box, err := w.account.Create(t.Context(), fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		boxes[i] = box.ID
	}
	return w, counter, boxes
}

// TestNotifyMany delivers to many of many mailboxes at once. The client must hear of each, and the store must not be asked for
// each.
func TestNotifyMany(t *testing.T) {
	t.Parallel()
	const mailboxes, deliveries = 1000, 300
	w, counter, boxes := manyMailboxes(t, mailboxes)
	c := w.login(t)
	c.send(t, []byte("a NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))\r\n"))
	if s, err := c.response(); err != nil || !strings.HasPrefix(s, "a OK") {
		t.Fatal(s, err)
	}
	before := counter.surveys.Load()
	for _, box := range boxes[:deliveries] {
		if err := deliver(t, w.account, box, []byte("Subject: x\r\n\r\nx\r\n"), nil, 1); err != nil {
			t.Fatal(err)
		}
	}
	heard := make(map[string]bool)
	for len(heard) < deliveries {
		s, err := c.response()
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(s)
		if len(words) < 3 || words[1] != "STATUS" || !strings.Contains(s, "(MESSAGES 1 UIDNEXT 2 ") || heard[words[2]] {
			t.Fatalf("heard %q", s)
		}
		heard[words[2]] = true
	}
	if n := counter.surveys.Load() - before; n > deliveries/2 {
		t.Errorf("the store was asked %d times about %d deliveries", n, deliveries)
	}
}

// TestNotifyOwn: a client that stores many messages does not make the store say each time how all mailboxes are, and hears
// nothing of what it did.
func TestNotifyOwn(t *testing.T) {
	t.Parallel()
	const messages = 300
	w, counter, _ := manyMailboxes(t, 1000)
	c := w.login(t)
	c.send(t, []byte("a NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))\r\n"))
	await(t, c, "a OK")
	before := counter.surveys.Load()
	c.send(t, []byte(strings.Repeat("b APPEND Sent {2+}\r\n\r\n\r\n", messages)+"c CREATE last\r\n"))
	for heard := 0; heard <= messages; heard++ {
		if s, err := c.response(); err != nil || !strings.HasPrefix(s, "b OK") && !strings.HasPrefix(s, "c OK") {
			t.Fatalf("heard %q, %v", s, err)
		}
	}
	if n := counter.surveys.Load() - before; n > messages/2 {
		t.Errorf("the store was asked %d times about %d messages of its own", n, messages)
	}
}

// TestNotifySubscriptionsAway: a store that has failed once to say what is subscribed makes no subscription news.
func TestNotifySubscriptionsAway(t *testing.T) {
	t.Parallel()
	w, counter, _ := manyMailboxes(t, 1)
	c := w.login(t)
	c.send(t, []byte("a NOTIFY SET (personal (SubscriptionChange))\r\n"))
	await(t, c, "a OK")
	counter.failures.Store(1)
	if err := w.account.Subscribe(t.Context(), "0", true); err != nil {
		t.Fatal(err)
	}
	if s, err := c.response(); err != nil || s != `* LIST (\HasNoChildren \Subscribed) "/" 0` {
		t.Fatalf("heard %q, %v", s, err)
	}
	c.send(t, []byte("b NOOP\r\n"))
	if s, err := c.response(); err != nil || !strings.HasPrefix(s, "b OK") {
		t.Fatalf("heard %q, %v", s, err)
	}
}

// TestNotifySlowClient: a client that is told of new messages may take as long for it as for FETCH, in IDLE and after a command.
func TestNotifySlowClient(t *testing.T) {
	t.Parallel()
	w, _, _ := manyMailboxes(t, 0)
	c := w.login(t)
	c.send(t, []byte("a SELECT INBOX\r\nb NOTIFY SET (selected (MessageNew (UID BODY.PEEK[]) MessageExpunge))\r\nc IDLE\r\n"))
	await(t, c, "+ ")
	box, err := w.account.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for uid := 1; uid <= 2; uid++ {
		if err := deliver(t, w.account, box.ID, []byte("Subject: x\r\n\r\nx\r\n"), nil, 1); err != nil {
			t.Fatal(err)
		}
		if uid == 2 {
			c.send(t, []byte("d NOOP\r\n"))
		}
		await(t, c, fmt.Sprintf("* %d FETCH (UID %d BODY[] {17}", uid, uid))
	}
}

// TestNotifyOverflow: a client that more has happened to than it can be told is told that.
func TestNotifyOverflow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.login(t)
	c.send(t, []byte("a SELECT INBOX\r\nb NOTIFY SET (selected (MessageNew (UID) MessageExpunge))\r\n"))
	await(t, c, "b OK")
	box, err := w.account.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if err := deliver(t, w.account, box.ID, []byte("Subject: x\r\n\r\nx\r\n"), nil, maxToldNew+1); err != nil {
		t.Fatal(err)
	}
	await(t, c, fmt.Sprintf("* %d EXISTS", maxToldNew+1))
	await(t, c, "* OK [NOTIFICATIONOVERFLOW]")
	c.send(t, []byte("c NOOP\r\n"))
	await(t, c, "c OK")
}

// await reads until a response that begins like this.
func await(t testing.TB, c *client, prefix string) {
	t.Helper()
	for {
		s, err := c.response()
		if err != nil {
			t.Fatalf("waiting for %q: %v", prefix, err)
		}
		switch {
		case strings.HasPrefix(s, prefix):
			return
		case s == "EOF":
			t.Fatalf("the connection ended before %q", prefix)
		}
	}
}

// TestNotifyTimeout: a client that only listens is sent away like one that only waits.
func TestNotifyTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.IdleTimeout = time.Second // in which a client on a busy machine gets to speak
	c := w.login(t)
	c.send(t, []byte("a NOTIFY SET (personal (MailboxName))\r\n"))
	await(t, c, "a OK")
	await(t, c, "* BYE Autologout")
}

// BenchmarkNotify delivers to one of 10,000 mailboxes, and waits until a client that watches all of them has heard of it.
func BenchmarkNotify(b *testing.B) {
	w, _, boxes := manyMailboxes(b, 10_000)
	c := w.dial(b)
	c.send(b, []byte("a LOGIN "+testUser+" "+testPassword+"\r\nb NOTIFY SET (personal (MessageNew MessageExpunge))\r\n"))
	await(b, c, "b OK")
	for i := 0; b.Loop(); i++ {
		if err := deliver(b, w.account, boxes[i%len(boxes)], []byte("Subject: x\r\n\r\nx\r\n"), nil, 1); err != nil {
			b.Fatal(err)
		}
		await(b, c, fmt.Sprintf("* STATUS %d ", i%len(boxes)))
	}
}
