// PARTIAL, a part of a result by its place (RFC 9394; of SEARCH alone, RFC 5267 §4.4).

package imap

import (
	"fmt"

	"postern/pkg/imap/wire"

	"github.com/emersion/go-imap/v2"
)

const capPartial imap.Cap = "PARTIAL"

// partial is a range of places in a result, counted from 1, or from its end.
type partial struct {
	a, b    uint32 // as written
	fromEnd bool
}

// parsePlaces reads a range: both ends negative or neither, in any order, without "*" (RFC 9394 §4).
func parsePlaces(d *wire.Decoder) *partial {
	p := &partial{fromEnd: d.Try('-')}
	p.a = d.Number()
	if d.Expect(':'); p.fromEnd {
		d.Expect('-')
	}
	if p.b = d.Number(); p.a == 0 || p.b == 0 {
		d.Fail("numbers above 0 before this")
	}
	return p
}

func parseReturnPartial(d *wire.Decoder, o *searchReturn) {
	if o.partial != nil {
		d.Fail("one PARTIAL only") // RFC 9394 §3.1
	}
	o.partial = parsePlaces(d.SP())
}

// String is the range as the client wrote it, which is how it comes back.
func (p *partial) String() string {
	if p.fromEnd {
		return fmt.Sprintf("-%d:-%d", p.a, p.b)
	}
	return fmt.Sprintf("%d:%d", p.a, p.b)
}

// places are the places [from, to) of a result of n that are in the range.
func (p *partial) places(n int) (from, to int) {
	from, to = int(min(p.a, p.b))-1, int(max(p.a, p.b))
	if p.fromEnd {
		from, to = n-to, n-from
	}
	from, to = max(0, from), min(n, to)
	return min(from, n), max(to, 0, min(from, n))
}

// of returns those of a set, which is ascending, that are in the range.
func (p *partial) of(uids imap.UIDSet) imap.UIDSet {
	from, to := p.places(size(uids))
	var part imap.UIDSet
	at := 0 // the place of the first of a range
	for _, r := range uids {
		n := int(r.Stop-r.Start) + 1
		lo, hi := max(from-at, 0), min(to-at, n)
		if lo < hi {
			part = append(part, imap.UIDRange{Start: r.Start + imap.UID(lo), Stop: r.Start + imap.UID(hi) - 1})
		}
		at += n
	}
	return part
}

// writePart writes what there is of a range: NIL for nothing (RFC 9394 §3.1).
func writePart(e *wire.Encoder, set imap.SeqSet) {
	if len(set) == 0 {
		e.NIL()
		return
	}
	e.NumSet(set)
}
