// Package storetest is the contract of package store as tests: Run holds a store to its promises one by one, Compare
// holds two stores against each other. Every store passes both.
package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"postern/pkg/store"
)

// MaxMailboxes is how many mailboxes an account of a Fixture can have.
const MaxMailboxes = 250

// Fixture is a store to be tested, and what an administrator can do to it. It is used by several goroutines.
type Fixture struct {
	Store store.Store
	// NewAccount makes an account with the default mailboxes and a quota in octets, 0 for none.
	NewAccount func(address string, quota int64) store.AccountID
	// AddAlias sends mail for an address, or for "@domain", to accounts or other aliases.
	AddAlias func(address string, targets ...string)
	// Sweep makes the store forget at once all that it may forget in time: tombstones, octets of messages that are in no
	// mailbox, deliveries.
	Sweep func()
}

// Run tests a store. open is called for each group of tests, from its goroutine, and cleans up with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			var accounts atomic.Int64
			for _, test := range g.tests {
				t.Run(test.name, func(t *testing.T) {
					e := newEnv(t, f, &accounts, test.quota)
					test.run(e)
					e.checkCounts()
				})
			}
		})
	}
}

// group is a file of this package; its tests share a store, each has an account of its own.
type group struct {
	name  string
	tests []contract
}

// contract is one promise.
type contract struct {
	name  string
	run   func(e *env)
	quota int64
}

var groups = []group{
	{"annotation", annotationTests},
	{"acl", aclTests},
	{"append", appendTests},
	{"changes", changesTests},
	{"concurrency", concurrencyTests},
	{"copy", copyTests},
	{"expunge", expungeTests},
	{"flags", flagsTests},
	{"keys", keysTests},
	{"lease", leaseTests},
	{"mailbox", mailboxTests},
	{"move", moveTests},
	{"quota", quotaTests},
	{"recent", recentTests},
	{"rename", renameTests},
	{"replace", replaceTests},
	{"route", routeTests},
	{"search", searchTests},
	{"thread", threadTests},
	{"transfer", transferTests},
	{"watch", watchTests},
}

// env is a test with an account.
type env struct {
	*testing.T
	ctx      context.Context
	fixture  Fixture
	accounts *atomic.Int64
	address  string
	account  store.Account
	sent     int
}

func newEnv(t *testing.T, f Fixture, accounts *atomic.Int64, quota int64) *env {
	e := &env{T: t, ctx: t.Context(), fixture: f, accounts: accounts}
	e.address, e.account = e.newAccount(quota)
	return e
}

// newAccount makes a further account.
func (e *env) newAccount(quota int64) (string, store.Account) {
	e.Helper()
	address := fmt.Sprintf("user%d@example.org", e.accounts.Add(1))
	a, err := e.fixture.Store.Account(e.ctx, e.fixture.NewAccount(address, quota))
	e.ok(err)
	return address, a
}
