package wire

import (
	"math"
	"strconv"

	"github.com/emersion/go-imap/v2"
)

// Number reads a number of 32 bits.
func (d *Decoder) Number() uint32 { return uint32(d.number(math.MaxUint32)) }

// Number64 reads a number of 63 bits, as mod-sequences and offsets are (RFC 7162 §7, RFC 9051 §9).
func (d *Decoder) Number64() uint64 { return d.number(math.MaxInt64) }

func (d *Decoder) number(most uint64) uint64 {
	digits := d.run(isDigit)
	if d.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > most {
		d.Fail("a number up to %d", most)
		return 0
	}
	return n
}

// NumSet reads a set of UIDs or of message numbers, as the client wrote it: in its order, with 0 for "*". "$", the saved
// result of a search, is imap.SearchRes() in both cases (RFC 5182 §3).
func (d *Decoder) NumSet(uid bool) imap.NumSet {
	if uid || d.isResult() {
		return d.UIDSet()
	}
	var set imap.SeqSet
	d.ranges(func(a, b uint32) { set = append(set, imap.SeqRange{Start: a, Stop: b}) })
	return set
}

// UIDSet reads a set of UIDs, see NumSet.
func (d *Decoder) UIDSet() imap.UIDSet {
	if d.isResult() && d.Try('$') {
		return imap.SearchRes()
	}
	var set imap.UIDSet
	d.ranges(func(a, b uint32) { set = append(set, imap.UIDRange{Start: imap.UID(a), Stop: imap.UID(b)}) })
	return set
}

func (d *Decoder) isResult() bool { return d.Peek() == '$' && d.Knows(imap.CapSearchRes) }

func (d *Decoder) ranges(add func(a, b uint32)) {
	for d.err == nil {
		a := d.setNumber()
		b := a
		if d.Try(':') {
			b = d.setNumber()
		}
		if d.err == nil {
			add(a, b)
		}
		if !d.Try(',') {
			return
		}
	}
}

// setNumber reads a number of a set, "*" as 0.
func (d *Decoder) setNumber() uint32 {
	if d.Try('*') {
		return 0
	}
	at := d.at
	n := d.Number()
	if d.err == nil && n == 0 {
		d.err = &SyntaxError{Expected: "a number above 0", At: at} // RFC 3501 §9, seq-number
	}
	return n
}
