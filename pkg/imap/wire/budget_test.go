//go:build !race

package wire

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/allocs"
)

// TestBudget: tokens in and out.
func TestBudget(t *testing.T) {
	source := strings.NewReader("")
	r := bufio.NewReader(source)
	d := NewDecoder(r, DecoderOptions{})
	allocs.Check(t, "reading a command line", allocs.Most{Objects: 11, Octets: 112}, func() {
		source.Reset("a17 UID FETCH 1:*,77 (FLAGS UID)\r\n")
		r.Reset(source)
		d.Begin(Limits{Line: 1000})
		d.Tag()
		d.SP().Keyword()
		d.SP().Keyword()
		d.SP().NumSet(true)
		d.SP().List(func() { d.Keyword() })
		if err := d.End(); err != nil {
			t.Fatal(err)
		}
	})

	e := NewEncoder(bufio.NewWriter(io.Discard))
	at := time.Now()
	allocs.Check(t, "writing numbers, strings and a date", allocs.Most{}, func() {
		e.Atom("* ").Number(17).SP().String(`a "quoted" string`).SP().DateTime(at).CRLF()
	})
	set := make(imap.SeqSet, 1000)
	for i := range set {
		set[i] = imap.SeqRange{Start: uint32(3*i + 1), Stop: uint32(3*i + 2)}
	}
	allocs.Check(t, "writing a set of 1,000 ranges", allocs.Most{Objects: 1, Octets: 48}, func() { e.NumSet(set) })
	allocs.Check(t, "writing the name of a mailbox", allocs.Most{Objects: 2, Octets: 96}, func() { e.Mailbox("Lists/postgresql & friends") })
}
