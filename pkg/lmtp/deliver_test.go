package lmtp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/pkg/store"
)

func itoa(n int) string { return strconv.Itoa(n) }

// TestHundredRecipients: a reply for each, in order, whatever the order in which they are stored, and never before their
// own message is (rule 2).
func TestHundredRecipients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var to []string
	for i := range 100 {
		to = append(to, fmt.Sprintf("user%d@example.org", i))
		w.add(to[i], 0)
	}
	w.store.fail("append user50@example.org", store.ErrUnavailable)
	var mu sync.Mutex
	started, others := 0, make(chan struct{})
	w.store.before = func(address string) {
		mu.Lock()
		if started++; started == parallel {
			close(others)
		}
		mu.Unlock()
		if address == to[0] {
			<-others // the first one is stored after all that may overtake it
		}
	}
	c := w.dial()
	c.envelope("sender@example.net", to...)
	c.say("DATA")
	c.hear("354")
	c.write("Subject: x\r\n\r\nbody\r\n.\r\n")
	for i, address := range to {
		if i == 50 {
			c.hear("451 4.3.0 <" + address + ">")
			continue
		}
		c.hear("250 2.0.0 <" + address + ">")
		if n := len(w.messages(address, "INBOX")); n != 1 {
			t.Errorf("%s has %d messages", address, n)
		}
	}
	if n := len(w.messages(to[50], "INBOX")); n != 0 {
		t.Errorf("user50 has %d messages", n)
	}
}

// TestSlowRecipient: a reply goes out when it is known, not when all are.
func TestSlowRecipient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	w.store.before = func(address string) {
		if address == bob {
			<-release
		}
	}
	c := w.dial()
	c.envelope("sender@example.net", alice, bob)
	c.say("DATA")
	c.hear("354")
	c.write("Subject: x\r\n\r\n.\r\n")
	c.hear("250 2.0.0 <alice@example.org>")
	close(release)
	c.hear("250 2.0.0 <bob@example.org>")
}

func TestOverQuotaAtRcpt(t *testing.T) {
	t.Parallel()
	for _, reject := range []bool{false, true} {
		w := newWorld(t, func(s *Server) { s.QuotaReject = reject })
		w.add("full@example.org", 1000)
		w.store.AddAlias("both@example.org", alice, "full@example.org")
		c := w.dial()
		c.send("full@example.org", "S: x\r\n\r\n.\r\n")
		fill := 1000 - len(w.messages("full@example.org", "INBOX")[0])*2 - len("\r\n")
		if got := c.send("full@example.org", "S: x\r\n\r\n"+strings.Repeat("x", fill)+"\r\n.\r\n"); got[:3] != "250" {
			t.Fatal(got)
		}
		want := map[bool]string{false: "452 4.2.2", true: "552 5.2.2"}[reject]
		c.say("MAIL FROM:<>")
		c.hear("250")
		for _, to := range []string{"full@example.org", "both@example.org"} {
			c.say("RCPT TO:<" + to + ">")
			c.hear(want + " Mailbox full.")
		}
		c.say("RCPT TO:<alice@example.org>")
		c.hear("250")
	}
}

// TestStaleRoute: what RCPT was told is no longer true at the end of the message.
func TestStaleRoute(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		route func(w *world, r *store.Route)
		want  string
	}{
		{"mailbox gone", func(_ *world, r *store.Route) { r.Targets[0].Inbox = 1 << 40 }, "250"},
		{"account gone and made again", func(_ *world, r *store.Route) { r.Targets[0].Account = 1 << 40 }, "250"},
		{"account gone", func(_ *world, r *store.Route) {
			r.Targets[0].Account, r.Targets[0].Address = 1<<40, "gone@example.org"
		}, "550 5.1.1"},
		{"nobody", func(_ *world, r *store.Route) { r.Targets = nil }, "nobody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r, err := w.store.Route(context.Background(), alice)
			if err != nil {
				t.Fatal(err)
			}
			r.Targets = slices.Clone(r.Targets)
			c.route(w, &r)
			w.store.once(alice, r)
			client := w.dial()
			if c.want == "nobody" {
				client.say("MAIL FROM:<>")
				client.hear("250")
				client.say("RCPT TO:<alice@example.org>")
				client.hear("550 5.1.1")
				return
			}
			if got := client.send(alice, "S: x\r\n\r\n.\r\n"); !strings.HasPrefix(got, c.want) {
				t.Error(got)
			}
			if n := len(w.messages(alice, "INBOX")); (n == 1) != (c.want == "250") {
				t.Errorf("alice has %d messages", n)
			}
		})
	}
}

// TestTargetDeleted: of two accounts that an address stands for, one is deleted between RCPT and DATA. The other has its
// message, so nothing bounces.
func TestTargetDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, err := w.store.Route(context.Background(), alice)
	if err != nil {
		t.Fatal(err)
	}
	gone := store.Target{Account: 1 << 40, Address: "gone@example.org", Inbox: 1 << 40}
	w.store.once(alice, store.Route{Targets: append([]store.Target{gone}, r.Targets...)})
	if got := w.dial().send(alice, "S: x\r\n\r\n.\r\n"); !strings.HasPrefix(got, "250") {
		t.Error(got)
	}
	if n := len(w.messages(alice, "INBOX")); n != 1 {
		t.Errorf("alice has %d messages", n)
	}
}

// TestDetailFolderDeleted: the mailbox that a detail names is deleted between finding it and storing the message.
func TestDetailFolderDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.account(alice).Create(context.Background(), "lists"); err != nil {
		t.Fatal(err)
	}
	w.store.before = func(string) {
		if err := w.account(alice).Delete(context.Background(), "lists"); err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
	}
	if got := w.dial().send("alice+lists@example.org", "S: x\r\n\r\n.\r\n"); !strings.HasPrefix(got, "250") {
		t.Error(got)
	}
	if n := len(w.messages(alice, "INBOX")); n != 1 {
		t.Errorf("INBOX holds %d", n)
	}
}

// TestStoreTrouble: what goes wrong in the store is temporary for the sender, and the session goes on.
func TestStoreTrouble(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Server) { s.DeliverTimeout = 50 * time.Millisecond })
	c := w.dial()
	for _, err := range []error{errHang, errPanic, store.ErrUnavailable, errors.New("a bug")} {
		w.store.fail("append "+alice, err)
		if got := c.send(alice, "S: x\r\n\r\n.\r\n"); !strings.HasPrefix(got, "451 4.3.0 <alice@example.org>") {
			t.Errorf("%v: %s", err, got)
		}
	}
	w.store.fail("append "+alice, store.ErrTooBig)
	if got := c.send(alice, "S: x\r\n\r\n.\r\n"); !strings.HasPrefix(got, "552 5.3.4") {
		t.Error(got)
	}
	w.store.heal()
	if got := c.send(alice, "S: x\r\n\r\n.\r\n"); !strings.HasPrefix(got, "250") {
		t.Error(got)
	}
}

// TestSpoolTrouble: a full disk is temporary too, in DATA and in either kind of chunk.
func TestSpoolTrouble(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Server) { s.Spool.Dir, s.Spool.Memory = "/nonexistent", 10 })
	c := w.dial()
	text := "S: x\r\n\r\n" + strings.Repeat("x", 1000) + "\r\n"
	if got := c.send(alice, text+".\r\n"); !strings.HasPrefix(got, "451 4.3.0 <alice@example.org>") {
		t.Error(got)
	}
	for _, last := range []string{"", " LAST"} {
		c.envelope("sender@example.net", alice)
		c.say("BDAT " + itoa(len(text)) + last)
		c.write(text)
		c.hear("451 4.3.0")
	}
	c.say("NOOP")
	c.hear("250")
}

// TestConcurrent: many connections, the same recipients, each mail once and whole.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	var wg sync.WaitGroup
	for i := range 8 {
		c := w.dial()
		wg.Go(func() {
			for j := range 10 {
				c.envelope("sender@example.net", alice, bob)
				c.say("DATA")
				c.hear("354")
				c.write(fmt.Sprintf("S: %d-%d\r\n\r\nbody\r\n.\r\n", i, j))
				c.hear("250 2.0.0 <alice@example.org>")
				c.hear("250 2.0.0 <bob@example.org>")
			}
		})
	}
	wg.Wait()
	for _, address := range []string{alice, bob} {
		seen := make(map[string]bool)
		for _, body := range w.bodies(address, "INBOX") {
			seen[body] = true
		}
		if len(seen) != 80 {
			t.Errorf("%s has %d different messages", address, len(seen))
		}
	}
}
