package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var concurrencyTests = []contract{
	{name: "annotations of a mailbox that goes", run: testAnnotationRace},
	{name: "a reader sees every change once", run: testReaderSeesAll},
	{name: "UIDs are given once", run: testAppendAtOnce},
	{name: "a message is in one mailbox", run: testMoveAtomic},
	{name: "one of two moves wins", run: testMoveRace},
	{name: "copies both ways", run: testCopyBothWays},
	{name: "flags by many", run: testFlagsAtOnce},
	{name: "one delivery of many alike", run: testDeliverAtOnce},
	{name: "one of many creates", run: testCreateAtOnce},
	{name: "recent is claimed once", run: testRecentAtOnce},
	{name: "one maildrop lock", run: testLeaseAtOnce},
}

// parallel runs f n times at once and waits. An error of one ends the test.
func (e *env) parallel(n int, f func(i int) error) {
	e.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	e.ok(errors.Join(errs...))
}

// testReaderSeesAll has writers do everything at once to a mailbox while readers follow it by Refresh alone: what they
// come to know is the mailbox, and no change comes late or twice.
func testReaderSeesAll(e *env) {
	e.fill("INBOX", 20)
	inbox, other := e.box("INBOX").ID, e.box("Archive").ID
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		first := e.open("INBOX")
		readers.Go(func() { e.follow(first, done) })
	}
	e.parallel(6, func(i int) error {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		for range 25 {
			if err := e.change(r, inbox, other); err != nil {
				return err
			}
		}
		return nil
	})
	close(done)
	readers.Wait()
}

// change does something to a mailbox.
func (e *env) change(r *rand.Rand, box, other store.MailboxID) error {
	lo := imap.UID(1 + r.IntN(60))
	uids := imap.UIDSet{{Start: lo, Stop: lo + imap.UID(r.IntN(4))}}
	var err error
	switch r.IntN(8) {
	case 0, 1, 2:
		_, err = e.account.Append(e.ctx, box, e.draft("Subject: x\r\n\r\n"))
	case 3:
		_, err = e.account.Expunge(e.ctx, box, uids, tester)
	case 4:
		_, err = e.account.Move(e.ctx, box, other, uids)
	case 5:
		_, err = e.account.Copy(e.ctx, other, box, uids)
	default:
		flags := [][]imap.Flag{{`\Seen`}, {`\Flagged`, "a"}, {`\Deleted`}, {"b"}, nil}[r.IntN(5)]
		ch := store.FlagChange{Op: imap.StoreFlagsOp(r.IntN(3)), Flags: flags}
		_, err = e.account.SetFlags(e.ctx, box, uids, ch)
	}
	return err
}

// follow refreshes until done is closed, and once more.
func (e *env) follow(s *store.Snapshot, done <-chan struct{}) {
	known := make(map[imap.UID]store.Entry)
	for i := range s.Len() {
		known[s.UID(i)] = s.Entry(i)
	}
	highest := s.UIDNext() - 1
	for last := false; ; {
		next, ch, err := e.account.Refresh(e.ctx, s)
		if err != nil {
			e.Error(err)
			return
		}
		if ch.Since != s.ModSeq() || ch.Until != next.ModSeq() || !ch.Complete {
			e.Errorf("changes in (%d, %d] from %d to %d", ch.Since, ch.Until, s.ModSeq(), next.ModSeq())
		}
		for _, entry := range ch.Added {
			if entry.UID <= highest {
				e.Errorf("UID %d arrived after %d", entry.UID, highest)
			}
			highest = entry.UID
		}
		apply(e, known, ch)
		s = next
		if last {
			break
		}
		select {
		case <-done:
			last = true
		default:
		}
	}
	e.equal(len(known), s.Len(), "messages known to a reader")
	for i := range s.Len() {
		e.equal(known[s.UID(i)], s.Entry(i), "UID %d as a reader knows it", s.UID(i))
	}
}

func testAppendAtOnce(e *env) {
	const writers, each = 8, 10
	box := e.box("INBOX")
	got := make([][]imap.UID, writers)
	e.parallel(writers, func(i int) error {
		for k := range each {
			d := e.draft(fmt.Sprintf("Subject: %d %d\r\n\r\n", i, k))
			uids, err := e.account.Append(e.ctx, box.ID, d)
			if err != nil {
				return err
			}
			got[i] = append(got[i], uids...)
		}
		return nil
	})
	all := slices.Concat(got...)
	slices.Sort(all)
	e.equal(all, e.uids("INBOX"), "UIDs returned, and messages there")
	e.equal(len(slices.Compact(all)), writers*each, "different UIDs")
	s := e.open("INBOX")
	for i, uids := range got {
		for k, uid := range uids {
			if _, octets := e.read(s, uid); octets != fmt.Sprintf("Subject: %d %d\r\n\r\n", i, k) {
				e.Errorf("UID %d is %q, not the message it was returned for", uid, octets)
			}
		}
		if !slices.IsSorted(uids) {
			e.Errorf("UIDs of one writer: %v", uids)
		}
	}
}

// testMoveAtomic counts all mailboxes at once while messages move between two.
func testMoveAtomic(e *env) {
	const n = 10
	e.fill("INBOX", n)
	a, b := e.box("INBOX").ID, e.box("Archive").ID
	done := make(chan struct{})
	var counting sync.WaitGroup
	counting.Go(func() {
		for {
			list, err := e.account.Mailboxes(e.ctx)
			if err != nil {
				e.Error(err)
				return
			}
			sum := uint32(0)
			for _, box := range list {
				sum += box.Messages
			}
			if sum != n {
				e.Errorf("%d messages in all", sum)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	e.parallel(3, func(i int) error {
		for k := range 15 {
			from, to := a, b
			if (i+k)%2 == 1 {
				from, to = b, a
			}
			if _, err := e.account.Move(e.ctx, from, to, everything); err != nil {
				return err
			}
		}
		return nil
	})
	close(done)
	counting.Wait()
}

// testMoveRace moves the same messages to different mailboxes at once.
func testMoveRace(e *env) {
	e.fill("INBOX", 30)
	inbox := e.box("INBOX").ID
	to := []string{"Archive", "Trash", "Junk", "Sent"}
	moved := make([]imap.UIDSet, len(to))
	boxes := make([]store.MailboxID, len(to))
	for i, name := range to {
		boxes[i] = e.box(name).ID
	}
	e.parallel(len(to), func(i int) error {
		data, err := e.account.Move(e.ctx, inbox, boxes[i], everything)
		moved[i] = data.SourceUIDs
		return err
	})
	var all []imap.UID
	total := 0
	for i, name := range to {
		uids, _ := moved[i].Nums()
		all = append(all, uids...)
		total += len(e.uids(name))
		e.equal(len(e.uids(name)), len(uids), "messages in %s", name)
	}
	slices.Sort(all)
	e.equal([]any{all, total}, []any{uidRange(1, 30), 30}, "messages moved")
}

// testCopyBothWays would deadlock a store that locks mailboxes in the order in which they are named.
func testCopyBothWays(e *env) {
	e.fill("INBOX", 2)
	e.fill("Archive", 2)
	a, b := e.box("INBOX").ID, e.box("Archive").ID
	e.parallel(4, func(i int) error {
		for range 10 {
			from, to := a, b
			if i%2 == 1 {
				from, to = b, a
			}
			if _, err := e.account.Copy(e.ctx, from, to, set(1, 2)); err != nil {
				return err
			}
			if _, err := e.account.Move(e.ctx, from, to, set(imap.UID(i+3))); err != nil {
				return err
			}
		}
		return nil
	})
	e.equal(e.box("INBOX").Messages+e.box("Archive").Messages, 4+4*10*2, "messages")
}

// testFlagsAtOnce has each of several clients set keywords of its own on the same messages.
func testFlagsAtOnce(e *env) {
	e.fill("INBOX", 5)
	box := e.box("INBOX").ID
	e.parallel(6, func(i int) error {
		for k := range 5 {
			ch := store.FlagChange{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.Flag(fmt.Sprintf("k%d-%d", i, k)), `\Seen`}}
			r, err := e.account.SetFlags(e.ctx, box, everything, ch)
			if err != nil {
				return err
			}
			if len(r.Changed) != 5 {
				return fmt.Errorf("%d changed", len(r.Changed))
			}
		}
		return nil
	})
	for uid := range imap.UID(5) {
		e.equal(len(e.flags("INBOX", uid+1)), 31, "flags of UID %d", uid+1)
	}
}

func testDeliverAtOnce(e *env) {
	box := e.box("INBOX").ID
	stored := make([]int, 8)
	e.parallel(len(stored), func(i int) error {
		for k := range 5 {
			d := e.draft("Subject: x\r\n\r\n")
			d.DeliveryKey = fmt.Appendf(nil, "key %d", k)
			uids, err := e.account.Append(e.ctx, box, d)
			if err != nil {
				return err
			}
			if uids[0] != 0 {
				stored[i]++
			}
		}
		return nil
	})
	total := 0
	for _, n := range stored {
		total += n
	}
	e.equal([]any{total, e.box("INBOX").Messages}, []any{5, 5}, "stored, and messages")
}

func testCreateAtOnce(e *env) {
	made := make([]bool, 6)
	e.parallel(len(made), func(i int) error {
		_, err := e.account.Create(e.ctx, "new/one")
		made[i] = err == nil
		if errors.Is(err, store.ErrExists) {
			return nil
		}
		return err
	})
	n := 0
	for _, ok := range made {
		if ok {
			n++
		}
	}
	e.equal([]any{n, len(e.names())}, []any{1, 8}, "made, and mailboxes")
}

func testRecentAtOnce(e *env) {
	const n = 40
	e.fill("INBOX", n)
	box := e.box("INBOX").ID
	claimed := make([][]imap.UID, 8)
	e.parallel(len(claimed), func(i int) error {
		for upTo := imap.UID(1 + i); upTo <= n+1; upTo += 3 {
			from, err := e.account.ClaimRecent(e.ctx, box, upTo)
			if err != nil {
				return err
			}
			for uid := from; uid < upTo; uid++ {
				claimed[i] = append(claimed[i], uid)
			}
		}
		return nil
	})
	all := slices.Concat(claimed...)
	slices.Sort(all)
	e.equal(all, uidRange(1, n), "claimed")
}

func testLeaseAtOnce(e *env) {
	leases := make([]*store.Lease, 6)
	e.parallel(len(leases), func(i int) error {
		l, err := e.account.LockMaildrop(e.ctx)
		leases[i] = l
		if errors.Is(err, store.ErrInUse) {
			return nil
		}
		return err
	})
	n := 0
	for _, l := range leases {
		if l != nil {
			n++
			l.Release()
		}
	}
	e.equal(n, 1, "locks")
}

// testAnnotationRace deletes mailboxes while somebody else notes things of them: nothing is left.
func testAnnotationRace(e *env) {
	_, guest := e.newAccount(0)
	for i := range 10 {
		name := fmt.Sprintf("box-%d", i)
		at := e.place(e.create(name).ID)
		e.parallel(3, func(k int) error {
			if k == 0 {
				return e.account.Delete(e.ctx, name)
			}
			err := guest.SetAnnotations(e.ctx, at, store.Annotation{Entry: fmt.Sprintf("/private/%d", k), Value: []byte("x")})
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	found, err := guest.Annotations(e.ctx, everyEntry)
	e.ok(err)
	e.equal(showAnnotations(found), "", "what was noted of mailboxes that are gone")
}
