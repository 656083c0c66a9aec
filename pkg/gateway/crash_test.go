package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

const (
	crashUser   = "crash@example.org"
	crashFriend = "friend@example.org" // who shares a mailbox
	deliveries  = 600                  // through LMTP
	stories     = 120                  // through IMAP
	senders     = 6
)

// TestKillGateway kills the program with SIGKILL again and again in the middle of a storm of writes.
func TestKillGateway(t *testing.T) {
	t.Parallel()
	crash(t, func(s *server) error {
		s.kill()
		return s.start()
	})
}

// TestKillPostgreSQL does the same to its database, which the program brings back by itself.
func TestKillPostgreSQL(t *testing.T) {
	t.Parallel()
	crash(t, func(s *server) error {
		pid, err := postmaster(s.dir)
		if err != nil {
			return err
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	})
}

// postmaster finds the process id of the private PostgreSQL below dir.
func postmaster(dir string) (int, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if filepath.Base(path) == "postmaster.pid" {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) != 1 {
		return 0, fmt.Errorf("postmaster.pid: found %v: %w", found, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return strconv.Atoi(first)
}

// crash runs a storm of deliveries and of IMAP writes, calls blow five times while it lasts, and checks that what was
// acknowledged is there exactly once.
func crash(t *testing.T, blow func(*server) error) {
	s, err := startServer(filepath.Join(workDir, strings.ReplaceAll(t.Name(), "/", "-")))
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	s.account(t, crashUser)
	s.account(t, crashFriend)
	makeBoxes(t, s)

	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	st := &storm{s: s, ctx: ctx}
	var wg sync.WaitGroup
	for range senders {
		wg.Go(st.send)
	}
	told := make([]story, stories)
	for w := range 3 {
		wg.Go(func() { st.tell(told, w, 3) })
	}
	others := newTales()
	wg.Go(func() { st.tellAll(others) })
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 5 {
		st.await(int64(deliveries*(i+1)/7 + r.IntN(20)))
		if err := blow(s); err != nil {
			t.Fatalf("blow %d: %v\n%s", i, err, s.output())
		}
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		t.Fatalf("the storm did not end: %d of %d acknowledged\n%s", st.acked.Load(), deliveries, s.output())
	}
	checkDeliveries(t, s)
	checkStories(t, s, told)
	checkTales(t, s, others)
	checkQuotas(t, s)
}

func makeBoxes(t *testing.T, s *server) {
	t.Helper()
	c := s.imapClient(t, crashUser, nil)
	for _, name := range []string{"Work", "Moved", "Copied", "Tales", "Replaced"} {
		if err := c.Create(name, nil).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	shareGiven(t, s)
}

// storm is what happens while the blows fall.
type storm struct {
	s     *server
	ctx   context.Context
	next  atomic.Int64 // the delivery to send next
	acked atomic.Int64
}

// await returns when n deliveries have been acknowledged.
func (st *storm) await(n int64) {
	for st.acked.Load() < n && st.pause() {
	}
}

// pause waits a moment, as an MTA does before it tries again; false when the storm must end.
func (st *storm) pause() bool {
	select {
	case <-time.After(20 * time.Millisecond):
		return true
	case <-st.ctx.Done():
		return false
	}
}

// send is an MTA: it delivers each mail until it is acknowledged.
func (st *storm) send() {
	for {
		n := int(st.next.Add(1)) - 1
		if n >= deliveries {
			return
		}
		for st.s.deliver("sender@example.com", crashUser, bytes.NewReader(corpusMail(n, crashUser))) != nil {
			if !st.pause() {
				return
			}
		}
		st.acked.Add(1)
	}
}

// outcome is what a client knows of something it asked for.
type outcome int

const (
	notAsked outcome = iota
	unknown          // the connection broke before the answer
	done
)

// story is one mail that a client appends and then copies, moves or expunges.
type story struct {
	append, flag, copy, move, expunge outcome
	uid, copied, moved                imap.UID
}

// tell lives stories from, from+step, … one after the other.
func (st *storm) tell(told []story, from, step int) {
	var c *imapclient.Client
	for i := from; i < len(told); i += step {
		for c == nil {
			if c = st.connect(); c == nil && !st.pause() {
				return
			}
		}
		if err := told[i].live(c, i); err != nil {
			_ = c.Close() // it is of no more use
			c = nil
		}
		// The stories last as long as the storm.
		st.await(int64(deliveries * i / len(told)))
	}
	if c != nil {
		_ = c.Close() // it is of no more use
	}
}

func (st *storm) connect() *imapclient.Client {
	c, err := imapclient.DialTLS(st.s.imap, &imapclient.Options{TLSConfig: insecure})
	if err != nil {
		return nil
	}
	if err := c.Login(crashUser, password).Wait(); err != nil {
		_ = c.Close() // it is of no more use
		return nil
	}
	if _, err := c.Select("Work", nil).Wait(); err != nil {
		_ = c.Close() // it is of no more use
		return nil
	}
	return c
}

func (y *story) live(c *imapclient.Client, i int) error {
	msg := fmt.Sprintf("Message-ID: <story-%d@example.com>\r\nSubject: story %d\r\n\r\n%s\r\n", i, i, strings.Repeat("once ", i))
	y.append = unknown
	cmd := c.Append("Work", int64(len(msg)), nil)
	_, werr := cmd.Write([]byte(msg))
	if err := errors.Join(werr, cmd.Close()); err != nil {
		return err
	}
	data, err := cmd.Wait()
	if err != nil {
		return err
	}
	y.append, y.uid = done, data.UID
	set := imap.UIDSetNum(y.uid)
	if i%4 == 0 {
		y.flag = unknown
		flags := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged, "$Kept"}, Silent: true}
		if err := c.Store(set, flags, nil).Close(); err != nil {
			return err
		}
		y.flag = done
	}
	if i%3 == 0 {
		y.copy = unknown
		d, err := c.Copy(set, "Copied").Wait()
		if err != nil {
			return err
		}
		y.copy, y.copied = done, d.DestUIDs[0].Start
	}
	if i%2 == 0 {
		y.move = unknown
		d, err := c.Move(set, "Moved").Wait()
		if err != nil {
			return err
		}
		y.move, y.moved = done, d.DestUIDs.(imap.UIDSet)[0].Start
		return nil
	}
	if i%5 == 0 {
		y.expunge = unknown
		flags := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}, Silent: true}
		if err := c.Store(set, flags, nil).Close(); err != nil {
			return err
		}
		if err := c.UIDExpunge(set).Close(); err != nil {
			return err
		}
		y.expunge = done
	}
	return nil
}

// kept is a message that was found after the storm.
type kept struct {
	uid   imap.UID
	flags []imap.Flag
}

// mailbox lists Message-ID → messages of one mailbox, and reads their octets.
func (s *server) mailbox(t *testing.T, name string) map[string][]kept {
	t.Helper()
	c := s.imapClient(t, crashUser, nil)
	defer c.Close()
	if _, err := c.Select(name, nil).Wait(); err != nil {
		t.Fatal(err)
	}
	body := &imap.FetchItemBodySection{Peek: true}
	all, err := c.Fetch(imap.SeqSet{{Start: 1}}, &imap.FetchOptions{
		UID: true, Envelope: true, Flags: true, RFC822Size: true, BodySection: []*imap.FetchItemBodySection{body},
	}).Collect()
	if err != nil && !strings.Contains(err.Error(), "BAD") {
		t.Fatal(err)
	}
	found := make(map[string][]kept)
	for _, m := range all {
		found[m.Envelope.MessageID] = append(found[m.Envelope.MessageID], kept{m.UID, m.Flags})
		if n := len(m.FindBodySection(body)); int64(n) != m.RFC822Size {
			t.Errorf("%s, UID %d: %d octets of %d can be read", name, m.UID, n, m.RFC822Size)
		}
	}
	return found
}

func checkDeliveries(t *testing.T, s *server) {
	t.Helper()
	inbox := s.mailbox(t, "INBOX")
	for _, was := range s.mailboxes(t, renamedPrefix+"*") { // INBOX, before it was renamed
		for id, messages := range s.mailbox(t, was) {
			inbox[id] = append(inbox[id], messages...)
		}
	}
	for i := range deliveries {
		if got := inbox[fmt.Sprintf("corpus-%d@example.com", i)]; len(got) != 1 {
			t.Errorf("mail %d was acknowledged and is there %d times", i, len(got))
		}
	}
}

// mailboxes lists the names that fit a pattern.
func (s *server) mailboxes(t *testing.T, pattern string) (names []string) {
	t.Helper()
	c := s.imapClient(t, crashUser, nil)
	defer c.Close()
	list, err := c.List("", pattern, nil).Collect()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		if !slices.Contains(l.Attrs, imap.MailboxAttrNoSelect) {
			names = append(names, l.Mailbox)
		}
	}
	return names
}

func checkStories(t *testing.T, s *server, told []story) {
	t.Helper()
	work, moved, copied := s.mailbox(t, "Work"), s.mailbox(t, "Moved"), s.mailbox(t, "Copied")
	for i, y := range told {
		id := fmt.Sprintf("story-%d@example.com", i)
		w, m, c := work[id], moved[id], copied[id]
		if n := len(w) + len(m); n > 1 || n == 0 && y.append == done && y.expunge == notAsked {
			t.Errorf("story %d %+v: in Work %v and in Moved %v", i, y, w, m)
		}
		if y.expunge == done && len(w) != 0 {
			t.Errorf("story %d %+v was expunged and is in Work", i, y)
		}
		if y.move == done && (len(m) != 1 || m[0].uid != y.moved) {
			t.Errorf("story %d %+v was moved and is in Moved as %v", i, y, m)
		}
		if len(w) == 1 && y.uid != 0 && w[0].uid != y.uid {
			t.Errorf("story %d %+v has UID %d", i, y, w[0].uid)
		}
		for _, k := range slices.Concat(w, m) {
			if has := slices.Contains(k.flags, imap.FlagFlagged) && slices.Contains(k.flags, "$Kept"); y.flag == done && !has {
				t.Errorf("story %d %+v was flagged and has %v", i, y, k.flags)
			}
		}
		switch {
		case y.copy == done && (len(c) != 1 || c[0].uid != y.copied), y.copy == notAsked && len(c) > 0, len(c) > 1:
			t.Errorf("story %d %+v is in Copied as %v", i, y, c)
		}
	}
	for name, box := range map[string]map[string][]kept{"Work": work, "Moved": moved, "Copied": copied} {
		seen := make(map[imap.UID]bool)
		for _, messages := range box {
			for _, k := range messages {
				if seen[k.uid] {
					t.Errorf("%s: UID %d is there twice", name, k.uid)
				}
				seen[k.uid] = true
			}
		}
	}
}
