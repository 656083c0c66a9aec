package imap

import (
	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// searchReturn is what RETURN asks for.
type searchReturn struct {
	imap.SearchOptions
}

// searchReturns are the result options, which may be followed by their arguments (RFC 4731 §3.1; SAVE, RFC 5182 §2).
var searchReturns = map[string]func(*wire.Decoder, *searchReturn){
	"MIN":   func(_ *wire.Decoder, o *searchReturn) { o.ReturnMin = true },
	"MAX":   func(_ *wire.Decoder, o *searchReturn) { o.ReturnMax = true },
	"ALL":   func(_ *wire.Decoder, o *searchReturn) { o.ReturnAll = true },
	"COUNT": func(_ *wire.Decoder, o *searchReturn) { o.ReturnCount = true },
	"SAVE":  func(_ *wire.Decoder, o *searchReturn) { o.ReturnSave = true },
}

// parseReturn reads the options in parentheses; none of them means ALL (RFC 4731 §3.1).
func parseReturn(d *wire.Decoder) *searchReturn {
	o := &searchReturn{}
	d.List(func() {
		parse, ok := searchReturns[d.Keyword()]
		if !ok {
			d.Fail("a result option before this")
			return
		}
		parse(d, o)
	})
	if *o == (searchReturn{}) {
		o.ReturnAll = true
	}
	return o
}

// tells reports whether there is anything to be told: of SAVE alone there is not (RFC 5182 §2.1).
func (o *searchReturn) tells() bool {
	return o.ReturnMin || o.ReturnMax || o.ReturnAll || o.ReturnCount
}

// chosen are the messages found that the options point to: all of them, or with MIN or MAX alone only those. It is what
// SAVE saves (RFC 5182 §2.4), and those whose mod-sequences count (RFC 4731 §3.2). found is ascending.
func (o *searchReturn) chosen(found []imap.UID) []imap.UID {
	if len(found) == 0 || o.ReturnAll || o.ReturnCount || !o.ReturnMin && !o.ReturnMax {
		return found
	}
	return reported(found, &o.SearchOptions)
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
		s.saved = store.UIDSetOf(o.chosen(found))
	}
}

// result is the saved result without what has been expunged since (RFC 5182 §2.1).
func (s *selected) result() imap.UIDSet { return held(s.snap, s.saved) }
