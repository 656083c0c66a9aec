package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/prometheus/client_golang/prometheus"

	"postern/pkg/store"
)

// lots is text that does not compress to nothing.
func lots(n int) string {
	r := rand.New(rand.NewPCG(uint64(n), 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyz012345"[r.IntN(32)]
		if i%72 == 70 && i+1 < n {
			b[i] = '\r'
		}
		if i%72 == 71 {
			b[i] = '\n'
		}
	}
	return string(b)
}

// TestMessagesRead reads messages of every shape in every way.
func TestMessagesRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	texts := []string{
		"Subject: only a header\r\n\r\n",
		"Subject: no empty line\r\n",
		"",
		plain("small", 100),
		plain("a window", window),
		plain("a window and one", window+1),
		plain("five", 5*window-3),
		"Subject: long header\r\nX: " + strings.Repeat("x", 3*window) + "\r\n\r\nbody\r\n",
		lots(2*window + 17),
	}
	f.mail(texts...)
	snap := f.openInbox(f.a)
	for _, want := range []store.Fields{
		0, store.WithPart, store.WithHeader, store.WithBody, store.WithPart | store.WithHeader | store.WithBody,
		store.Passing, store.WithBody | store.Passing, store.WithPart | store.WithHeader | store.WithBody | store.Passing,
	} {
		n := 0
		for m, err := range f.a.Messages(t.Context(), snap, allUIDs, want) {
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
			if err != nil || string(got) != texts[n] || m.Size != int64(len(texts[n])) {
				t.Errorf("want %d, message %d: %d octets, %v", want, n, len(got), err)
			}
			if (m.Part != nil) != (want&store.WithPart != 0) {
				t.Errorf("want %d, message %d: part %v", want, n, m.Part)
			}
			readPieces(t, m, texts[n])
			readInMemory(t, m, texts[n])
			n++
		}
		if n != len(texts) {
			t.Errorf("want %d: %d messages", want, n)
		}
	}
}

// readInMemory holds that what a body has in memory is what it reads.
func readInMemory(t *testing.T, m *store.Message, text string) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(m.UID), 1))
	for range 20 {
		off := r.Int64N(m.Size + 1)
		n := r.Int64N(m.Size - off + 1)
		octets := m.Body.(store.InMemory).Octets(off, n)
		if got := bytes.Join(octets, nil); octets != nil && string(got) != text[off:off+n] {
			t.Fatalf("%d octets from %d: %.40q", n, off, got)
		}
	}
	if m.Body.(store.InMemory).Octets(1, m.Size) != nil {
		t.Error("octets beyond the end")
	}
}

func readPieces(t *testing.T, m *store.Message, text string) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(m.UID), 0))
	for range 20 {
		off := r.IntN(len(text) + 2)
		p := make([]byte, r.IntN(100_000))
		n, err := m.Body.ReadAt(p, int64(off))
		want := text[min(off, len(text)):min(off+len(p), len(text))]
		if string(p[:n]) != want || (err == io.EOF) != (n < len(p)) {
			t.Fatalf("%d octets at %d of %d: got %d, %v", len(p), off, len(text), n, err)
		}
	}
	if _, err := m.Body.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a negative offset is no error")
	}
}

// TestMessagesPages counts the queries of bulk reading: one a page, not one a message.
func TestMessagesPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var texts []string
	for i := range 300 {
		texts = append(texts, plain(fmt.Sprint(i), 1000))
	}
	f.mail(texts...)
	snap := f.openInbox(f.a)
	for _, tc := range []struct {
		want       store.Fields
		statements int
	}{
		{store.WithPart | store.WithHeader, 2},
		{store.WithBody, 3},
	} {
		f.check(fmt.Sprint("fields ", tc.want), tc.statements, func(ctx context.Context) {
			n := 0
			for m, err := range f.a.Messages(ctx, snap, allUIDs, tc.want) {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := m.Body.ReadAt(make([]byte, 10), 0); err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != 300 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// TestMessagesHoldNoConnection: while the caller has control the pool is whole, however long it takes (rule 4).
func TestMessagesHoldNoConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.s.kept = newKept(0) // read from the database each time
	for range 100 {
		f.mail(plain("x", 2000))
	}
	snap := f.openInbox(f.a)
	for _, err := range f.a.Messages(t.Context(), snap, allUIDs, store.WithBody) {
		if err != nil {
			t.Fatal(err)
		}
		f.await("all connections to be free", func() bool { return f.s.pool.Stat().AcquiredConns() == 0 })
	}
	for _, err := range f.a.Messages(t.Context(), snap, allUIDs, store.WithBody) {
		if err != nil {
			t.Fatal(err)
		}
		break // the page on its way is called off
	}
	f.await("all connections to be free", func() bool { return f.s.pool.Stat().AcquiredConns() == 0 })
}

// TestBigMessageInPieces reads 50 MB in pieces of 64 KiB, each as a command of its own. Every octet is read from the
// database once, and little is in memory at any time.
func TestBigMessageInPieces(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	text := "Subject: big\r\n\r\n" + strings.Repeat(lots(1_000_000), 50)
	f.mail(text)
	snap := f.openInbox(f.a)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	piece := make([]byte, 64<<10)
	n := f.statements(func(ctx context.Context) {
		for off := 0; off < len(text); {
			for m, err := range f.a.Messages(ctx, snap, allUIDs, store.WithPart|store.WithBody|store.Passing) {
				if err != nil {
					t.Fatal(err)
				}
				k, err := m.Body.ReadAt(piece, int64(off))
				if err != nil && err != io.EOF {
					t.Fatal(err)
				}
				if string(piece[:k]) != text[off:off+k] {
					t.Fatalf("wrong octets at %d", off)
				}
				off += k
			}
		}
	})
	runtime.GC()
	runtime.ReadMemStats(&after)
	windows, pieces := len(text)/window+1, len(text)/len(piece)+1
	if n > windows+pieces+2 {
		t.Errorf("%d statements for %d windows in %d pieces", n, windows, pieces)
	}
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > windowsCached*window+32<<20 { // others run beside
		t.Errorf("%d octets are kept", kept)
	}
}

// TestLentWindows: octets that have been handed out stay what they are while others of the message are read.
func TestLentWindows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	text := "Subject: big\r\n\r\n" + lots(5*window)
	f.mail(text)
	snap := f.openInbox(f.a)
	read := func(m *store.Message) (lent map[int][]byte) {
		lent = make(map[int][]byte)
		for part := range 5 {
			off, one := part*window+100, make([]byte, 1)
			for _, from := range []int{off, off + window/2} {
				if _, err := m.Body.ReadAt(one, int64(from)); err != nil {
					t.Fatal(err)
				}
				if octets := m.Body.(store.InMemory).Octets(int64(from), 1000); octets != nil {
					lent[from] = octets[0]
				}
			}
		}
		return lent
	}
	for range 3 { // read, then found in the cache
		for m, err := range f.a.Messages(t.Context(), snap, allUIDs, store.Passing) {
			if err != nil {
				t.Fatal(err)
			}
			lent := read(m)
			if len(lent) != 10 {
				t.Errorf("%d pieces are in memory, want 10", len(lent))
			}
			for part := 1; part < 5; part++ {
				across := m.Body.(store.InMemory).Octets(int64(part*window), 1000) // the header is shorter than that
				if got := bytes.Join(across, nil); across != nil && string(got) != text[part*window:part*window+1000] {
					t.Errorf("octets across window %d are others", part)
				}
			}
			for from, octets := range lent {
				if string(octets) != text[from:from+1000] {
					t.Errorf("octets from %d have changed", from)
				}
			}
		}
	}
}

// TestUnreadableBody: one message that cannot be read is one message that cannot be read.
func TestUnreadableBody(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"missing":        `delete from bodies where blob_id = $1`,
		"header damaged": `update bodies set hdr = set_byte(hdr, length(hdr) - 1, get_byte(hdr, length(hdr) - 1) # 1) where blob_id = $1`,
		"data damaged":   `update bodies set data = set_byte(data, length(data) - 1, get_byte(data, length(data) - 1) # 1) where blob_id = $1`,
		"tree damaged":   `update bodies set tree = '\x00' where blob_id = $1`,
		"moved":          `update bodies set data = (select data from bodies where blob_id <> $1 limit 1) where blob_id = $1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := prometheus.NewRegistry()
			f := newFixture(t, func(o *Options) { o.Registerer = r })
			f.mail(plain("1", 100), plain("2", 100), plain("3", 100))
			snap := f.openInbox(f.a)
			f.exec(sql, snap.Row(1).ID)
			n := 0
			for m, err := range f.a.Messages(t.Context(), snap, allUIDs, store.WithPart|store.WithHeader|store.WithBody) {
				n++
				if m == nil || (err != nil) != (n == 2) {
					t.Fatalf("message %d: %v, %v", n, m, err)
				}
			}
			if n != 3 {
				t.Errorf("%d messages", n)
			}
			if n := value(t, r, "postern_body_errors_total"); n != 1 {
				t.Errorf("%v body errors are counted, want 1", n)
			}
			c := &store.Criteria{SearchCriteria: imap.SearchCriteria{Text: []string{"0123"}}}
			if found, err := f.a.Search(t.Context(), snap, c); err != nil || len(found) != 2 {
				t.Errorf("search found %v, %v", found, err)
			}
		})
	}
}

// TestUnreadableWindow: damage further inside shows where it is read, and not before.
func TestUnreadableWindow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("big", 4*window))
	snap := f.openInbox(f.a)
	f.exec(`delete from bodies where part = 2`)
	for m, err := range f.a.Messages(t.Context(), snap, allUIDs, store.WithBody) {
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		n, err := io.Copy(&b, io.NewSectionReader(m.Body, 0, m.Size))
		if !errors.Is(err, errNoBody) || n < 2*window || n > 3*window {
			t.Errorf("%d octets, %v", n, err)
		}
	}
}

func TestMessagesEndOnLostDatabase(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail(plain("1", 100))
	snap := f.openInbox(f.a)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	for m, err := range f.a.Messages(ctx, snap, allUIDs, store.WithBody) {
		n++
		if m != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", m, err)
		}
	}
	if n != 1 {
		t.Errorf("%d results", n)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 70 {
		f.mail(plain(fmt.Sprintf("number %d", i), 50) + fmt.Sprintf("\r\nneedle-%d-\r\n", i%7))
	}
	f.mail("Subject: =?utf-8?B?5pel5pys6Kqe?=\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n東京\r\n")
	f.flag(uidRange(1, 10), imap.StoreFlagsAdd, imap.FlagSeen, "$Work")
	snap := f.openInbox(f.a)
	header := func(key, value string) []imap.SearchCriteriaHeaderField {
		return []imap.SearchCriteriaHeaderField{{Key: key, Value: value}}
	}
	for name, tc := range map[string]struct {
		c    imap.SearchCriteria
		want int
	}{
		"all":            {imap.SearchCriteria{}, 71},
		"keyword":        {imap.SearchCriteria{Flag: []imap.Flag{"$Work"}}, 10},
		"no such":        {imap.SearchCriteria{Flag: []imap.Flag{"$Nobody"}}, 0},
		"UIDs":           {imap.SearchCriteria{UID: []imap.UIDSet{uidRange(5, 6), uidRange(6, 9)}}, 1},
		"body":           {imap.SearchCriteria{Body: []string{"needle-3-"}}, 10},
		"body and flag":  {imap.SearchCriteria{Body: []string{"needle-3-"}, Flag: []imap.Flag{imap.FlagSeen}}, 1},
		"header":         {imap.SearchCriteria{Header: header("Subject", "number 5")}, 11},
		"encoded header": {imap.SearchCriteria{Header: header("Subject", "日本")}, 1},
		"two characters": {imap.SearchCriteria{Body: []string{"東京"}}, 1},
		"text":           {imap.SearchCriteria{Text: []string{"example.ORG"}}, 70},
	} {
		found, err := f.a.Search(t.Context(), snap, &store.Criteria{SearchCriteria: tc.c})
		if err != nil || len(found) != tc.want {
			t.Errorf("%s: %d found, want %d (%v)", name, len(found), tc.want, err)
		}
		for i := 1; i < len(found); i++ {
			if found[i-1] >= found[i] {
				t.Errorf("%s: not ascending", name)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.a.Search(ctx, snap, &store.Criteria{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled search: %v", err)
	}
}
