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
		}
	}
	if r := &f.s.ahead; r.octets > aheadOctets || len(r.items) != r.order.Len() {
		t.Errorf("%d octets, %d and %d messages kept", r.octets, len(r.items), r.order.Len())
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
	r, kept := &f.s.ahead, 0
	for _, e := range r.items {
		if e.Value.(aheadItem).read != nil {
			kept++
		}
	}
	if least := kept * parts * each; kept == 0 || r.octets < least {
		t.Errorf("%d trees of %d parts count as %d octets", kept, parts, r.octets)
	}
}

// TestReadAheadBounded keeps a bounded number of octets, the newest.
func TestReadAheadBounded(t *testing.T) {
	t.Parallel()
	var r readAhead
	const size = 1 << 20
	key := func(i int) aheadKey { return aheadKey{1, store.MessageID(i), store.WithBody} }
	for i := range 100 {
		r.put(aheadItem{key: key(i), read: &loaded{data: make([]byte, size)}, step: 1, run: 4})
		r.put(aheadItem{key: key(i), step: -1}) // which is known already
	}
	if r.octets > aheadOctets || len(r.items) != r.order.Len() || len(r.items) < aheadOctets/size-1 {
		t.Errorf("%d octets, %d and %d messages", r.octets, len(r.items), r.order.Len())
	}
	if got := r.take(key(0)); got.read != nil {
		t.Error("the oldest is there")
	}
	if got := r.take(key(99)); got.read == nil || got.step != 1 || got.run != 4 {
		t.Errorf("the newest is %+v", got)
	}
	if got := r.take(key(99)); got.read != nil {
		t.Error("it is there twice")
	}
}
