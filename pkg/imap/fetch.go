// FETCH and UID FETCH (RFC 3501 §6.4.5; BINARY RFC 3516; CHANGEDSINCE and VANISHED RFC 7162 §3.1.4.1, §3.2.6).

package imap

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"postern/pkg/imap/wire"
	"postern/pkg/message"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
	"go.uber.org/zap"
)

// What one line can ask of every message (rule 11): so many items, written in so many octets. Names of header fields are
// looked for, and said again, with each message.
const (
	maxFetchItems  = 256
	maxFetchOctets = 64 << 10
)

type fetchRequest struct {
	set          imap.NumSet
	items        []item
	changedSince *store.ModSeq
	vanished     bool
	partial      *partial
	byUID        bool
	impliedUID   bool // the first item is the UID, which the client has not asked for
	from         int  // the octet of the command at which the items begin
}

func parseFetch(d *wire.Decoder, fl flags) (fetchRequest, error) {
	r := fetchRequest{byUID: fl.has(byUID)}
	r.set = d.SP().NumSet(r.byUID)
	r.from = d.At()
	if d.SP(); d.Peek() == '(' {
		d.List(func() { r.add(d, parseFetchItem(d, d.Keyword())) })
	} else {
		r.parseSingle(d)
	}
	if d.TrySP() {
		d.List(func() { r.parseModifier(d) })
		if r.lazy() && d.TrySP() {
			d.List(func() { r.parseModifier(d) })
		}
	}
	if r.vanished && r.changedSince == nil {
		d.Fail("CHANGEDSINCE with VANISHED") // RFC 7162 §3.2.6
	}
	if len(r.items) == 0 {
		d.Fail("a FETCH data item")
	}
	r.implied()
	return r, d.End()
}

// parseSingle reads what stands without parentheses: a macro or one item.
func (r *fetchRequest) parseSingle(d *wire.Decoder) {
	name := d.Keyword()
	if macro, ok := fetchMacros[name]; ok {
		r.items = slices.Clone(macro)
		return
	}
	if name == "PREVIEW" && d.Knows(imap.CapPreview) { // what follows may be its own list, or that of the command
		r.items = []item{previewItem}
		return
	}
	r.add(d, parseFetchItem(d, name))
}

func parseFetchItem(d *wire.Decoder, name string) item {
	parse, ok := fetchItems[name]
	if !ok {
		d.Fail("a FETCH data item")
		return nil
	}
	return parse(d)
}

// add appends an item, once if it is one without arguments.
func (r *fetchRequest) add(d *wire.Decoder, it item) {
	switch {
	case d.Err() != nil || slices.Contains(r.items, it):
	case len(r.items) == maxFetchItems:
		d.Fail("at most %d data items", maxFetchItems)
	case d.At()-r.from > maxFetchOctets:
		d.Fail("data items of at most %d octets", maxFetchOctets)
	default:
		r.items = append(r.items, it)
	}
}

func (r *fetchRequest) parseModifier(d *wire.Decoder) {
	switch name := d.Keyword(); {
	case name == "LAZY" && len(r.items) == 1 && r.items[0] == item(previewItem):
		r.items[0] = lazyPreviewItem
	case name == "CHANGEDSINCE" && r.changedSince == nil && d.Knows(imap.CapCondStore):
		at := store.ModSeq(d.SP().Number64())
		r.changedSince = &at
	case name == "VANISHED" && r.byUID && !r.vanished && d.Knows(imap.CapQResync):
		r.vanished = true
	case name == "PARTIAL" && r.byUID && r.partial == nil && d.Knows(capPartial): // RFC 9394 §3.3
		r.partial = parsePlaces(d.SP())
	default:
		d.Fail("a FETCH modifier")
	}
}

// implied adds the items that the form of the command asks for: the UID in UID FETCH (RFC 3501 §6.4.8), the mod-sequence
// with CHANGEDSINCE (RFC 7162 §3.1.4.1).
func (r *fetchRequest) implied() {
	if r.byUID && !slices.Contains[[]item, item](r.items, uidItem) {
		r.items = slices.Insert[[]item, item](r.items, 0, uidItem)
		r.impliedUID = true
	}
	if r.changedSince != nil && !slices.Contains[[]item, item](r.items, modSeqItem) {
		r.items = append(r.items, modSeqItem)
	}
}

func (r *fetchRequest) needs() store.Fields {
	var want store.Fields
	for _, it := range r.items {
		want |= it.needs()
	}
	return want
}

// opens reports whether an item reads octets.
func (r *fetchRequest) opens() bool {
	return slices.ContainsFunc(r.items, func(it item) bool { _, ok := it.(opener); return ok })
}

// marksSeen reports whether an item sets \Seen.
func (r *fetchRequest) marksSeen() bool {
	return slices.ContainsFunc(r.items, func(it item) bool { o, ok := it.(opener); return ok && o.marksSeen() })
}

// fetch answers FETCH. Messages that have been expunged meanwhile are passed over; by message number that makes the reply
// a NO after all the others have been told (RFC 2180 §4.1.2), by UID it is nothing special (RFC 3501 §6.4.8).
func (c *conn) fetch(ctx context.Context, r fetchRequest) error {
	if r.vanished && !c.has(imap.CapQResync) {
		return badf("VANISHED needs QRESYNC, which has not been enabled") // RFC 7162 §3.2.6
	}
	if slices.Contains[[]item, item](r.items, modSeqItem) {
		c.enable(imap.CapCondStore) // RFC 7162 §3.1
	}
	uids, err := c.sel.resolve(r.set)
	if err != nil {
		return err
	}
	if r.partial != nil {
		uids = r.partial.of(held(c.sel.snap, uids))
	}
	if r.vanished {
		if err := c.tellVanished(ctx, r.set.(imap.UIDSet), *r.changedSince); err != nil {
			return err
		}
	}
	if r.impliedUID && c.has(imap.CapUIDOnly) {
		r.items = r.items[1:] // UIDFETCH begins with it
	}
	uids = c.limited(uids)
	f := &fetching{
		c: c, r: r,
		w:       fetchWriter{Encoder: c.enc, flags: newFlagTexts(c.sel.snap.Keywords(), c.sel.recent)},
		windows: windows{place: &c.sel.place},
	}
	if present(c.sel.snap, uids) < size(uids) && !r.byUID {
		f.refuse(refusal{code: "EXPUNGEISSUED", text: "Some of the messages no longer exist."})
	}
	return f.run(ctx, uids)
}

// fetching is a FETCH under way.
type fetching struct {
	c        *conn
	r        fetchRequest
	w        fetchWriter
	windows  windows
	contents []content  // of the message at hand, one for each item that has been opened
	opened   int        // how many of them have been written
	seen     []imap.UID // read, \Seen not yet set
	unread   int        // messages that could not be read
	refusal  *refusal   // why the command is answered NO although it went on

	recall      *recall        // nil: nothing that is asked for is kept
	before      func(imap.UID) // is told of a message that is about to be answered for; nil: nobody is
	done, total int            // messages
}

func (f *fetching) run(ctx context.Context, uids imap.UIDSet) error {
	defer f.windows.release()
	var err error
	f.total = size(uids)
	names := f.r.fixedItems()
	switch {
	case f.r.needs() == 0 && !f.r.opens():
		err = f.rows(uids)
	case len(names) > 0 && f.c.srv.keptAnswers().room > 0:
		f.recall = newRecall(f.c, names)
		err = f.recalled(ctx, f.changed(uids))
	default:
		err = f.messages(ctx, f.changed(uids))
	}
	if err == nil {
		err = f.setSeen(ctx)
	}
	if err == nil && f.refusal != nil {
		return *f.refusal
	}
	return err
}

// refuse keeps the first reason to answer NO.
func (f *fetching) refuse(r refusal) {
	if f.refusal == nil {
		f.refusal = &r
	}
}

// rows answers from the snapshot alone, in memory that does not grow.
func (f *fetching) rows(uids imap.UIDSet) error {
	var m store.Message
	snap := f.c.sel.snap
	for _, places := range snap.Indices(uids) {
		for i := places[0]; i < places[1]; i++ {
			f.tick()
			if f.r.changedSince != nil && snap.Entry(i).ModSeq <= *f.r.changedSince {
				continue
			}
			snap.Fill(&m, i)
			f.write(&m)
			if f.w.Err() != nil {
				return nil // as in messages
			}
		}
	}
	return nil
}

// tick counts a message, and tells the client of a command that takes long.
func (f *fetching) tick() {
	f.c.progress(f.done, f.total)
	f.done++
}

// changed leaves out what has not changed since CHANGEDSINCE.
func (f *fetching) changed(uids imap.UIDSet) imap.UIDSet {
	if f.r.changedSince == nil {
		return uids
	}
	return chosen(f.c.sel.snap, uids, func(e store.Entry) bool { return e.ModSeq > *f.r.changedSince })
}

// messages answers with what must be read. A message that cannot be read is passed over, logged, and makes the reply a NO.
func (f *fetching) messages(ctx context.Context, uids imap.UIDSet) error {
	for m, err := range f.c.sel.account.Messages(ctx, f.c.sel.snap, uids, f.r.needs()|store.Passing) {
		if f.tick(); m == nil {
			return fmt.Errorf("fetch: %w", err)
		}
		if f.before != nil {
			f.before(m.UID)
		}
		if err == nil {
			err = f.message(m)
		}
		switch {
		case f.w.Err() != nil:
			f.cutOff(m.UID)
			return nil // the connection is over; there is nobody to reply to
		case err != nil && (ctx.Err() != nil || errors.Is(err, store.ErrUnavailable)):
			return fmt.Errorf("fetch UID %d: %w", m.UID, err)
		case err != nil:
			f.failed(ctx, m.UID, err)
		case len(f.seen) >= maxSeen:
			if err := f.setSeen(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// message opens what an answer needs, then writes it. Nothing has been written if there is an error.
func (f *fetching) message(m *store.Message) error {
	f.windows.reset()
	f.contents = f.contents[:0]
	if m.Part == nil {
		m.Part = f.root(m)
	}
	for _, it := range f.r.items {
		o, ok := it.(opener)
		if !ok {
			continue
		}
		x, err := o.open(m, &f.windows)
		if err != nil {
			return err
		}
		f.contents = append(f.contents, x)
	}
	f.write(m)
	if f.w.Err() == nil && m.Flags.System&store.FlagSeen == 0 && f.r.marksSeen() && f.c.writable(store.RightSeen) == nil {
		f.seen = append(f.seen, m.UID)
	}
	return nil
}

// root stands for the MIME tree where only the message's own header and text are asked for; the snapshot knows where they
// begin and end.
func (f *fetching) root(m *store.Message) *message.Part {
	p := &message.Part{End: m.Size}
	if i, ok := f.c.sel.snap.Find(m.UID); ok {
		p.Body = int64(f.c.sel.snap.Row(i).Header)
	}
	return p
}

// write writes the response for a message whose contents are open.
func (f *fetching) write(m *store.Message) {
	if !f.c.beginFetch(m.UID) {
		return
	}
	f.opened = 0
	for i, it := range f.r.items {
		if i > 0 {
			f.w.SP()
		}
		if simple, ok := it.(*simpleItem); ok && simple.want == 0 {
			simple.put(&f.w, m)
			continue
		}
		f.put(it, m)
	}
	f.w.Byte(')').CRLF()
}

// put writes an item that reads: the text that is known, or what it writes now, which is kept if it may be.
func (f *fetching) put(it item, m *store.Message) {
	if text, ok := f.recall.take(); ok {
		f.w.Atom(text)
		return
	}
	name := fixed(it)
	if _, ok := it.(opener); ok && f.contents[f.opened].size > maxAnswer {
		name = ""
	}
	if kept := f.recall.begin(name); kept != nil {
		f.spell(kept, it, m)
		f.w.Atom(f.recall.keep(m.ID, name))
		return
	}
	f.spell(&f.w, it, m)
}

// spell has an item write itself.
func (f *fetching) spell(w *fetchWriter, it item, m *store.Message) {
	if simple, ok := it.(*simpleItem); ok {
		simple.put(w, m)
		return
	}
	f.contents[f.opened].write(w.Encoder)
	f.opened++
}

// failed notes a message that could not be read. The first one is logged; the others have most likely the same cause
// (rule 12).
func (f *fetching) failed(ctx context.Context, uid imap.UID, err error) {
	switch {
	case errors.Is(err, message.ErrEncoding):
		f.refuse(refusal{code: "UNKNOWN-CTE", text: "The encoding of a part is not known."}) // RFC 3516 §4.3
		return
	case f.expunged(ctx, uid):
		if !f.r.byUID {
			f.refuse(refusal{code: "EXPUNGEISSUED", text: "Some of the messages no longer exist."})
		}
		return
	}
	f.refuse(refusal{code: "CORRUPTION", text: "Some of the messages cannot be read."}) // RFC 5530 §3
	f.c.srv.Metrics.unread()
	if f.unread++; f.unread == 1 {
		f.c.log.Error("message cannot be read", zap.Uint32("uid", uint32(uid)), zap.Error(err))
	}
}

// expunged reports whether a message is gone by now. Its octets outlive it for a while only.
func (f *fetching) expunged(ctx context.Context, uid imap.UID) bool {
	snap, _, err := f.c.sel.account.Refresh(ctx, f.c.sel.snap)
	if err != nil {
		return false
	}
	_, ok := snap.Find(uid)
	return !ok
}

// cutOff notes a message that could be read in part only, when its size had been announced: the connection ends there,
// as there is no other way to say so.
func (f *fetching) cutOff(uid imap.UID) {
	for _, x := range f.contents {
		if err := x.failure(); err != nil {
			f.c.srv.Metrics.unread()
			f.c.log.Error("message cannot be read to its end", zap.Uint32("uid", uint32(uid)), zap.Error(err))
		}
	}
}

// maxSeen is how many messages are read before they are marked: a long download that breaks off should not forget all of
// them.
const maxSeen = 5000

// setSeen marks what has been read. The client hears of it with the changes that follow the command.
func (f *fetching) setSeen(ctx context.Context) error {
	if len(f.seen) == 0 {
		return nil
	}
	ch := store.FlagChange{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}
	res, err := f.c.sel.account.SetFlags(ctx, f.c.sel.box.ID, store.UIDSetOf(f.seen), ch)
	f.seen = f.seen[:0]
	if err != nil {
		return fmt.Errorf("mark as seen: %w", err)
	}
	f.c.sel.wrote = res.ModSeq
	return nil
}

// tellVanished says which messages of set have gone since a mod-sequence (RFC 7162 §3.2.6). Those the client still has a
// number for are left to the announcement after the command.
func (c *conn) tellVanished(ctx context.Context, set imap.UIDSet, at store.ModSeq) error {
	ch, err := c.sel.account.Since(ctx, c.sel.snap, at)
	if err != nil {
		return fmt.Errorf("fetch vanished: %w", err)
	}
	gone := vanishedOf(c.sel.snap, ch, set)
	known, err := c.sel.view.Resolve(gone)
	if err != nil {
		return err
	}
	if gone = subtract(gone, known); len(gone) > 0 {
		c.enc.Atom("* VANISHED (EARLIER) ").NumSet(gone).CRLF()
	}
	return nil
}
