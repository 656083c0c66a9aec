package postgres

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var (
	keepCommands = flag.Int("commands", 8, "commands of each reader of TestKeepRandom")
	keepSeed     = flag.Uint64("seed", 1, "of what they do")
)

// TestKeepRandom has many read the same messages at once in every way there is, from stores that keep little, some and all of what is
// read, while connections are lost and commands given up. Nobody may get other octets than those of the message, nor any that change
// while he may use them.
func TestKeepRandom(t *testing.T) {
	t.Parallel()
	k := newKeepRandom(t)
	var sessions []*keepReader
	for i, octets := range []int64{100 << 10, 8 * window, 1 << 30} {
		s := k.open(func(o *Options) { o.BodyBytes = octets })
		s.windows.kept = newLRU[windowKey, []byte](4)
		shared := k.on(s) // one session reads behind another's back
		for n, a := range []*account{shared, shared, k.on(s), {s: s, id: k.a.id, behind: true}} {
			sessions = append(sessions, &keepReader{keepRandom: k, a: a, Rand: rand.New(rand.NewPCG(*keepSeed, uint64(10*i+n)))})
		}
	}
	done := make(chan struct{})
	var readers, beside sync.WaitGroup
	beside.Go(func() { killConnections(t, k.s, done) })
	for _, r := range sessions {
		readers.Go(r.run)
	}
	readers.Wait()
	close(done)
	beside.Wait()
}

// keepRandom is a mailbox of messages whose sizes are next to every bound.
type keepRandom struct {
	*fixture
	snap    *store.Snapshot
	texts   []string // by place
	damaged map[store.MessageID]bool
}

func newKeepRandom(t *testing.T) *keepRandom {
	k := &keepRandom{fixture: newFixture(t), damaged: map[store.MessageID]bool{}}
	for i, data := range []int{
		0, 1, 100, 5000, keptMost - 1, window - 1, window, window + 1, 2 * window, 2*window + 1, 3*window + 1000, 300, 7000, 2*window - 1,
	} {
		k.texts = append(k.texts, fmt.Sprintf("Subject: %d\r\n\r\n", i)+k.noise(i, data))
	}
	for i, header := range []int{window - 1, window, window + 1, 2*window + 100} {
		head := fmt.Sprintf("Subject: long %d\r\nX: ", i)
		head += strings.ReplaceAll(k.noise(100+i, header-len(head)-4), "\r\n", "--") + "\r\n\r\n"
		k.texts = append(k.texts, head, head+"body\r\n", head+k.noise(200+i, window))
	}
	k.mail(k.texts...)
	k.mail(plain("damaged", 2000), plain("damaged", 3*window), plain("damaged", 100))
	if _, err := k.a.Copy(t.Context(), k.inbox, k.inbox, imap.UIDSet{{Start: 3, Stop: 4}, {Start: 9, Stop: 11}}); err != nil {
		t.Fatal(err)
	}
	k.texts = append(k.texts, plain("damaged", 2000), plain("damaged", 3*window), plain("damaged", 100))
	k.texts = append(append(k.texts, k.texts[2:4]...), k.texts[8:11]...)
	k.snap = k.openInbox(k.a)
	if k.snap.Len() != len(k.texts) {
		t.Fatalf("%d messages instead of %d", k.snap.Len(), len(k.texts))
	}
	for i, column := range []string{"data", "data", "tree"} {
		id := k.snap.ID(26 + i)
		k.damaged[id] = true
		k.exec(`update bodies set `+column+` = '\x00' where blob_id = $1 and part = $2`, id, i%2)
	}
	return k
}

// noise is n octets that tell which they are; every second one is nothing to compress.
func (k *keepRandom) noise(of, n int) string {
	var b strings.Builder
	random := strings.ReplaceAll(lots(997+of), "\r\n", "==")
	for line := 0; b.Len() < n; line++ {
		from := 0
		if of%2 == 1 {
			from = line * 17 % 900
		}
		fmt.Fprintf(&b, "%d:%d %s\r\n", of, line, random[from:from+60])
	}
	text := b.String()[:n]
	if whole, cut := strings.CutSuffix(text, "\r"); cut {
		return whole + "."
	}
	return text
}

// keepReader is somebody who reads.
type keepReader struct {
	*keepRandom
	*rand.Rand
	a      *account
	ctx    context.Context // of the command
	cancel func()
	lent   []lentPieces
}

// lentPieces is octets that somebody has, and what they must be.
type lentPieces struct {
	pieces [][]byte
	text   string
}

func (r *keepReader) run() {
	for n := 0; n < *keepCommands && !r.Failed(); n++ {
		want := store.Fields(r.IntN(16))
		if r.IntN(2) == 0 {
			want = store.WithBody | store.Passing // what most do
		}
		from := imap.UID(1 + r.IntN(len(r.texts)))
		switch r.IntN(4) {
		case 0:
			r.command(want, allUIDs)
		case 1:
			r.command(want, uidRange(from, from+imap.UID(r.IntN(8))))
		case 2:
			r.command(want, imap.UIDSetNum(from, from+3, from+4, from+9))
		case 3:
			for range 1 + r.IntN(6) { // one by one
				r.command(want, uidRange(from, from))
				from++
			}
		}
	}
}

// command reads messages, the one before again now and then, and may be given up.
func (r *keepReader) command(want store.Fields, uids imap.UIDSet) {
	r.ctx, r.cancel = context.WithCancel(r.Context())
	defer r.cancel()
	var before []*store.Message
	for m, err := range r.a.Messages(r.ctx, r.snap, uids, want) {
		if !r.tolerates(m, err) || m == nil {
			break
		}
		if err != nil {
			continue
		}
		if want&store.WithPart != 0 && m.Part.End != m.Size {
			r.Errorf("UID %d: the tree of another message", m.UID)
		}
		r.message(m)
		if before = append(before, m); r.IntN(4) == 0 {
			r.message(before[r.IntN(len(before))])
		}
		if want&store.Passing != 0 {
			r.giveBack()
		}
		if r.IntN(30) == 0 {
			break
		}
	}
	for _, m := range before {
		if r.IntN(4) == 0 {
			r.message(m)
		}
	}
	r.giveBack()
}

// giveBack looks at what was lent for the last time.
func (r *keepReader) giveBack() {
	for _, l := range r.lent {
		if got := bytes.Join(l.pieces, nil); string(got) != l.text {
			r.Errorf("%d octets are %.60q instead of %.60q", len(got), got, l.text)
		}
	}
	r.lent = r.lent[:0]
}

// tolerates says whether an error may be.
func (r *keepReader) tolerates(m *store.Message, err error) bool {
	damaged := m != nil && r.damaged[m.ID] && errors.Is(err, errDamaged)
	ok := err == nil || damaged || errors.Is(err, store.ErrUnavailable) || r.ctx.Err() != nil
	if !ok {
		r.Error(err)
	}
	return ok
}

// message reads of a message in some ways, sometimes in two at once.
func (r *keepReader) message(m *store.Message) {
	if r.IntN(100) == 0 {
		r.cancel()
	}
	if r.IntN(8) > 0 {
		r.some(m)
		return
	}
	other := &keepReader{keepRandom: r.keepRandom, a: r.a, ctx: r.ctx, cancel: r.cancel, Rand: rand.New(rand.NewPCG(r.Uint64(), 0))}
	var wg sync.WaitGroup
	wg.Go(func() { other.some(m) })
	r.some(m)
	wg.Wait()
	r.lent = append(r.lent, other.lent...)
}

func (r *keepReader) some(m *store.Message) {
	for range r.IntN(4) {
		off := r.Int64N(m.Size + 1)
		switch r.IntN(5) {
		case 0: // all of it, as RETR does
			r.on(m, 0, m.Size, []int64{2000, 64 << 10, m.Size + 1}[r.IntN(3)], r.IntN(2) == 0)
		case 1: // its beginning, as TOP does
			r.on(m, 0, off, 4<<10, false)
		case 2: // a part of it
			r.on(m, off, m.Size, 64<<10, true)
		default: // fragments
			n := min(r.Int64N(window)+1, m.Size-off)
			r.on(m, off, off+n, n, r.IntN(2) == 0)
		}
	}
}

// on reads from one place to another, so many octets at a time, without a copy if that is wanted and possible.
func (r *keepReader) on(m *store.Message, from, to, step int64, lend bool) {
	text := r.texts[m.UID-1]
	p := make([]byte, max(step, 1))
	for from < to {
		n := min(step, to-from)
		var pieces [][]byte
		if lend {
			pieces = m.Body.(store.InMemory).Octets(from, n)
		}
		if pieces != nil {
			r.lent = append(r.lent, lentPieces{pieces, text[from : from+n]})
			from += n
			continue
		}
		k, err := m.Body.ReadAt(p[:n], from)
		if err == io.EOF || !r.tolerates(m, err) || string(p[:k]) != text[from:from+int64(k)] {
			r.Errorf("UID %d, %d octets from %d: %d, %v", m.UID, n, from, k, err)
		}
		if err != nil || int64(k) < n {
			return
		}
		from += n
	}
}
