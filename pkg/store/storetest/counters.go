package storetest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// testTransferCountersAtOnce does the same from several sides at once.
func testTransferCountersAtOnce(e *env) {
	people := []*env{e, e.somebody(0), e.somebody(0)}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			p, r := people[i%3].with("", people[i%3].account), rand.New(rand.NewPCG(36, uint64(i)))
			for step := range 40 {
				if err := p.atRandom(r, people[r.IntN(3)]); err != nil && !foreseen(err) {
					e.Errorf("side %d, step %d: %v", i, step, err)
				}
			}
		})
	}
	wg.Wait()
	for _, p := range people {
		p.checkCounts()
	}
}

// foreseen reports whether an error is one of those that chance may bring about.
func foreseen(err error) bool {
	return slices.ContainsFunc([]error{store.ErrNotFound, store.ErrExists, store.ErrName, store.ErrHasChildren, store.ErrExpunged},
		func(one error) bool { return errors.Is(err, one) })
}

// testTransferCounters does things at random in the mailboxes of three accounts, which two of them have little room in, and holds
// all counters against the messages: those of mailboxes and those of quotas.
func testTransferCounters(e *env) {
	const steps = 400
	people := []*env{e, e.somebody(0), e.somebody(0)}
	for i, p := range people {
		p.sent = 1000 * i
		if i > 0 {
			e.ok(e.fixture.Store.SetLimits(e.ctx, p.account.ID(), store.Limits{Octets: int64(2400 / i), Messages: 15, Mailboxes: 9}))
		}
	}
	r := rand.New(rand.NewPCG(36, 1))
	for step := range steps {
		p, q := people[r.IntN(3)], people[r.IntN(3)]
		before := [2]store.Quota{p.quota(), q.quota()}
		err := p.atRandom(r, q)
		switch {
		case err == nil, foreseen(err):
		case errors.Is(err, store.ErrOverQuota):
			e.equal([2]store.Quota{p.quota(), q.quota()}, before, "step %d: quotas after %v", step, err)
		default:
			e.Fatalf("step %d: %v", step, err)
		}
		if step%25 == 24 {
			for _, p := range people {
				p.checkCounts()
				p.checkLimits(step)
			}
		}
	}
}

// checkLimits: what is limited is within its limit.
func (e *env) checkLimits(step int) {
	e.Helper()
	if q := e.quota(); q.Limit > 0 && q.Used > q.Limit || q.MessageLimit > 0 && q.Messages > q.MessageLimit ||
		q.MailboxLimit > 0 && q.Mailboxes > q.MailboxLimit {
		e.Errorf("step %d: %+v", step, q)
	}
}

// atRandom does something in an account, or between it and another.
func (e *env) atRandom(r *rand.Rand, other *env) error {
	names := []string{"INBOX", "Sent", "a", "a/b", "c"}
	name, to := names[r.IntN(len(names))], names[r.IntN(len(names))]
	if r.IntN(3) == 0 {
		return e.treeAtRandom(r, name, to)
	}
	box, snap, err := e.account.Open(e.ctx, name)
	if err != nil {
		return err
	}
	dest, err := other.account.Mailbox(e.ctx, to)
	if err != nil {
		return err
	}
	some := e.someOf(r, snap)
	switch r.IntN(8) {
	case 0, 1, 2:
		flags := []imap.Flag{`\Seen`, `\Deleted`, "work"}[:r.IntN(4)]
		_, err = e.account.Append(e.ctx, box.ID, e.draft(e.letter(), flags...), e.draft(e.letter(), flags...))
	case 3:
		_, err = e.account.SetFlags(e.ctx, box.ID, some, store.FlagChange{
			Op: imap.StoreFlagsSet, Flags: []imap.Flag{`\Seen`, `\Deleted`}[:r.IntN(3)], Denied: store.Rights(r.Uint32()) & store.AllRights,
		})
	case 4:
		_, err = e.account.Expunge(e.ctx, box.ID, some, tester)
	case 5:
		if all, _ := some.Nums(); len(all) > 0 && other == e {
			_, err = e.account.Replace(e.ctx, store.Replacement{From: box.ID, UID: all[0], To: dest.ID, Draft: e.draft(e.letter()), By: tester})
		}
	default:
		_, err = e.account.Transfer(e.ctx, store.Transfer{
			From: box.ID, To: store.Place{Account: other.account.ID(), Mailbox: dest.ID}, UIDs: some,
			Move: r.IntN(2) == 0, Denied: store.Rights(r.Uint32()) & store.AllRights, By: tester,
		})
	}
	return err
}

func (e *env) treeAtRandom(r *rand.Rand, name, to string) error {
	switch r.IntN(5) {
	case 0:
		return e.account.Delete(e.ctx, name)
	case 1:
		return e.account.Rename(e.ctx, name, to)
	}
	_, err := e.account.Create(e.ctx, name)
	return err
}

// someOf are some of the messages of a mailbox, and one that may not be there.
func (e *env) someOf(r *rand.Rand, snap *store.Snapshot) imap.UIDSet {
	uids := slices.DeleteFunc(uidsOf(snap), func(imap.UID) bool { return r.IntN(2) == 0 })
	return imap.UIDSetNum(append(uids, imap.UID(r.IntN(50)+1))...)
}
