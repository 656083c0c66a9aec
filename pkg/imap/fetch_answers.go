package imap

import (
	"bufio"
	"bytes"
	"context"
	"slices"

	"postern/pkg/imap/wire"
	"postern/pkg/message"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// maxFixedName bounds the names of items whose texts are kept: clients make them up.
const maxFixedName = 512

// fixed names what the item writes if that is made of the message's octets alone and worth keeping; "" means that it is not.
func (it *simpleItem) fixed() string {
	if it.want == 0 {
		return ""
	}
	return it.name
}

// fixed names some fields of the header. Larger sections are not asked for of a whole mailbox again and again.
func (it *sectionItem) fixed() string {
	fields := it.section.Kind == message.HeaderFields && len(it.section.Path) == 0 && it.partial == nil
	if !fields || len(it.label) > maxFixedName {
		return ""
	}
	return it.label
}

// fixed names what an item writes, if that is worth keeping.
func fixed(it item) string {
	if f, ok := it.(interface{ fixed() string }); ok {
		return f.fixed()
	}
	return ""
}

// fixedItems names the items whose texts may be kept. None are if something else has to be read anyway, or if reading leaves a
// mark.
func (r *fetchRequest) fixedItems() []string {
	var names []string
	for _, it := range r.items {
		if name := fixed(it); name != "" {
			names = append(names, name)
		} else if simple, ok := it.(*simpleItem); !ok || simple.want != 0 {
			return nil
		}
	}
	if r.marksSeen() {
		return nil
	}
	return names
}

// recall is a FETCH that is answered from what was written before, as far as it is known.
type recall struct {
	kept  *answers
	items []string  // those that may be known
	key   answerKey // of the message at hand, but for the item
	spare int64     // octets that this command may still use or add: it must not drive out what it will need itself the next time

	buf   bytes.Buffer // where an item is written to be kept
	out   *bufio.Writer
	w     fetchWriter
	texts []string // of the message at hand, in the order of items
	known []string // memory for look
}

// How much is looked up before those messages that are not known are read, in pages: so many messages, and texts of so many
// octets with their headers, or a little more. A client that does not take its answer keeps these texts, also when they have had
// to make room for others.
const (
	recallAtOnce = 4096
	recallOctets = 1 << 20
	textHeader   = 16 // octets that a string takes beside its text
)

func newRecall(c *conn, items []string) *recall {
	r := &recall{kept: c.srv.keptAnswers(), items: items}
	r.key = answerKey{account: c.sel.account.ID(), utf8: c.enc.UTF8}
	r.spare = r.kept.room / 4 * 3
	r.out = bufio.NewWriter(&r.buf)
	r.w = fetchWriter{Encoder: wire.NewEncoder(r.out)}
	r.w.UTF8 = c.enc.UTF8
	return r
}

// recalled answers with what is known, and reads what is not.
func (f *fetching) recalled(ctx context.Context, uids imap.UIDSet) error {
	snap := f.c.sel.snap
	places := make([]int, 0, min(recallAtOnce, size(uids)))
	for _, r := range snap.Indices(uids) {
		for i := r[0]; i < r[1]; i++ {
			if places = append(places, i); len(places) < recallAtOnce {
				continue
			}
			if err := f.stretches(ctx, places); err != nil || f.w.Err() != nil {
				return err
			}
			places = places[:0]
		}
	}
	return f.stretches(ctx, places)
}

// stretches answers for some messages, a stretch at a time.
func (f *fetching) stretches(ctx context.Context, places []int) error {
	for len(places) > 0 {
		known, missing := f.recall.look(f.c.sel.snap, places)
		n := len(known) / len(f.recall.items)
		if err := f.stretch(ctx, places[:n], known, missing); err != nil || f.w.Err() != nil {
			return err
		}
		places = places[n:]
	}
	return nil
}

// look finds the texts of as many messages as make a stretch, in the order of places, empty ones for those that are missing. They
// are valid until the next.
func (r *recall) look(snap *store.Snapshot, places []int) (known []string, missing []imap.UID) {
	k := len(r.items)
	known = slices.Grow(r.known[:0], min(k*len(places), recallOctets/textHeader))
	for octets := 0; len(places) > 0 && octets < recallOctets; places = places[1:] {
		var ok bool
		r.key.message = snap.ID(places[0])
		if known, ok = r.kept.get(known, r.key, r.items); !ok {
			known = append(known, make([]string, k)...) // an item never writes nothing
			missing = append(missing, snap.UID(places[0]))
		}
		for _, text := range known[len(known)-k:] {
			octets += textHeader + len(text)
		}
	}
	r.known = known
	return known, missing
}

// stretch answers for some messages: those that are known in between of those that must be read.
func (f *fetching) stretch(ctx context.Context, places []int, known []string, missing []imap.UID) error {
	snap, k := f.c.sel.snap, len(f.recall.items)
	var m store.Message
	f.before = func(uid imap.UID) {
		for ; len(places) > 0 && snap.UID(places[0]) < uid; places, known = places[1:], known[k:] {
			if known[0] == "" || f.w.Err() != nil {
				continue // it has been read, or could not be
			}
			f.tick()
			snap.Fill(&m, places[0])
			f.recall.texts = known[:k]
			f.recall.use()
			f.contents = f.contents[:0]
			f.write(&m)
		}
		f.recall.texts = nil
	}
	if len(missing) > 0 {
		if err := f.messages(ctx, store.UIDSetOf(missing)); err != nil || f.w.Err() != nil {
			return err
		}
	}
	f.before(snap.UIDNext())
	f.before = nil
	return nil
}

// use counts texts that are known.
func (r *recall) use() {
	for _, text := range r.texts {
		r.spare -= int64(len(text) + answerOverhead)
	}
}

// take returns the text of the next item if it is known.
func (r *recall) take() (text string, ok bool) {
	if r == nil || len(r.texts) == 0 {
		return "", false
	}
	text, r.texts = r.texts[0], r.texts[1:]
	return text, true
}

// begin returns where to write an item whose text is to be kept, or nil when it is not.
func (r *recall) begin(item string) *fetchWriter {
	if r == nil || item == "" || r.spare <= 0 {
		return nil
	}
	r.buf.Reset()
	return &r.w
}

// keep returns what has been written since begin, for now and the next time.
func (r *recall) keep(id store.MessageID, item string) string {
	_ = r.out.Flush() // into memory
	key, text := r.key, r.buf.String()
	key.message, key.item = id, item
	r.spare -= int64(len(text) + answerOverhead)
	r.kept.put(key, text)
	return text
}
