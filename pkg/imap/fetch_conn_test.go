package imap

import (
	"fmt"
	"strings"
	"testing"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// exchange sends a command and returns what comes back, the tagged reply last.
func (c *client) exchange(t *testing.T, command string) []string {
	t.Helper()
	c.send(t, []byte(command+"\r\n"))
	var all []string
	for {
		s, err := c.response()
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, s); isBarrier(s) {
			return all
		}
	}
}

// inbox fills the INBOX with n copies of a message.
func (w *world) inbox(t testing.TB, n int, octets string) store.MailboxID {
	t.Helper()
	box, err := w.account.Mailbox(t.Context(), "INBOX")
	if err == nil {
		err = deliver(t, w.account, box.ID, []byte(octets), nil, n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return box.ID
}

// TestFetchUnreadable: of many messages that cannot be read each is counted, and one line is logged (rule 12).
func TestFetchUnreadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	core, logged := observer.New(zap.ErrorLevel)
	registry := prometheus.NewRegistry()
	w.server.Log, w.server.Metrics = zap.New(core), NewMetrics(registry)
	w.inbox(t, 50, "Subject: x\r\n\r\nHi.\r\n")
	w.store.damage([]imap.UID{3, 5, 8}, -1)
	c := w.login(t)
	c.exchange(t, "a SELECT INBOX")
	got := c.exchange(t, "b UID FETCH 1:* (BODY[])")
	if tagged := got[len(got)-1]; !strings.HasPrefix(tagged, "b NO [CORRUPTION] ") {
		t.Errorf("tagged reply %q", tagged)
	}
	if n := len(got) - 1; n != 47+47 { // each once with its body and once with its flags
		t.Errorf("%d untagged responses, want 94", n)
	}
	if n := logged.Len(); n != 1 {
		t.Errorf("%d errors logged, want 1: %v", n, logged.All())
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "postern_imap_unreadable_messages_total" && f.Metric[0].Counter.GetValue() == 3 {
			return
		}
	}
	t.Error("the messages were not counted")
}

// TestFetchManySeen reads more messages than are marked at a time.
func TestFetchManySeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = maxSeen*2 + 10
	w.inbox(t, n, "Subject: x\r\n\r\n")
	c := w.login(t)
	c.exchange(t, "a SELECT INBOX")
	if got := c.exchange(t, "b FETCH 1:* (BODY[TEXT])"); len(got) != 2*n+1 {
		t.Errorf("%d responses, want %d", len(got), 2*n+1)
	}
	if got := c.exchange(t, "c SEARCH RETURN (COUNT) UNSEEN"); got[0] != `* ESEARCH (TAG "c") COUNT 0` {
		t.Errorf("%q", got[0])
	}
}

// TestLongSet sends a line of 100,000 UIDs, as clients do that do not know of ranges.
func TestLongSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.inbox(t, 10, "Subject: x\r\n\r\n")
	var set strings.Builder
	for i := 200_000; i > 0; i -= 2 {
		fmt.Fprintf(&set, "%d,", i)
	}
	set.WriteString("1")
	c := w.login(t)
	c.exchange(t, "a SELECT INBOX")
	for _, tt := range []struct {
		command string
		want    int
	}{
		{"b UID FETCH %s (FLAGS)", 6},
		{"c UID STORE %s +FLAGS.SILENT (\\Seen)", 0},
		{"d UID SEARCH UID %s", 1},
		{"e UID COPY %s Archive", 0},
		{"f UID MOVE %s Trash", 8}, // COPYUID, six times EXPUNGE, RECENT
	} {
		got := c.exchange(t, fmt.Sprintf(tt.command, set.String()))
		tagged := got[len(got)-1]
		if len(got) != tt.want+1 || !strings.HasPrefix(tagged[1:], " OK ") {
			t.Errorf("%s: %d responses, want %d, and %q", tt.command, len(got)-1, tt.want, tagged)
		}
	}
}
