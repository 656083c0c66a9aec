package storetest

import (
	"fmt"
	"slices"
	"strings"

	"postern/pkg/store"
)

var annotationTests = []contract{
	{name: "set, read and remove", run: testAnnotationSet},
	{name: "depth and size", run: testAnnotationQuery},
	{name: "refused", run: testAnnotationRefused},
	{name: "bounds", run: testAnnotationBounds},
	{name: "changes", run: testAnnotationChanges},
	{name: "removals are forgotten in time", run: testAnnotationForgotten},
	{name: "deleted mailbox", run: testAnnotationDelete},
	{name: "another account's mailbox", run: testAnnotationForeign},
	{name: "special use", run: testAnnotationUse},
	{name: "watch", run: testAnnotationWatch},
}

// place is a mailbox of the account, or with 0 the account.
func (e *env) place(box store.MailboxID) store.Place {
	return store.Place{Account: e.account.ID(), Mailbox: box}
}

func (e *env) annotate(box store.MailboxID, entry, value string) {
	e.Helper()
	e.ok(e.account.SetAnnotations(e.ctx, e.place(box), store.Annotation{Entry: entry, Value: []byte(value)}))
}

// annotations spells out what a query finds.
func (e *env) annotations(q store.AnnotationQuery) string {
	e.Helper()
	found, err := e.account.Annotations(e.ctx, q)
	e.ok(err)
	return showAnnotations(found)
}

func showAnnotations(found []store.Annotation) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%s=", f.Entry)
		if f.Value == nil {
			fmt.Fprintf(&b, "%d octets ", f.Size)
			continue
		}
		fmt.Fprintf(&b, "%q ", f.Value)
	}
	return b.String()
}

var everyEntry = store.AnnotationQuery{MaxSize: -1}

func testAnnotationSet(e *env) {
	inbox := e.box("INBOX").ID
	e.equal(e.annotations(everyEntry), "", "annotations of a new account")
	e.annotate(inbox, "/shared/comment", "Hello\x00\xff")
	e.annotate(inbox, "/private/comment", "")
	e.annotate(0, "/private/comment", "whole account")
	e.equal(e.annotations(everyEntry),
		`/private/comment="whole account" /private/comment="" /shared/comment="Hello\x00\xff" `, "by mailbox and entry")
	e.equal(e.annotations(store.AnnotationQuery{Boxes: []store.MailboxID{0}, MaxSize: -1}),
		`/private/comment="whole account" `, "the account's own")
	e.equal(e.annotations(store.AnnotationQuery{Boxes: []store.MailboxID{}, MaxSize: -1}), "", "of no mailbox")
	e.annotate(inbox, "/shared/comment", "changed")
	e.ok(e.account.SetAnnotations(e.ctx, e.place(inbox), store.Annotation{Entry: "/private/comment"},
		store.Annotation{Entry: "/private/none"}, store.Annotation{Entry: "/shared/x", Value: []byte("new")}))
	e.equal(e.annotations(store.AnnotationQuery{Boxes: []store.MailboxID{inbox}, MaxSize: -1}),
		`/shared/comment="changed" /shared/x="new" `, "after one call that sets and removes")
	e.ok(e.account.Rename(e.ctx, "Sent", "Out"))
	e.ok(e.account.SetAnnotations(e.ctx, e.place(inbox)))
}

func testAnnotationQuery(e *env) {
	for _, entry := range []string{"/shared/a", "/shared/a/b", "/shared/a/b/c", "/shared/ab", "/private/a"} {
		e.annotate(0, entry, entry)
	}
	ask := func(depth store.Depth, entries ...string) string {
		e.Helper()
		found, err := e.account.Annotations(e.ctx, store.AnnotationQuery{Entries: entries, Depth: depth, MaxSize: -1})
		e.ok(err)
		var names []string
		for _, f := range found {
			names = append(names, f.Entry)
		}
		return strings.Join(names, " ")
	}
	e.equal(ask(store.ThisEntry, "/shared/a", "/shared/b"), "/shared/a", "depth 0")
	e.equal(ask(store.OneBelow, "/shared/a"), "/shared/a /shared/a/b", "depth 1")
	e.equal(ask(store.AllBelow, "/shared/a"), "/shared/a /shared/a/b /shared/a/b/c", "depth infinity")
	e.equal(ask(store.OneBelow, "/shared"), "/shared/a /shared/ab", "depth 1 of a root")
	e.equal(ask(store.AllBelow, "/shared/a", "/shared/a/b", "/private"),
		"/private/a /shared/a /shared/a/b /shared/a/b/c", "overlapping, each once")
	e.equal(e.annotations(store.AnnotationQuery{MaxSize: 10}),
		`/private/a="/private/a" /shared/a="/shared/a" /shared/a/b=11 octets /shared/a/b/c=13 octets /shared/ab="/shared/ab" `,
		"values up to 10 octets")
	e.annotate(0, "/shared/e", "")
	e.equal(e.annotations(store.AnnotationQuery{Entries: []string{"/shared/e"}}), `/shared/e="" `, "an empty value, up to none")
}

func testAnnotationRefused(e *env) {
	for _, entry := range []string{
		"", "/", "/private", "/shared", "/shared/", "/shared//x", "/other/x", "/shared/*", "/shared/%", "/shared/é", "/shared/a\n",
		"/Shared/comment", "/shared/" + strings.Repeat("x", store.MaxEntryName),
	} {
		err := e.account.SetAnnotations(e.ctx, e.place(0), store.Annotation{Entry: entry, Value: []byte("x")})
		e.fails(err, store.ErrName, "entry %.20q", entry)
	}
	twice := store.Annotation{Entry: "/shared/x", Value: []byte("x")}
	e.fails(e.account.SetAnnotations(e.ctx, e.place(0), twice, twice), store.ErrName, "one entry twice")
	e.fails(e.account.SetAnnotations(e.ctx, e.place(nowhere), twice), store.ErrNotFound, "a mailbox that is not there")
	big := store.Annotation{Entry: "/shared/y", Value: make([]byte, store.MaxAnnotation+1)}
	e.fails(e.account.SetAnnotations(e.ctx, e.place(0), twice, big), store.ErrTooBig, "too big")
	e.equal(e.annotations(everyEntry), "", "nothing was set")
}

func testAnnotationBounds(e *env) {
	var many []store.Annotation
	for i := range store.MaxAnnotations {
		many = append(many, store.Annotation{Entry: fmt.Sprintf("/private/%d", i), Value: []byte("x")})
	}
	e.ok(e.account.SetAnnotations(e.ctx, e.place(0), many...))
	one := store.Annotation{Entry: "/private/more", Value: []byte("x")}
	e.fails(e.account.SetAnnotations(e.ctx, e.place(0), one), store.ErrTooManyAnnotations, "one more")
	e.ok(e.account.SetAnnotations(e.ctx, e.place(0), store.Annotation{Entry: "/private/1"}, one))
	inbox := e.box("INBOX").ID
	e.ok(e.account.SetAnnotations(e.ctx, e.place(inbox), one))
	e.fails(e.account.SetAnnotations(e.ctx, e.place(inbox), append(many, one)...), store.ErrTooManyAnnotations, "too many at once")
	value := make([]byte, store.MaxAnnotation)
	for i := range store.MaxAnnotationTotal/store.MaxAnnotation - 1 {
		e.ok(e.account.SetAnnotations(e.ctx, e.place(inbox), store.Annotation{Entry: fmt.Sprintf("/private/%d", i), Value: value}))
	}
	first := store.Annotation{Entry: "/private/first", Value: value}
	e.fails(e.account.SetAnnotations(e.ctx, e.place(inbox), first, store.Annotation{Entry: "/private/second", Value: value}),
		store.ErrOverQuota, "all values together")
	e.ok(e.account.SetAnnotations(e.ctx, e.place(inbox), store.Annotation{Entry: "/private/0"}, first))
}

// changes spells out what has changed and returns the point up to which.
func (e *env) annotationChanges(since int64) (string, int64) {
	e.Helper()
	changed, until, err := e.account.AnnotationChanges(e.ctx, since)
	e.ok(err)
	var names []string
	for _, c := range changed {
		names = append(names, c.Entry)
	}
	return strings.Join(names, " "), until
}

func testAnnotationChanges(e *env) {
	changed, start := e.annotationChanges(-1)
	e.equal(changed, "", "nothing at first")
	inbox := e.box("INBOX").ID
	e.annotate(inbox, "/shared/b", "1")
	e.annotate(inbox, "/shared/a", "1")
	_, middle := e.annotationChanges(-1)
	e.annotate(0, "/private/c", "1")
	e.annotate(inbox, "/shared/b", "2")
	e.ok(e.account.SetAnnotations(e.ctx, e.place(inbox), store.Annotation{Entry: "/shared/a"}, store.Annotation{Entry: "/shared/none"}))
	changed, end := e.annotationChanges(start)
	e.equal(changed, "/private/c /shared/b /shared/a", "changes, each once, in their order")
	changed, again := e.annotationChanges(middle)
	e.equal(changed, "/private/c /shared/b /shared/a", "changes since the middle")
	if start >= middle || middle >= end || again != end {
		e.Errorf("points %d, %d, %d, %d", start, middle, end, again)
	}
	changed, _ = e.annotationChanges(end)
	e.equal(changed, "", "no change since")
}

func testAnnotationForgotten(e *env) {
	_, start := e.annotationChanges(-1)
	const batch = 500
	for round := range 5 {
		var set, remove []store.Annotation
		for i := range batch {
			entry := fmt.Sprintf("/private/%d/%d", round, i)
			set = append(set, store.Annotation{Entry: entry, Value: []byte("x")})
			remove = append(remove, store.Annotation{Entry: entry})
		}
		e.ok(e.account.SetAnnotations(e.ctx, e.place(0), set...))
		e.ok(e.account.SetAnnotations(e.ctx, e.place(0), remove...))
	}
	changed, _, err := e.account.AnnotationChanges(e.ctx, start)
	e.ok(err)
	if len(changed) > store.AnnotationsGone || len(changed) < batch {
		e.Errorf("%d removed annotations are remembered", len(changed))
	}
	if !slices.ContainsFunc(changed, func(c store.Annotation) bool { return c.Entry == "/private/4/0" }) {
		e.Error("the latest removal is forgotten")
	}
}

func testAnnotationDelete(e *env) {
	box := e.create("a").ID
	e.annotate(box, "/shared/comment", "x")
	_, before := e.annotationChanges(-1)
	e.ok(e.account.Rename(e.ctx, "a", "b"))
	e.equal(e.annotations(store.AnnotationQuery{Boxes: []store.MailboxID{e.box("b").ID}, MaxSize: -1}),
		`/shared/comment="x" `, "after renaming")
	e.ok(e.account.Delete(e.ctx, "b"))
	e.equal(e.annotations(everyEntry), "", "after deleting the mailbox")
	e.annotate(0, "/shared/comment", "y")
	changed, after := e.annotationChanges(before)
	if after <= before || changed != "/shared/comment" {
		e.Errorf("from %d to %d: %q", before, after, changed)
	}
}

func testAnnotationForeign(e *env) {
	_, guest := e.newAccount(0)
	box := e.create("a")
	woken, idle := e.fixture.Store.Watch(guest.ID()), e.fixture.Store.Watch(e.account.ID())
	defer woken.Close()
	defer idle.Close()
	both := []store.Annotation{{Entry: "/private/comment", Value: []byte("what I think of it")}, {Entry: "/shared/comment", Value: []byte("x")}}
	e.ok(guest.SetAnnotations(e.ctx, e.place(box.ID), both...))
	if !awake(woken) || !awake(idle) {
		e.Error("not both woken")
	}
	of := func(a store.Account) string {
		e.Helper()
		found, err := a.Annotations(e.ctx, everyEntry)
		e.ok(err)
		return showAnnotations(found)
	}
	e.equal(of(guest), `/private/comment="what I think of it" `, "the guest's")
	e.equal(of(e.account), `/shared/comment="x" `, "the owner's")

	both[0].Value, both[1].Value = nil, []byte("y")
	tooMany := both
	for i := range store.MaxAnnotations - 1 {
		tooMany = append(tooMany, store.Annotation{Entry: fmt.Sprintf("/shared/%d", i), Value: []byte("x")})
	}
	e.ok(e.account.SetAnnotations(e.ctx, e.place(box.ID), store.Annotation{Entry: "/shared/a", Value: []byte("a")}, store.Annotation{Entry: "/shared/b", Value: []byte("b")}))
	e.fails(guest.SetAnnotations(e.ctx, e.place(box.ID), tooMany[:store.MaxAnnotations]...), store.ErrTooManyAnnotations, "too many for the owner")
	e.equal(of(guest), `/private/comment="what I think of it" `, "the guest's, when it failed")
	use := store.Annotation{Entry: store.SpecialUseEntry, Value: []byte(`\Sent`)}
	e.fails(guest.SetAnnotations(e.ctx, e.place(box.ID), use), store.ErrName, "special use of another's mailbox")
	e.fails(guest.SetAnnotations(e.ctx, e.place(nowhere), both[0]), store.ErrNotFound, "a private entry of no mailbox")
	e.fails(guest.SetAnnotations(e.ctx, store.Place{Account: guest.ID(), Mailbox: box.ID}, both[0]), store.ErrNotFound, "of another's as if it were one's own")
	e.fails(guest.SetAnnotations(e.ctx, store.Place{Account: 1 << 60, Mailbox: box.ID}, both[0]), store.ErrNotFound, "of no account")

	e.ok(e.account.Delete(e.ctx, "a"))
	e.equal(of(guest), "", "the guest's, when the mailbox is gone")
	e.fails(guest.SetAnnotations(e.ctx, e.place(box.ID), both[0]), store.ErrNotFound, "when it is gone")
}

func testAnnotationUse(e *env) {
	mine, sent := e.create("mine").ID, e.box("Sent").ID
	e.fails(e.setUse(mine, `\Sent`), store.ErrUse, "a use another mailbox has")
	e.fails(e.setUse(mine, `\All`), store.ErrUse, "a use there is not")
	e.fails(e.setUse(nowhere, ""), store.ErrNotFound, "no such mailbox")
	e.fails(e.setUse(0, ""), store.ErrName, "of the account")
	_, start := e.annotationChanges(-1)
	e.ok(e.setUse(sent, ""))
	e.equal(e.box("Sent").Use, "[]", "special use taken away")
	e.fails(e.setUse(mine, `\sent  \Nothing`), store.ErrUse, "one that there is and one that there is not")
	e.ok(e.setUse(mine, ` \sent`))
	e.ok(e.setUse(mine, `\Sent`))
	e.equal(e.box("mine").Use, `[\Sent]`, "special use given")
	e.fails(e.account.SetAnnotations(e.ctx, e.place(mine), store.Annotation{Entry: store.SpecialUseEntry},
		store.Annotation{Entry: "/shared/x", Value: make([]byte, store.MaxAnnotation+1)}), store.ErrTooBig, "beside one that is refused")
	e.equal(e.box("mine").Use, `[\Sent]`, "special use after a failure")
	changed, _ := e.annotationChanges(start)
	e.equal(changed, "/private/specialuse /private/specialuse", "changes, each mailbox once")
	e.equal(e.annotations(everyEntry), "", "annotations")
}

// setUse says which special uses a mailbox has.
func (e *env) setUse(box store.MailboxID, use string) error {
	return e.account.SetAnnotations(e.ctx, e.place(box), store.Annotation{Entry: store.SpecialUseEntry, Value: []byte(use)})
}

func testAnnotationWatch(e *env) {
	w := e.fixture.Store.Watch(e.account.ID())
	defer w.Close()
	e.annotate(0, "/private/comment", "x")
	select {
	case <-w.C:
	default:
		e.Error("not woken")
	}
	if boxes := w.Take(); !slices.Contains(boxes, 0) {
		e.Errorf("woken for %v", boxes)
	}
}

// annotate and annotations are Compare's.

var entryNames = []string{
	"/private/comment", "/shared/comment", "/private/vendor/a/b", "/private/vendor/a", "/private/vendor", "/shared/vendor/a/b", "/Shared/no",
}

func (c *comparison) annotate() {
	name, entry := c.name(), pick(c, entryNames)
	var value []byte
	if n := c.r.IntN(4); n > 0 {
		value = []byte(strings.Repeat("value ", c.r.IntN(n*10)))
	}
	both(c, fmt.Sprintf("SetAnnotations(%q, %s, %d octets)", name, entry, len(value)), func(w *world, _ int) (struct{}, error) {
		box := w.box(c.ctx, name)
		if box == nowhere {
			box = 0
		}
		return struct{}{}, w.account.SetAnnotations(c.ctx, store.Place{Account: w.account.ID(), Mailbox: box}, store.Annotation{Entry: entry, Value: value})
	}, done)
}

func (c *comparison) annotations() {
	name := c.name()
	q := store.AnnotationQuery{Depth: store.Depth(c.r.IntN(3)), MaxSize: c.r.IntN(80) - 10}
	for range c.r.IntN(3) {
		q.Entries = append(q.Entries, pick(c, entryNames[:6]))
	}
	both(c, fmt.Sprintf("Annotations(%q, %v)", name, q), func(w *world, _ int) ([]store.Annotation, error) {
		q := q
		q.Boxes = []store.MailboxID{0, w.box(c.ctx, name)}
		return w.account.Annotations(c.ctx, q)
	}, func(_ *world, found []store.Annotation) string { return showAnnotations(found) })
}
