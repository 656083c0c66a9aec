package imap

import (
	"slices"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// searchReturn is what RETURN asks for.
type searchReturn struct {
	imap.SearchOptions
	partial   *partial
	relevancy bool          // RFC 6203 §4
	update    bool          // tell of changes: see liveSearch
	describe  *fetchRequest // and this of new messages among them (RFC 5465 §7); nil for nothing
	context   bool          // a hint that there will be more like it, which needs nothing of us (RFC 5267 §4.2)
}

// returnOption is a result option.
type returnOption struct {
	of    []imap.Cap // it is there with any of them
	parse func(*wire.Decoder, *searchReturn)
}

// searchReturns are the result options, some with arguments (RFC 4731 §3.1; SAVE, RFC 5182 §2; PARTIAL,
// RFC 9394 §3.1; UPDATE and CONTEXT, RFC 5267 §4).
var searchReturns = map[string]returnOption{
	"MIN":       {only(imap.CapESearch), func(_ *wire.Decoder, o *searchReturn) { o.ReturnMin = true }},
	"MAX":       {only(imap.CapESearch), func(_ *wire.Decoder, o *searchReturn) { o.ReturnMax = true }},
	"ALL":       {only(imap.CapESearch), func(_ *wire.Decoder, o *searchReturn) { o.ReturnAll = true }},
	"COUNT":     {only(imap.CapESearch), func(_ *wire.Decoder, o *searchReturn) { o.ReturnCount = true }},
	"SAVE":      {only(imap.CapSearchRes), func(_ *wire.Decoder, o *searchReturn) { o.ReturnSave = true }},
	"PARTIAL":   {[]imap.Cap{capPartial, capContext}, parseReturnPartial},
	"RELEVANCY": {only(imap.CapSearchFuzzy), func(_ *wire.Decoder, o *searchReturn) { o.relevancy = true }},
	"UPDATE":    {only(capContext), parseReturnUpdate},
	"CONTEXT":   {only(capContext), func(_ *wire.Decoder, o *searchReturn) { o.context = true }},
}

// parseReturnUpdate reads what the client wants to be told of new messages, if anything (RFC 5465 §7). The space before it is
// in the example only, not in the grammar.
func parseReturnUpdate(d *wire.Decoder, o *searchReturn) {
	o.update = true
	if !d.Knows(imap.CapNotify) || d.Peek() != '(' && !d.PeekList() {
		return
	}
	d.TrySP()
	f := parseDescription(d)
	o.describe = &f
}

// capContext stands for the CONTEXT= of the command that the options are for.
const capContext imap.Cap = "(context)"

func only(k imap.Cap) []imap.Cap { return []imap.Cap{k} }

// parseReturn reads the options in parentheses; none of them means ALL (RFC 4731 §3.1). context is what capContext stands for.
func parseReturn(d *wire.Decoder, context imap.Cap) *searchReturn {
	o := &searchReturn{}
	knows := func(k imap.Cap) bool { return k == capContext && d.Knows(context) || k != capContext && d.Knows(k) }
	d.List(func() {
		option, ok := searchReturns[d.Keyword()]
		if !ok || !slices.ContainsFunc(option.of, knows) {
			d.Fail("a result option before this")
			return
		}
		option.parse(d, o)
	})
	if *o == (searchReturn{}) {
		o.ReturnAll = true
	}
	if o.partial != nil && o.ReturnAll {
		d.Fail("PARTIAL without ALL") // RFC 9394 §3.1
	}
	return o
}

// tells reports whether there is anything to be told: of SAVE alone there is not (RFC 5182 §2.1).
func (o *searchReturn) tells() bool {
	return *o != searchReturn{SearchOptions: imap.SearchOptions{ReturnSave: true}}
}

// chosen are the messages found that the options point to: all of them, or with MIN, MAX and PARTIAL alone only those. It
// is what SAVE saves (RFC 5182 §2.4, RFC 9394 §3.2), and those whose mod-sequences count (RFC 4731 §3.2). found is in the
// order of the reply.
func (o *searchReturn) chosen(found []imap.UID) []imap.UID {
	narrow := o.ReturnMin || o.ReturnMax || o.partial != nil
	if len(found) == 0 || o.ReturnAll || o.ReturnCount || !narrow {
		return found
	}
	var few []imap.UID
	if o.ReturnMin {
		few = append(few, found[0])
	}
	if o.partial != nil {
		from, to := o.partial.places(len(found))
		few = append(few, found[from:to]...)
	}
	if o.ReturnMax {
		few = append(few, found[len(found)-1])
	}
	return slices.Compact(few)
}

// The saved result of a search (RFC 5182): UIDs, so that no change of numbers concerns it.

// beginSave empties the saved result if it is about to be replaced: a search that fails leaves nothing (RFC 5182 §2.1).
func (s *selected) beginSave(o *searchReturn) {
	if o != nil && o.ReturnSave {
		s.saved = nil
	}
}

// save keeps what was found if that was asked for.
func (s *selected) save(o *searchReturn, found []imap.UID) {
	if o != nil && o.ReturnSave {
		s.saved = store.UIDSetOf(slices.Sorted(slices.Values(o.chosen(found)))) // SORT finds in another order
	}
}

// result is the saved result without what has been expunged since (RFC 5182 §2.1).
func (s *selected) result() imap.UIDSet { return held(s.snap, s.saved) }
