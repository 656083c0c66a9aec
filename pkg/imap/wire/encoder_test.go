package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// encoded returns what write writes.
func encoded(t *testing.T, write func(*Encoder)) string {
	t.Helper()
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	e := NewEncoder(w)
	write(e)
	if err := errors.Join(e.Err(), w.Flush()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEncoder(t *testing.T) {
	t.Parallel()
	long, text := strings.Repeat("x", 1001), "a"
	for _, tt := range []struct {
		write func(*Encoder)
		want  string
	}{
		{func(e *Encoder) { e.Atom("* OK").SP().NIL().Byte('!').CRLF() }, "* OK NIL!\r\n"},
		{func(e *Encoder) { e.Number(4294967295).SP().Number64(9223372036854775807) }, "4294967295 9223372036854775807"},
		{func(e *Encoder) { e.String("") }, `""`},
		{func(e *Encoder) { e.String(`a "b\" c`) }, `"a \"b\\\" c"`},
		{func(e *Encoder) { e.String("a\r\nb") }, "{4}\r\na\r\nb"},
		{func(e *Encoder) { e.String("ü") }, "{2}\r\nü"},
		{func(e *Encoder) { e.UTF8 = true; e.String("ü") }, `"ü"`},
		{func(e *Encoder) { e.UTF8 = true; e.String("\xff") }, "{1}\r\n\xff"},
		{func(e *Encoder) { e.String(long) }, "{1001}\r\n" + long},
		{func(e *Encoder) { e.NString(nil).SP().NString(&text) }, `NIL "a"`},
		{func(e *Encoder) { e.AString("a]").SP().AString("nil").SP().AString("a b").SP().AString("") }, `a] "nil" "a b" ""`},
		{func(e *Encoder) { e.Mailbox("日本語 &") }, `"&ZeVnLIqe- &-"`},
		{func(e *Encoder) { e.Mailbox("INBOX") }, `INBOX`},
		{func(e *Encoder) { e.UTF8 = true; e.Mailbox("ü&") }, `"ü&"`},
		{func(e *Encoder) { e.Flags([]imap.Flag{imap.FlagSeen, "$Junk"}).Flags(nil) }, `(\Seen $Junk)()`},
		{func(e *Encoder) { e.NumSet(imap.UIDSet{{Start: 1, Stop: 3}, {Start: 7, Stop: 7}}) }, "1:3,7"},
		{func(e *Encoder) { e.NumSet(imap.SeqSet{{Start: 4, Stop: 4}, {Start: 5}, {}}) }, "4,5:*,*"},
		{
			func(e *Encoder) { e.DateTime(time.Date(2006, 2, 1, 15, 4, 5, 0, time.FixedZone("", -5400))) },
			`" 1-Feb-2006 15:04:05 -0130"`,
		},
		{func(e *Encoder) { e.List(3, func(i int) { e.Number(uint32(i)) }) }, "(0 1 2)"},
		{func(e *Encoder) { e.Literal(3, strings.NewReader("abcd")) }, "{3}\r\nabc"},
		{func(e *Encoder) { e.Literal8(0, strings.NewReader("")) }, "~{0}\r\n"},
	} {
		if got := encoded(t, tt.write); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestEncoderBigLiteral: a literal of several windows arrives whole.
func TestEncoderBigLiteral(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("0123456789", window/4)
	got := encoded(t, func(e *Encoder) { e.Literal(int64(len(body)), strings.NewReader(body)) })
	if _, rest, _ := strings.Cut(got, "\r\n"); rest != body {
		t.Fatalf("%d octets, want %d", len(rest), len(body))
	}
}

func TestEncoderKeepsError(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	e := NewEncoder(w)
	e.Literal(5, strings.NewReader("ab")).Atom("more").Byte('!').Number(1).String("x")
	if err := e.Err(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if err := w.Flush(); err != nil || b.String() != "{5}\r\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}
