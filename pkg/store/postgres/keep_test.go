package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// TestKeepFew: a few messages that have been read with one command are read from memory by the next who asks, and only those
// from the database that are not there.
func TestKeepFew(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const count = 200
	var texts []string
	for i := range count {
		texts = append(texts, plain(fmt.Sprint("number ", i), 500+100*i))
	}
	f.mail(texts...)
	if _, err := f.a.Copy(t.Context(), f.inbox, f.inbox, uidRange(count, count)); err != nil {
		t.Fatal(err)
	}
	texts = append(texts, texts[count-1])
	snap := f.openInbox(f.a)
	download := func(name string, from, statements int, want store.Fields) {
		t.Helper()
		f.check(name, statements, func(ctx context.Context) {
			n := from
			for m, err := range f.a.Messages(ctx, snap, uidRange(imap.UID(from+1), count+1), want) {
				if err != nil {
					t.Fatal(err)
				}
				expectBody(t, m, texts[n])
				n++
			}
			if n != len(texts) {
				t.Errorf("%s: to message %d", name, n)
			}
		})
	}
	const search = store.WithPart | store.WithBody | store.Passing
	download("by a search", 100, 3, search)
	download("the most of it", 50, 3, store.WithBody|store.Passing)
	download("again", 50, 0, store.WithBody|store.Passing)
	download("again, not passing", 60, 0, store.WithBody)
	download("all", 0, 1, store.WithBody|store.Passing)
	download("all again", 0, 0, store.WithBody|store.Passing)
	f.s.kept = newKept(1 << 20)
	for range 2 {
		download("more than is kept", 0, 3, store.WithBody|store.Passing)
	}
	if f.s.kept.total > 0 {
		t.Errorf("%d octets of a large command are kept", f.s.kept.total)
	}
}

// TestKeepWindows: what is read of large messages with a command that may keep them is there for the next one, in whatever pieces, and
// memory that is kept is not used again.
func TestKeepWindows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	texts := []string{plain("small", 1000), plain("large", 3*window+1000), plain("two windows", 2*window), plain("another", window+1000)}
	f.mail(texts...)
	snap := f.openInbox(f.a)
	download := func(name string, statements int, uids imap.UIDSet, read func(m *store.Message) string) {
		t.Helper()
		f.check(name, statements, func(ctx context.Context) {
			for m, err := range f.a.Messages(ctx, snap, uids, store.WithBody|store.Passing) {
				if err != nil {
					t.Fatal(err)
				}
				if read(m) != texts[m.UID-1] {
					t.Errorf("%s: other octets of message %d", name, m.UID)
				}
			}
		})
	}
	const page, parts = 1, 2 + 2 + 2 // the third and fourth part of the largest come in the background
	download("first", page+parts, allUIDs, inPieces(1000))
	for _, piece := range []int{100, 5000, window, 10 * window} {
		download("again", 0, allUIDs, inPieces(piece))
	}
	download("lent", 0, allUIDs, lentOctets)
	download("one", 0, uidRange(2, 2), inPieces(5000))

	f.s.kept = newKept(2 * keptShare * window) // for the small one and what comes with the large ones
	for range 2 {
		f.s.windows.kept.clear()
		download("too large", page+parts, allUIDs, inPieces(5000))
		f.s.windows.kept.clear()
		download("too large, but for the small ones", parts, allUIDs, inPieces(5000))
		f.s.kept.clear()
	}
}

// TestLentBounded: who asks for many pieces of a large message before any is sent has few windows of it to himself.
func TestLentBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	text := plain("large", 3*windowsSpare*window)
	f.mail(text, text)
	snap := f.openInbox(f.a)
	for _, uids := range []imap.UIDSet{uidRange(1, 1), allUIDs, allUIDs} { // in memory that is used again; kept; kept already
		for m, err := range f.a.Messages(t.Context(), snap, uids, store.WithBody|store.Passing) {
			if err != nil {
				t.Fatal(err)
			}
			lent := 0
			for at := int64(window); at < m.Size; at += window {
				p := make([]byte, 10)
				if _, err := m.Body.ReadAt(p, at); err != nil || string(p) != text[at:at+10] {
					t.Errorf("at %d: %q, %v", at, p, err)
				}
				if m.Body.(store.InMemory).Octets(at, 10) != nil {
					lent++
				}
			}
			if lent < windowsSpare || lent > windowsSpare+1 {
				t.Errorf("%d windows are lent", lent)
			}
		}
	}
}

// inPieces reads a message some octets at a time.
func inPieces(n int) func(*store.Message) string {
	return func(m *store.Message) string {
		var text strings.Builder
		_, _ = io.CopyBuffer(&text, struct{ io.Reader }{io.NewSectionReader(m.Body, 0, m.Size)}, make([]byte, n)) // the text tells
		return text.String()
	}
}

// lentOctets reads a message without a copy where that is possible.
func lentOctets(m *store.Message) string {
	var text strings.Builder
	for at := int64(0); at < m.Size; at = int64(text.Len()) {
		n := min(window, m.Size-at)
		pieces := m.Body.(store.InMemory).Octets(at, n)
		for _, p := range pieces {
			text.Write(p)
		}
		if pieces == nil {
			return text.String()
		}
	}
	return text.String()
}

// TestKeepDamaged: a message that cannot be read fails each time, and alone.
func TestKeepDamaged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("one", 100), plain("two", 100), plain("three", 100))
	snap := f.openInbox(f.a)
	f.exec(`update bodies set data = '' where blob_id = $1`, snap.ID(1))
	for range 2 {
		var failures []int
		n := 0
		for _, err := range f.a.Messages(t.Context(), snap, allUIDs, store.WithBody|store.Passing) {
			if errors.Is(err, errDamaged) {
				failures = append(failures, n)
			} else if err != nil {
				t.Error(err)
			}
			n++
		}
		if n != 3 || len(failures) != 1 || failures[0] != 1 {
			t.Errorf("%d messages, of which %v are damaged", n, failures)
		}
	}
}
