package wire

import (
	"bufio"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// FuzzDecoder reads any command in any way: it must end, stay within its limits and find the next command.
func FuzzDecoder(f *testing.F) {
	for _, s := range []string{
		"a b c\r\n", "\"x\\\"y\" {3+}\r\nabc\r\n", "1:*,5 (\\Seen $a)\r\n", "((a) b)\r\n", "~{2}\r\nab\r\n", "{9999999999999999999+}\r\n",
		"\" 1-Feb-2006 15:04:05 +0130\"\r\n", "&ZeVnLIqe-\r\n", "12 \n\r", "NIL",
	} {
		for way := range byte(8) {
			f.Add([]byte{way, way + 3, way + 7}, s)
		}
	}
	f.Fuzz(func(t *testing.T, ways []byte, input string) {
		const line = 64
		d, _ := decoderOf(input+"\r\nnext\r\n", Limits{Line: line, Literal: 32, NonSync: 1 << 20})
		for _, way := range ways[:min(len(ways), 32)] {
			if n := readAny(d, way); n > line {
				t.Fatalf("a token of %d octets", n)
			}
			d.TrySP()
		}
		if d.at > line {
			t.Fatalf("%d octets of a command held", d.at)
		}
		_ = d.Err()
		if d.Discard() != nil {
			return // the input ended
		}
		for range len(input) + 3 {
			d.Begin(Limits{Line: line, NonSync: 1 << 20})
			if d.Tag() == "next" {
				return
			}
			if d.Discard() != nil {
				return
			}
		}
		t.Fatal("no end of commands")
	})
}

// readAny reads one token and returns how many octets it takes.
func readAny(d *Decoder, way byte) int {
	switch way % 16 {
	case 0:
		return len(d.Atom())
	case 1:
		return len(d.AString())
	case 2:
		s, _ := d.NString()
		return len(s)
	case 3:
		return reflect.ValueOf(d.NumSet(way&16 != 0)).Len()
	case 4:
		return len(d.Flags())
	case 5:
		d.Date()
	case 6:
		d.DateTime()
	case 7:
		return len(d.ListMailbox())
	case 8:
		d.Mailbox()
	case 9:
		d.List(func() { d.AString() })
	case 10:
		d.Number64()
	case 11:
		d.Keyword()
	case 12:
		d.Text()
	case 13:
		_ = d.End()
	case 14:
		d.Word()
	case 15:
		if l := d.Literal(); l != nil {
			n, _ := io.Copy(io.Discard, io.LimitReader(l, int64(way)/4))
			return int(n)
		}
	}
	return 0
}

// FuzzString: what String, AString and Mailbox write, the Decoder reads back.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a", `a "b\`, "\r\n", "ü\x00", "NIL", "inbox", "a/b", strings.Repeat("x", 1200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := encoded(t, func(e *Encoder) { e.String(s).SP().AString(s).SP().NString(&s).SP().NIL().CRLF() })
		d, _ := decoderOf(text, Limits{Line: 10*len(s) + 100})
		text, astring := d.Text(), d.SP().AString()
		nstring, ok := d.SP().NString()
		_, none := d.SP().NString()
		if err := d.End(); err != nil || text != s || astring != s || nstring != s || !ok || none {
			t.Fatalf("%q: %q, %q, %q, %v, %v, %v", s, text, astring, nstring, ok, none, err)
		}
	})
}

// FuzzNumSet: what is read as a set is written the same, once it is in order.
func FuzzNumSet(f *testing.F) {
	for _, s := range []string{"1", "1:3,5", "*", "7:*", "3:1,2", "4294967295"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, _ := decoderOf(s+"\r\n", Limits{Line: 1 << 10})
		set := d.UIDSet()
		if d.End() != nil {
			return
		}
		var sorted imap.UIDSet
		for _, r := range set {
			sorted.AddRange(r.Start, r.Stop)
		}
		text := encoded(t, func(e *Encoder) { e.NumSet(sorted) })
		d = NewDecoder(bufio.NewReader(strings.NewReader(text+"\r\n")), DecoderOptions{})
		d.Begin(Limits{Line: 1 << 16})
		if back := d.UIDSet(); d.End() != nil || !reflect.DeepEqual(back, sorted) {
			t.Fatalf("%q: wrote %q, read %v, %v", s, text, back, d.Err())
		}
	})
}
