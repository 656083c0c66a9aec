package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// steps is how many things Compare does to the stores.
const steps = 250

// limit is the quota of the account that Compare uses, in octets: low enough to be hit.
const limit = 60_000

// Compare does the same random things to two stores and checks that they answer alike. Numbers that a store is free to
// choose (ids, UIDVALIDITY, the time a message was saved) are compared by what they mean. Both stores must be empty.
func Compare(t *testing.T, seed uint64, a, b Fixture) {
	t.Helper()
	c := &comparison{T: t, ctx: t.Context(), r: rand.New(rand.NewPCG(seed, 5)), ids: make(map[store.MessageID]store.MessageID)}
	for i, f := range []Fixture{a, b} {
		id := f.NewAccount("twin@example.org", limit)
		account, err := f.Store.Account(c.ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		c.worlds[i] = &world{fixture: f, account: account, validity: make(map[store.MailboxID]uint32)}
	}
	for c.step = range steps {
		if c.Failed() {
			break
		}
		c.do()
	}
	if !c.Failed() {
		c.compareAll()
	}
	if c.Failed() {
		t.Errorf("seed %d; what came before:", seed)
		for _, line := range c.log[max(0, len(c.log)-25):] {
			t.Log(line)
		}
	}
}

// comparison is two stores in step.
type comparison struct {
	*testing.T
	ctx      context.Context
	r        *rand.Rand
	worlds   [2]*world
	sessions []*session
	ids      map[store.MessageID]store.MessageID // of the first store to the second
	step     int
	swept    bool // tombstones may be missing
	log      []string
}

// world is one of the stores.
type world struct {
	fixture  Fixture
	account  store.Account
	validity map[store.MailboxID]uint32 // of mailboxes seen
	highest  uint32
}

// session is a mailbox that is open in both stores.
type session struct {
	name  string
	snaps [2]*store.Snapshot
}

// both asks the two stores the same and compares answers and errors. It reports whether both succeeded.
func both[R any](c *comparison, what string, ask func(w *world, i int) (R, error), show func(w *world, r R) string) bool {
	c.Helper()
	var answers, errs [2]string
	for i, w := range c.worlds {
		r, err := ask(w, i)
		errs[i] = kind(err)
		if err == nil {
			answers[i] = show(w, r)
		}
	}
	c.log = append(c.log, fmt.Sprintf("%d: %s → %.120s %s", c.step, what, answers[0], errs[0]))
	full := store.ErrOverQuota.Error()
	if errs[0] != "" && errs[1] != "" && slices.Contains(errs[:], full) {
		return false // of several reasons to refuse a store may find any first
	}
	if errs[0] != errs[1] || answers[0] != answers[1] {
		c.Errorf("step %d: %s:\n%s %s\n%s %s", c.step, what, answers[0], errs[0], answers[1], errs[1])
		return false
	}
	return errs[0] == ""
}

// kind names the sentinel of an error. A name that cannot be is as good as one that is not there.
func kind(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, store.ErrName) || errors.Is(err, store.ErrNotFound) {
		return "not found or not allowed"
	}
	for _, sentinel := range []error{
		store.ErrExists, store.ErrUse, store.ErrHasChildren, store.ErrOverQuota, store.ErrTooManyKeywords, store.ErrInUse,
		store.ErrTooBig, store.ErrTooManyAnnotations, store.ErrExpunged,
	} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	return "unexpected: " + err.Error()
}

// done is an answer that is empty.
func done(*world, struct{}) string { return "" }

// box returns the id of a mailbox by name, or one that is not there.
func (w *world) box(ctx context.Context, name string) store.MailboxID {
	b, err := w.account.Mailbox(ctx, name)
	if err != nil {
		return nowhere
	}
	return b.ID
}

// do does one thing at random.
func (c *comparison) do() {
	ops := []struct {
		weight int
		do     func()
	}{
		{10, c.append},
		{10, c.setFlags},
		{5, c.copy},
		{5, c.move},
		{5, c.expunge},
		{4, c.replace},
		{3, c.create},
		{3, c.rename},
		{1, c.setUse},
		{2, c.delete},
		{1, c.subscribe},
		{2, c.setACL},
		{2, c.claim},
		{2, c.annotate},
		{1, c.annotations},
		{1, c.sweep},
		{5, c.open},
		{8, c.refresh},
		{4, c.since},
		{5, c.read},
		{5, c.search},
		{2, c.keys},
		{2, c.compareBranch},
	}
	n := 0
	for _, op := range ops {
		n += op.weight
	}
	n = c.r.IntN(n)
	for _, op := range ops {
		if n -= op.weight; n < 0 {
			op.do()
			return
		}
	}
}

func (c *comparison) compareBranch() {
	c.Helper()
	top, err := store.CanonicalName(c.name())
	if err != nil {
		top = ""
	}
	c.compareTree(store.Branch{Top: top, Depth: store.Depth(c.r.IntN(3))})
}

func (c *comparison) compareTree(in ...store.Branch) {
	c.Helper()
	both(c, fmt.Sprintf("Mailboxes(%v)", in), func(w *world, _ int) ([]store.Mailbox, error) {
		return w.account.Mailboxes(c.ctx, in...)
	}, func(w *world, list []store.Mailbox) string {
		var s string
		for _, b := range list {
			w.checkValidity(c, b)
			s += showBox(b) + "\n"
		}
		return s
	})
	both(c, "Quota", func(w *world, _ int) (store.Quota, error) { return w.account.Quota(c.ctx) },
		func(_ *world, q store.Quota) string { return fmt.Sprint(q) })
	both(c, "Subscriptions", func(w *world, _ int) ([]string, error) { return w.account.Subscriptions(c.ctx) },
		func(_ *world, names []string) string { return fmt.Sprint(names) })
}

// showBox spells out a mailbox, without what a store may choose.
func showBox(b store.Mailbox) string {
	use := slices.Sorted(slices.Values(b.Use))
	return fmt.Sprintf("%q UIDNEXT %d at %d, %d messages, %d unseen, %d deleted, %d recent, %d octets, use %v, subscribed %v, children %v",
		b.Name, b.UIDNext, b.ModSeq, b.Messages, b.Unseen, b.Deleted, b.Recent, b.Size, use, b.Subscribed, b.HasChildren)
}

// checkValidity checks that a mailbox keeps its UIDVALIDITY, and that no new one has an older one's.
func (w *world) checkValidity(c *comparison, b store.Mailbox) {
	known, ok := w.validity[b.ID]
	if ok && known != b.UIDValidity {
		c.Errorf("UIDVALIDITY of %q went from %d to %d", b.Name, known, b.UIDValidity)
	}
	if !ok && slices.Contains(slices.Collect(maps.Values(w.validity)), b.UIDValidity) {
		c.Errorf("UIDVALIDITY %d of %q was another mailbox's", b.UIDValidity, b.Name)
	}
	w.validity[b.ID] = b.UIDValidity
}

func (c *comparison) compareACL(name string) {
	c.Helper()
	both(c, fmt.Sprintf("ACL(%q)", name), func(w *world, _ int) ([]store.ACLEntry, error) {
		return w.account.ACL(c.ctx, w.box(c.ctx, name))
	}, func(_ *world, list []store.ACLEntry) string { return fmt.Sprint(list) })
}

// compareAll reads everything.
func (c *comparison) compareAll() {
	c.Helper()
	c.compareTree()
	list, err := c.worlds[0].account.Mailboxes(c.ctx)
	if err != nil {
		c.Error(err)
	}
	for _, b := range list {
		c.compareACL(b.Name)
		if s := c.openBox(b.Name); s != nil {
			c.readSet(s, everything, 7)
		}
	}
	for _, s := range slices.Clone(c.sessions) {
		c.refreshSession(s)
	}
}

// showRow spells out a message of a snapshot.
func showRow(s *store.Snapshot, i int) string {
	r := s.Row(i)
	return fmt.Sprintf("%d@%d %v %d octets, header %d, padding %d, %d",
		r.UID, r.ModSeq, names(r.Flags, s), r.Size, r.Header, r.Padding, r.Received)
}

func showSnapshot(s *store.Snapshot) string {
	out := fmt.Sprintf("UIDNEXT %d at %d\n", s.UIDNext(), s.ModSeq())
	for i := range s.Len() {
		out += showRow(s, i) + "\n"
	}
	return out
}

func showEntries(entries []store.Entry, keywords []imap.Flag) string {
	var out string
	for _, e := range entries {
		flags := e.Flags.Names(keywords)
		slices.Sort(flags)
		out += fmt.Sprintf("%d@%d%v ", e.UID, e.ModSeq, flags)
	}
	return out
}

// showMessage spells out a message and its octets.
func (c *comparison) showMessage(m *store.Message, s *store.Snapshot, want store.Fields) string {
	octets, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size+1))
	if err != nil {
		return fmt.Sprintf("%d unreadable %s", m.UID, kind(err))
	}
	var part []byte
	if want&store.WithPart != 0 {
		if part, err = m.Part.AppendBinary(nil); err != nil {
			c.Error(err)
		}
	}
	return fmt.Sprintf("%d@%d %v %d %d %q %x", m.UID, m.ModSeq, names(m.Flags, s), m.Size, m.Received.UnixMilli(), octets, part)
}

// pair checks that copies share an id in one store exactly if they do in the other.
func (c *comparison) pair(a, b store.MessageID) {
	if known, ok := c.ids[a]; ok && known != b {
		c.Errorf("step %d: EMAILID %v is %v and %v in the other store", c.step, a, known, b)
	}
	c.ids[a] = b
}
