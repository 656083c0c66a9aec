package storetest

import "postern/pkg/store"

var leaseTests = []contract{
	{name: "exclusive", run: testLease},
}

func testLease(e *env) {
	l, err := e.account.LockMaildrop(e.ctx)
	e.ok(err)
	_, err = e.account.LockMaildrop(e.ctx)
	e.fails(err, store.ErrInUse, "a second lock")
	same, err := e.fixture.Store.Account(e.ctx, e.account.ID())
	e.ok(err)
	_, err = same.LockMaildrop(e.ctx)
	e.fails(err, store.ErrInUse, "a second lock by another handle")
	e.add("INBOX") // nobody else is held up
	e.expunge("INBOX", 1)
	_, neighbour := e.newAccount(0)
	other, err := neighbour.LockMaildrop(e.ctx)
	e.ok(err)
	other.Release()
	select {
	case <-l.Lost:
		e.Error("lost")
	default:
	}
	l.Release()
	again, err := e.account.LockMaildrop(e.ctx)
	e.ok(err)
	l.Release() // a second time does not release what is another's by now
	_, err = e.account.LockMaildrop(e.ctx)
	e.fails(err, store.ErrInUse, "a lock after the first holder released twice")
	again.Release()
}
