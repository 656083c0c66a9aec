package storetest

import (
	"cmp"
	"fmt"
	"slices"

	"postern/pkg/store"
)

var routeTests = []contract{
	{name: "addresses", run: testRoute},
	{name: "aliases", run: testRouteAlias},
}

// routed spells out where an address leads.
func (e *env) routed(address string) string {
	e.Helper()
	r, err := e.fixture.Store.Route(e.ctx, address)
	if err != nil {
		e.fails(err, store.ErrNotFound, "Route(%q)", address)
		return "nowhere"
	}
	slices.SortFunc(r.Targets, func(a, b store.Target) int { return cmp.Compare(a.Address, b.Address) })
	var s string
	for _, t := range r.Targets {
		a, err := e.fixture.Store.Account(e.ctx, t.Account)
		e.ok(err)
		inbox, err := a.Mailbox(e.ctx, "INBOX")
		e.ok(err)
		e.equal(t.Inbox, inbox.ID, "INBOX of %s", t.Address)
		s += fmt.Sprintf("%s(%s) ", t.Address, t.Detail)
	}
	return s
}

func testRoute(e *env) {
	e.fixture.NewAccount("Jo+x@Route.example", 0)
	e.fixture.NewAccount("jo@route.example", 0)
	for _, test := range []struct{ address, want string }{
		{"jo@route.example", "jo@route.example() "},
		{"JO@ROUTE.EXAMPLE.", "jo@route.example() "},
		{"jo+Lists/Go@route.example", "jo@route.example(Lists/Go) "},
		{"jo+a+b@route.example", "jo@route.example(a+b) "},
		{"jo+@route.example", "jo@route.example() "},
		{"jo+X@route.example", "jo+x@route.example() "}, // an account of that very name
		{"joe@route.example", "nowhere"},
		{"jo", "nowhere"},
		{"", "nowhere"},
		{"@route.example", "nowhere"},
		{"jo@", "nowhere"},
		{"jo\x00@route.example", "nowhere"},
		{"jo\xff@route.example", "nowhere"},
	} {
		e.equal(e.routed(test.address), test.want, "Route(%q)", test.address)
	}
}

func testRouteAlias(e *env) {
	for _, name := range []string{"ann", "bob", "post"} {
		e.fixture.NewAccount(name+"@alias.example", 0)
	}
	e.fixture.AddAlias("Team@alias.example", "ann@alias.example", "BOB@alias.example")
	e.fixture.AddAlias("all@alias.example", "team@alias.example", "ann@alias.example")
	e.fixture.AddAlias("loop@alias.example", "loop@alias.example")
	e.fixture.AddAlias("ping@alias.example", "pong@alias.example")
	e.fixture.AddAlias("pong@alias.example", "ping@alias.example", "bob@alias.example")
	e.fixture.AddAlias("dead@alias.example", "nobody@elsewhere.example")
	e.fixture.AddAlias("@alias.example", "post@alias.example")
	for _, test := range []struct{ address, want string }{
		{"team@alias.example", "ann@alias.example() bob@alias.example() "},
		{"team+x@alias.example", "ann@alias.example(x) bob@alias.example(x) "},
		{"all@alias.example", "ann@alias.example() bob@alias.example() "},
		{"ping@alias.example", "bob@alias.example() "},
		{"loop@alias.example", "nowhere"},
		{"dead@alias.example", "nowhere"},
		{"ann@alias.example", "ann@alias.example() "},
		{"whoever@alias.example", "post@alias.example() "},
		{"whoever+x@alias.example", "post@alias.example() "},
		{"whoever@other.example", "nowhere"},
	} {
		e.equal(e.routed(test.address), test.want, "Route(%q)", test.address)
	}
}
