package imap

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// TestAnswers: all texts about a message or none, and nobody else's.
func TestAnswers(t *testing.T) {
	t.Parallel()
	r := newAnswers(1 << 20)
	key := answerKey{account: 1, message: 2}
	put := func(key answerKey, item, text string) {
		key.item = item
		r.put(key, text)
	}
	put(key, "A", "first")
	put(key, "B", "second")
	put(key, "A", "newer")
	put(answerKey{account: 1, message: 3}, "A", "another")
	for _, tt := range []struct {
		key   answerKey
		items []string
		want  []string
	}{
		{key, []string{"A", "B"}, []string{"newer", "second"}},
		{key, []string{"B"}, []string{"second"}},
		{key, []string{"A", "C"}, nil},
		{answerKey{account: 2, message: 2}, []string{"A"}, nil},
		{answerKey{account: 1, message: 2, utf8: true}, []string{"A"}, nil},
		{answerKey{account: 1, message: 3}, []string{"A", "B"}, nil},
	} {
		got, ok := r.get([]string{"before"}, tt.key, tt.items)
		if ok != (tt.want != nil) || !slices.Equal(got, append([]string{"before"}, tt.want...)) {
			t.Errorf("%v %v: %v, %v", tt.key, tt.items, got, ok)
		}
	}
}

// TestAnswersRoom: what was used longest ago makes room, and what is too long is not kept.
func TestAnswersRoom(t *testing.T) {
	t.Parallel()
	const three = 3 * (answerOverhead + 1 + 100)
	r := newAnswers(three)
	has := func(id store.MessageID) bool {
		_, ok := r.get(nil, answerKey{message: id}, []string{"A"})
		return ok
	}
	for id := range store.MessageID(3) {
		r.put(answerKey{message: id, item: "A"}, strings.Repeat("x", 100))
	}
	if !has(0) {
		t.Error("three do not fit")
	}
	r.put(answerKey{message: 3, item: "A"}, strings.Repeat("x", 100))
	if !has(0) || has(1) || !has(2) || !has(3) || r.taken != three || len(r.byKey) != 3 {
		t.Errorf("0 %v, 1 %v, 2 %v, 3 %v, %d octets", has(0), has(1), has(2), has(3), r.taken)
	}
	r.put(answerKey{message: 4, item: "A"}, strings.Repeat("x", three))
	big := newAnswers(1 << 30)
	big.put(answerKey{message: 5, item: "A"}, strings.Repeat("x", maxAnswer+1))
	if has(4) || big.taken != 0 {
		t.Error("what is too long was kept")
	}
	if none := newAnswers(-1); none.room > 0 {
		t.Error("room for what is not to be kept")
	}
}

// again is what a client asks for twice.
const again = "FETCH 1:* (FLAGS ENVELOPE UID BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT)])"

// TestFetchAgain asks for the same twice, and the second time the messages cannot be read any more: the answers are the same,
// but for flags, numbers and messages that have changed. What was not asked for before is still read.
func TestFetchAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 9 {
		w.inbox(t, 1, fmt.Sprintf("Subject: mail %d\r\nFrom: ann@example.org\r\n\r\nHi.\r\n", i+1))
	}
	w.login(t).exchange(t, "z SELECT INBOX") // to whom the messages are \Recent
	c := w.login(t)
	c.exchange(t, "a SELECT INBOX")
	first := c.exchange(t, "t "+again)
	if len(first) != 10 || !strings.Contains(first[2], `* 3 FETCH (FLAGS () ENVELOPE (NIL "mail 3" `) || !strings.Contains(first[2], "Subject: mail 3\r\n\r\n)") {
		t.Fatalf("%q", first)
	}
	w.store.damage([]imap.UID{1, 2, 3, 4, 5, 6, 7, 8, 9}, -1)
	if second := c.exchange(t, "t "+again); !slices.Equal(first, second) {
		t.Errorf("%q\nand then\n%q", first, second)
	}
	other := w.login(t)
	other.exchange(t, "b SELECT INBOX")
	if second := other.exchange(t, "t "+again); !slices.Equal(first, second) {
		t.Errorf("to another session: %q", second)
	}
	other.exchange(t, `c STORE 3 +FLAGS.SILENT (\Flagged \Deleted)`)
	other.exchange(t, `d STORE 5 +FLAGS.SILENT (\Deleted)`)
	other.exchange(t, `e UID EXPUNGE 5`)
	c.exchange(t, "f NOOP")
	w.inbox(t, 1, "Subject: mail 10\r\n\r\n")
	c.exchange(t, "g NOOP")
	third := c.exchange(t, "t "+again)
	if len(third) != 10 || third[0] != first[0] || !strings.Contains(third[2], `FLAGS (\Flagged \Deleted) ENVELOPE (NIL "mail 3"`) ||
		!strings.HasPrefix(third[4], `* 5 FETCH (FLAGS () ENVELOPE (NIL "mail 6"`) || !strings.HasPrefix(third[8], "* 9 FETCH (FLAGS (") || !strings.Contains(third[8], `) ENVELOPE (NIL "mail 10"`) {
		t.Errorf("after changes: %q", third)
	}
	if got := c.exchange(t, "h FETCH 1 (ENVELOPE BODY.PEEK[HEADER.FIELDS (FROM)])"); !strings.HasPrefix(got[len(got)-1], "h NO [CORRUPTION]") {
		t.Errorf("%q", got)
	}
}

// TestFetchAgainUTF8: what was written for one session is not what another can read.
func TestFetchAgainUTF8(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.inbox(t, 1, "Subject: caf\xc3\xa9\r\n\r\nHi.\r\n")
	for _, tt := range []struct{ enable, want string }{
		{"NOOP", "{5}\r\ncaf\xc3\xa9"}, {"ENABLE UTF8=ACCEPT", "\"caf\xc3\xa9\""}, {"NOOP", "{5}\r\ncaf\xc3\xa9"},
	} {
		c := w.login(t)
		c.exchange(t, "a "+tt.enable)
		c.exchange(t, "b SELECT INBOX")
		if got := c.exchange(t, "c FETCH 1 ENVELOPE"); !strings.Contains(got[0], tt.want) {
			t.Errorf("%s: %q", tt.enable, got)
		}
	}
}

// TestFetchAgainMany: more messages than are looked up at a time and than there is memory for, some of them known, come in order
// and right.
func TestFetchAgainMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = recallAtOnce + 100
	w.server.Answers = n / 2 * 300
	w.inbox(t, n, "Subject: x\r\n\r\n")
	c := w.login(t)
	c.exchange(t, "a SELECT INBOX")
	c.exchange(t, "b FETCH 10,20:30,4000:4100 (ENVELOPE)")
	for range 3 {
		got := c.exchange(t, "c FETCH 1:* (ENVELOPE)")
		if len(got) != n+1 {
			t.Fatalf("%d responses", len(got))
		}
		for i, s := range got[:n] {
			if !strings.HasPrefix(s, fmt.Sprintf(`* %d FETCH (ENVELOPE (NIL "x" NIL`, i+1)) {
				t.Fatalf("response %d is %q", i+1, s)
			}
		}
		if kept := w.server.keptAnswers(); kept.taken > kept.room || len(kept.byKey) < n/4 {
			t.Errorf("%d texts, %d of %d octets", len(kept.byKey), kept.taken, kept.room)
		}
	}
}

// TestRecallBounded: what a command looks up at once is bounded in octets, whatever the client asks for, and nothing is left out.
func TestRecallBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 300
	c := w.reader(t, n)
	for _, tt := range []struct {
		name  string
		items int
		text  string
	}{
		{"long texts", 1, strings.Repeat("x", maxAnswer)},
		{"many items", maxFetchItems, strings.Repeat("x", 100)},
		{"nothing known", maxFetchItems, ""},
	} {
		items := make([]string, tt.items)
		for i := range items {
			items[i] = fmt.Sprint(tt.name, i)
		}
		r := newRecall(c, items)
		places := make([]int, n)
		for i := range places {
			places[i] = i
			for _, item := range items {
				key := r.key
				key.message, key.item = c.sel.snap.ID(i), item
				if tt.text != "" {
					r.kept.put(key, tt.text)
				}
			}
		}
		seen, absent := 0, 0
		for len(places) > 0 {
			known, missing := r.look(c.sel.snap, places)
			octets := 0
			for _, text := range known {
				octets += textHeader + len(text)
			}
			if most := recallOctets + tt.items*(textHeader+len(tt.text)); len(known) == 0 || octets > most {
				t.Fatalf("%s: %d texts of %d octets", tt.name, len(known), octets)
			}
			seen, absent = seen+len(known)/tt.items, absent+len(missing)
			places = places[len(known)/tt.items:]
		}
		if seen != n || (absent == 0) != (tt.text != "") {
			t.Errorf("%s: %d messages, %d missing", tt.name, seen, absent)
		}
	}
}

// TestFetchAgainOff keeps nothing.
func TestFetchAgainOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.Answers = -1
	w.inbox(t, 2, "Subject: x\r\n\r\n")
	c := w.login(t)
	c.exchange(t, "a SELECT INBOX")
	for range 2 {
		if got := c.exchange(t, "b FETCH 1:* (ENVELOPE)"); len(got) != 3 {
			t.Errorf("%q", got)
		}
	}
	if kept := w.server.keptAnswers(); len(kept.byKey) != 0 {
		t.Errorf("%d texts", len(kept.byKey))
	}
}

// reader is a session that has selected an INBOX of n messages and whose output nobody reads.
func (w *world) reader(t testing.TB, n int) *conn {
	t.Helper()
	w.inbox(t, n, "Subject: x\r\nFrom: Ann <ann@example.org>\r\nTo: bob@example.org\r\nMessage-ID: <1@example.org>\r\n\r\nHi.\r\n")
	box, snap, err := w.account.Open(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	return &conn{
		srv: w.server, enc: wire.NewEncoder(bufio.NewWriterSize(io.Discard, writeBuffer)),
		sel: &selected{location: location{account: w.account, rights: store.AllRights}, box: box, snap: snap, view: snap.View()},
	}
}

// overview is what a mail program asks for to show a mailbox.
func (c *conn) overview(t testing.TB) {
	t.Helper()
	r, err := parseFetch(decoderOf(" 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (REFERENCES)])"), 0)
	if err == nil {
		err = c.fetch(t.Context(), r)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkFetchEnvelopes lists a mailbox of 2,000 for the first time and again.
func BenchmarkFetchEnvelopes(b *testing.B) {
	for _, tt := range []struct {
		name    string
		answers int64
	}{{"first", -1}, {"again", 0}} {
		b.Run(tt.name, func(b *testing.B) {
			from := inMemory
			if *overPostgres {
				from = inPostgres(b)
			}
			w := newWorld(b, from)
			w.server.Answers = tt.answers
			c := w.reader(b, 2000)
			c.overview(b)
			b.ReportAllocs()
			for b.Loop() {
				c.overview(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/message")
		})
	}
}
