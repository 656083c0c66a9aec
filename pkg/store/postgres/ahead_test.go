package postgres

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// TestReadAhead counts what clients cost that take messages one by one, in whatever order.
func TestReadAhead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const count = 60
	texts := make([]string, count)
	for i := range texts {
		texts[i] = fmt.Sprintf("Subject: %d\r\n\r\n%s", i, lots(100+i))
	}
	texts[40] = plain("large", 2*window)
	f.mail(texts...)
	snap := f.openInbox(f.a)
	up := make([]int, count)
	for i := range up {
		up[i] = i
	}
	down := slices.Clone(up)
	slices.Reverse(down)
	apart := make([]int, 0, count)
	for i := range count / 2 {
		apart = append(apart, (i*2)%count)
	}
	for _, tc := range []struct {
		name       string
		order      []int
		statements int
	}{
		// One message, then 3, 5, 9, 17 and the rest; and two windows of the large one, which are read as they are needed.
		{"upwards", up, 8},
		{"downwards", down, 8},
		{"others between", apart, count/2 + 2},
	} {
		for _, want := range []store.Fields{store.WithHeader | store.WithBody | store.Passing, store.WithPart | store.WithBody} {
			f.check(tc.name, tc.statements, func(ctx context.Context) {
				for _, i := range tc.order {
					f.readOne(ctx, snap, i, want, texts[i])
				}
			})
			f.check(tc.name+", again", 2, func(ctx context.Context) {
				for _, i := range tc.order {
					f.readOne(ctx, snap, i, want, texts[i])
				}
			})
			f.s.kept = newKept(f.s.opts.BodyBytes)
		}
	}
}

// readOne reads the message at place i as a client does that asks for one.
func (f *fixture) readOne(ctx context.Context, snap *store.Snapshot, i int, want store.Fields, text string) {
	f.Helper()
	n := 0
	for m, err := range f.a.Messages(ctx, snap, imap.UIDSetNum(snap.UID(i)), want) {
		if err != nil {
			f.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
		if err != nil || string(got) != text || (m.Part != nil) != (want&store.WithPart != 0) {
			f.Errorf("message %d: %d octets, %v, part %v", i, len(got), err, m.Part)
		}
		n++
	}
	if n != 1 {
		f.Errorf("%d messages instead of the one at place %d", n, i)
	}
}

// TestReadAheadTrees counts what trees of many parts take: a message of 80 KB can have one of megabytes.
func TestReadAheadTrees(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const (
		parts = 2000
		each  = 250 // octets that a message.Part has at least
	)
	many := "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\ny\r\n", parts)
	f.mail(many, many+"1", many+"2", many+"3", many+"4")
	snap := f.openInbox(f.a)
	for i := range 2 {
		for _, err := range f.a.Messages(t.Context(), snap, imap.UIDSetNum(snap.UID(i)), store.WithPart) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	k := f.s.kept
	if least := len(k.items) * parts * each; len(k.items) < 3 || k.total < least {
		t.Errorf("%d trees of %d parts count as %d octets", len(k.items), parts, k.total)
	}
}

// TestPageTrees: of messages whose trees are large together few are in memory at a time, and each comes with its own.
func TestPageTrees(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const count, parts = 50, 2000
	var texts []string
	for i := range count {
		texts = append(texts, "Content-Type: multipart/mixed; boundary=x\r\n\r\n"+strings.Repeat("--x\r\n\r\ny\r\n", parts)+strings.Repeat("x", i))
	}
	f.mail(texts...)
	snap := f.openInbox(f.a)
	p := &pager{a: f.a, have: snap, want: store.WithPart, places: snap.Indices(allUIDs)}
	pg := &page{places: p.next()}
	if err := p.load(t.Context(), pg); err != nil {
		t.Fatal(err)
	}
	octets, largest := 0, 0
	for _, l := range pg.read {
		octets, largest = octets+l.octets(), max(largest, l.treeSize)
	}
	if len(pg.read) != count || count*largest < 2*pageTrees || octets > pageTrees+2*largest {
		t.Errorf("%d messages with trees of %d octets are %d in memory", len(pg.read), largest, octets)
	}
	one := func(from, to imap.UID) {
		n := from
		for m, err := range f.a.Messages(t.Context(), snap, uidRange(from, to), store.WithPart) {
			if err != nil || m.Part == nil || m.Part.End != int64(len(texts[n-1])) || len(m.Part.Children) != parts {
				t.Errorf("UID %d: %v", n, err)
			}
			n++
		}
		if n != to+1 {
			t.Errorf("%d messages of %d to %d", n-from, from, to)
		}
	}
	one(1, count)
	for n := range imap.UID(count) {
		one(n+1, n+1) // read ahead
	}
}

// TestReadAheadAgain: messages whose trees are in memory are read again, with others, when they are too large together. They are still there.
func TestReadAheadAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const count, parts = 7, 6000
	many := "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\ny\r\n", parts)
	f.mail(slices.Repeat([]string{many}, count)...)
	snap := f.openInbox(f.a)
	read := func() {
		for i := range count {
			for m, err := range f.a.Messages(t.Context(), snap, imap.UIDSetNum(snap.UID(i)), store.WithPart) {
				if err != nil || len(m.Part.Children) != parts {
					t.Errorf("message %d: %v", i, err)
				}
			}
		}
	}
	read()
	p := &pager{a: f.a, have: snap, want: store.WithPart, places: snap.Indices(allUIDs)}
	all := p.next()
	if err := p.readToKeep(t.Context(), &page{read: make(map[store.MessageID]*loaded)}, all); err != nil || len(all) != count {
		t.Fatal(len(all), err)
	}
	read()
}

// TestKeptBounded keeps a bounded number of octets, those used last.
func TestKeptBounded(t *testing.T) {
	t.Parallel()
	const keptOctets = 16 << 20
	k := newKept(keptOctets)
	const size = 1 << 20
	key := func(i int) keptKey { return keptKey{account: 1, blob: store.MessageID(i)} }
	for i := range 100 {
		k.add(key(i), &loaded{hdr: make([]byte, 10)})
		k.add(key(i), &loaded{data: make([]byte, size)}) // beside what there is
		if _, ok := k.get(key(0)); !ok {
			t.Fatal("what is used goes")
		}
	}
	if k.total > keptOctets || len(k.items) != k.order.Len() || len(k.items) < keptOctets/size-1 {
		t.Errorf("%d octets, %d and %d messages", k.total, len(k.items), k.order.Len())
	}
	if _, ok := k.get(key(1)); ok {
		t.Error("the oldest is there")
	}
	if l, ok := k.get(key(99)); !ok || len(l.hdr) != 10 || len(l.data) != size {
		t.Errorf("the newest is %+v", l)
	}
}

// TestKeptColumns: of a message of which something is kept the rest is read when it is wanted, once.
func TestKeptColumns(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	text := "Subject: x\r\n\r\ny\r\n"
	f.mail(text)
	snap := f.openInbox(f.a)
	for _, want := range []store.Fields{store.WithBody, store.WithPart | store.WithBody} {
		f.check("the first time", 1, func(ctx context.Context) { f.readOne(ctx, snap, 0, want|store.Passing, text) })
		f.check("again", 0, func(ctx context.Context) { f.readOne(ctx, snap, 0, want|store.Passing, text) })
	}
	f.check("less than there is", 0, func(ctx context.Context) { f.readOne(ctx, snap, 0, store.WithBody, text) })
}

// TestWindowsAhead: whoever has read on from the first window of a large message to the second waits for no other.
func TestWindowsAhead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	text := plain("large", 6*window)
	f.mail(text)
	snap := f.openInbox(f.a)
	f.check("all of it", 3, func(ctx context.Context) { f.readOne(ctx, snap, 0, store.WithBody|store.Passing, text) })
	f.check("a piece of it", 2, func(ctx context.Context) {
		for m, err := range f.a.Messages(ctx, snap, imap.UIDSetNum(1), store.WithBody|store.Passing) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Body.ReadAt(make([]byte, window/4), window); err != nil {
				t.Fatal(err)
			}
		}
	})
}
