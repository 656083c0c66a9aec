package imap

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"postern/pkg/imap/wire"
	"postern/pkg/message"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// decoderOf returns a Decoder of a command's arguments.
func decoderOf(line string) *wire.Decoder {
	d := wire.NewDecoder(bufio.NewReader(strings.NewReader(line+"\r\n")), wire.DecoderOptions{Continue: func() error { return nil }})
	d.Begin(wire.Limits{Line: 1 << 20, Literal: 1 << 20})
	return d
}

// describe spells out what a FETCH asks for.
func (r fetchRequest) describe() string {
	var b strings.Builder
	fmt.Fprint(&b, r.set)
	for _, it := range r.items {
		b.WriteByte(' ')
		b.WriteString(describeItem(it))
	}
	if r.changedSince != nil {
		fmt.Fprintf(&b, " since %d", *r.changedSince)
	}
	if r.vanished {
		b.WriteString(" vanished")
	}
	if r.partial != nil {
		fmt.Fprintf(&b, " partial %v", r.partial)
	}
	return b.String()
}

func describeItem(it item) string {
	switch it := it.(type) {
	case *sectionItem:
		s := it.label
		if it.partial != nil {
			s += fmt.Sprintf("%+d", it.partial.Size)
		}
		if it.peek {
			s += "!"
		}
		return s
	case *binaryItem:
		s := fmt.Sprint(it.label, it.path)
		if it.partial != nil {
			s += fmt.Sprintf("%+d", it.partial.Size)
		}
		if it.peek {
			s += "!"
		}
		return s
	}
	for name, parse := range fetchItems {
		if it == parse(decoderOf("")) {
			return name
		}
	}
	return fmt.Sprint(it)
}

func TestParseFetch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		fl   flags
		line string
		want string // empty: BAD
	}{
		{0, ` 1 FLAGS`, `1 FLAGS`},
		{0, ` 1:* (FLAGS)`, `1:* FLAGS`},
		{0, ` 2,4:7,* (flags Uid flags)`, `2,4:7,* FLAGS UID`},
		{0, ` 1 ALL`, `1 FLAGS INTERNALDATE RFC822.SIZE ENVELOPE`},
		{0, ` 1 fast`, `1 FLAGS INTERNALDATE RFC822.SIZE`},
		{0, ` 1 FULL`, `1 FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY`},
		{0, ` 1 (ALL)`, ``},
		{0, ` 1 (FLAGS FAST)`, ``},
		{byUID, ` 1 FLAGS`, `1 UID FLAGS`},
		{byUID, ` 1 (FLAGS UID)`, `1 FLAGS UID`},
		{byUID, ` 1:* ALL`, `1:* UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE`},
		{0, ` 1 BODY`, `1 BODY`},
		{0, ` 1 BODYSTRUCTURE`, `1 BODYSTRUCTURE`},
		{0, ` 1 BODY[]`, `1 BODY[]`},
		{0, ` 1 BODY.PEEK[]`, `1 BODY[]!`},
		{0, ` 1 body.peek[text]<0.100>`, `1 BODY[TEXT]<0>+100!`},
		{0, ` 1 BODY[1.2.MIME]`, `1 BODY[1.2.MIME]`},
		{0, ` 1 BODY[4.2.HEADER]`, `1 BODY[4.2.HEADER]`},
		{0, ` 1 BODY[HEADER.FIELDS (From "To" {2}` + "\r\ncc" + `)]`, `1 BODY[HEADER.FIELDS (From To cc)]`},
		{0, ` 1 (BODY.PEEK[1.header.fields.not (x)]<3.4> RFC822)`, `1 BODY[1.HEADER.FIELDS.NOT (x)]<3>+4! RFC822`},
		{0, ` 1 (RFC822.HEADER RFC822.TEXT RFC822.SIZE)`, `1 RFC822.HEADER! RFC822.TEXT RFC822.SIZE`},
		{0, ` 1 BINARY[1.2]<0.5>`, `1 BINARY[1.2]<0>[1 2]+5`},
		{0, ` 1 BINARY.PEEK[]`, `1 BINARY[][]!`},
		{0, ` 1 BINARY.SIZE[3]`, `1 BINARY.SIZE[3][3]`},
		{0, ` 1 PREVIEW`, `1 PREVIEW`},
		{0, ` 1 (FLAGS) (CHANGEDSINCE 12345)`, `1 FLAGS MODSEQ since 12345`},
		{byUID, ` 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)`, `1:* UID FLAGS MODSEQ since 1 vanished`},
		{byUID, ` 1:* (FLAGS) (VANISHED CHANGEDSINCE 0)`, `1:* UID FLAGS MODSEQ since 0 vanished`},
		{byUID, ` 1:* (FLAGS) (VANISHED)`, ``},
		{0, ` 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)`, ``},
		{0, ` 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)`, ``},
		{0, ` 1 FLAGS (CHANGEDSINCE -1)`, ``},
		{0, ` 1 FLAGS (CHANGEDSINCE 9223372036854775808)`, ``},
		{0, ` 1 FLAGS (CHANGEDAFTER 1)`, ``},
		{0, ` 1 FLAGS ()`, `1 FLAGS`},
		{0, ``, ``},
		{0, ` 1`, ``},
		{0, ` 1 `, ``},
		{0, ` 1 ()`, ``},
		{0, ` 0 FLAGS`, ``},
		{0, ` 1: FLAGS`, ``},
		{0, ` 1,,2 FLAGS`, ``},
		{0, ` 4294967296 FLAGS`, ``},
		{0, ` $ FLAGS`, `$ FLAGS`},
		{0, ` 1 NOSUCH`, ``},
		{0, ` 1 (FLAGS`, ``},
		{0, ` 1 FLAGS)`, ``},
		{0, ` 1 (FLAGS  UID)`, ``},
		{0, ` 1 BODY[`, ``},
		{0, ` 1 BODY[1`, ``},
		{0, ` 1 BODY[0]`, ``},
		{0, ` 1 BODY[1.]`, ``},
		{0, ` 1 BODY[.1]`, ``},
		{0, ` 1 BODY[1..2]`, ``},
		{0, ` 1 BODY[99999999999]`, ``},
		{0, ` 1 BODY[MIME]`, ``},
		{0, ` 1 BODY[HEADER.1]`, ``},
		{0, ` 1 BODY[HEADER.FIELDS (` + strings.Repeat("x ", 1<<15) + `x)]`, ``},
		{byUID, ` ` + strings.Repeat("1,", 1<<16) + `1 UID`, strings.Repeat("1,", 1<<16) + `1 UID`},
		{0, ` 1 BODY[HEADER.FIELDS]`, ``},
		{0, ` 1 BODY[HEADER.FIELDS ()]`, ``},
		{0, ` 1 BODY[]<0>`, ``},
		{0, ` 1 BODY[]<0.0>`, ``},
		{0, ` 1 BODY[]<-1.5>`, ``},
		{0, ` 1 BODY[]<1.5`, ``},
		{0, ` 1 BODY.PEEK`, ``},
		{0, ` 1 BINARY`, ``},
		{0, ` 1 BINARY[TEXT]`, ``},
		{0, ` 1 BINARY[1.]`, ``},
		{0, ` 1 BINARY.SIZE[1]<0.5>`, ``},
		{0, ` 1 (` + strings.Repeat("BODY[1] ", 300) + `UID)`, ``},
	}
	for _, tt := range tests {
		r, err := parseFetch(decoderOf(tt.line), tt.fl)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("FETCH%s: %s, want an error", tt.line, r.describe())
		case tt.want != "" && err != nil:
			t.Errorf("FETCH%s: %v", tt.line, err)
		case tt.want != "" && r.describe() != tt.want:
			t.Errorf("FETCH%s: %s, want %s", tt.line, r.describe(), tt.want)
		}
	}
}

// TestFetchNeeds is what keeps FETCH from loading more than it tells.
func TestFetchNeeds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		items string
		want  store.Fields
		seen  bool
	}{
		{`(FLAGS UID INTERNALDATE RFC822.SIZE MODSEQ)`, 0, false},
		{`(ENVELOPE BODYSTRUCTURE BODY)`, store.WithPart, false},
		{`BODY.PEEK[HEADER.FIELDS (DATE)]`, store.WithHeader, false},
		{`BODY[HEADER]`, store.WithHeader, true},
		{`RFC822.HEADER`, store.WithHeader, false},
		{`RFC822`, store.WithBody, true},
		{`BODY.PEEK[]<0.1000>`, store.WithBody, false},
		{`BODY.PEEK[]<65536.65536>`, 0, false},
		{`BODY[1]`, store.WithPart | store.WithBody, true},
		{`BODY.PEEK[1.MIME]<100.100>`, store.WithPart, false},
		{`BINARY.PEEK[1]`, store.WithPart | store.WithBody, false},
		{`BINARY.SIZE[1]`, store.WithPart | store.WithBody, false},
		{`BINARY[1]<100.100>`, store.WithPart, true},
	}
	for _, tt := range tests {
		r, err := parseFetch(decoderOf(" 1 "+tt.items), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.needs(); got != tt.want || r.marksSeen() != tt.seen {
			t.Errorf("%s: needs %b, marks seen %v; want %b, %v", tt.items, got, r.marksSeen(), tt.want, tt.seen)
		}
	}
}

func FuzzParseFetch(f *testing.F) {
	for _, line := range []string{
		` 1:* (FLAGS UID)`, ` 1 BODY.PEEK[1.2.HEADER.FIELDS (From "x y" {1}` + "\r\n" + `z)]<1.2>`, ` 1,2 FULL`,
		` 1 (BINARY[1] BINARY.SIZE[]) (CHANGEDSINCE 1 VANISHED)`,
	} {
		f.Add(line, true)
	}
	f.Fuzz(func(t *testing.T, line string, uid bool) {
		fl := flags(0)
		if uid {
			fl = byUID
		}
		r, err := parseFetch(decoderOf(line), fl)
		if err != nil {
			return
		}
		again, err := parseFetch(decoderOf(r.spell()), fl)
		if err != nil || again.describe() != r.describe() {
			t.Fatalf("%q means %s; spelled %q it means %s, %v", line, r.describe(), r.spell(), again.describe(), err)
		}
	})
}

// spell writes the arguments of a FETCH that parse to r.
func (r fetchRequest) spell() string {
	var b strings.Builder
	fmt.Fprintf(&b, " %s (", spellSet(r.set))
	for i, it := range r.items {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(spellItem(it))
	}
	b.WriteString(")")
	switch {
	case r.vanished:
		fmt.Fprintf(&b, " (CHANGEDSINCE %d VANISHED)", *r.changedSince)
	case r.changedSince != nil:
		fmt.Fprintf(&b, " (CHANGEDSINCE %d)", *r.changedSince)
	}
	return b.String()
}

// spellSet writes a set in the order the client gave it, which UIDSet.String does not promise for "*".
func spellSet(set imap.NumSet) string {
	if imap.IsSearchRes(set) {
		return "$"
	}
	var parts []string
	add := func(a, b uint32) {
		s := strings.ReplaceAll(fmt.Sprintf("/%d:/%d/", a, b), "/0/", "*")
		s = strings.ReplaceAll(s, "/0:", "*:")
		parts = append(parts, strings.ReplaceAll(s, "/", ""))
	}
	switch set := set.(type) {
	case imap.SeqSet:
		for _, r := range set {
			add(r.Start, r.Stop)
		}
	case imap.UIDSet:
		for _, r := range set {
			add(uint32(r.Start), uint32(r.Stop))
		}
	}
	return strings.Join(parts, ",")
}

func spellItem(it item) string {
	label, peek, partial := "", false, (*imap.SectionPartial)(nil)
	switch it := it.(type) {
	case *sectionItem:
		if it == rfc822Item || it == rfc822HeaderItem || it == rfc822TextItem {
			return it.label
		}
		label, peek, partial = it.label, it.peek, it.partial
	case *binaryItem:
		label, peek, partial = it.label, it.peek, it.partial
	default:
		return describeItem(it)
	}
	if peek {
		label = strings.Replace(label, "[", ".PEEK[", 1)
	}
	if partial != nil {
		label = label[:strings.LastIndexByte(label, '<')] + fmt.Sprintf("<%d.%d>", partial.Offset, partial.Size)
	}
	return label
}

// TestWindows checks that what has been taken stays, and that there is an end to it.
func TestWindows(t *testing.T) {
	t.Parallel()
	var w windows
	taken := make([][]byte, 0, 16)
	for i := range 16 {
		p := w.take(windowSize)
		if p == nil {
			t.Fatalf("window %d refused", i)
		}
		p[0] = byte(i)
		taken = append(taken, p)
	}
	for i, p := range taken {
		if p[0] != byte(i) {
			t.Errorf("window %d was overwritten", i)
		}
	}
	if w.take(1) != nil {
		t.Error("no end to windows")
	}
	w.reset()
	if w.take(windowSize) == nil {
		t.Error("no window after reset")
	}
}

func TestFragment(t *testing.T) {
	t.Parallel()
	part := message.Part{End: 10}
	for _, tt := range []struct {
		p    *imap.SectionPartial
		want string
	}{
		{nil, "0123456789"},
		{&imap.SectionPartial{Offset: 0, Size: 3}, "012"},
		{&imap.SectionPartial{Offset: 8, Size: 5}, "89"},
		{&imap.SectionPartial{Offset: 10, Size: 5}, ""},
		{&imap.SectionPartial{Offset: 1 << 62, Size: 1 << 62}, ""},
	} {
		m := &store.Message{Size: 10, Body: strings.NewReader("0123456789"), Part: &part}
		x, err := (&sectionItem{label: "BODY[]", partial: tt.p}).open(m, &windows{})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		w := bufio.NewWriter(&b)
		x.write(wire.NewEncoder(w))
		_ = w.Flush()
		if want := fmt.Sprintf("BODY[] {%d}\r\n%s", len(tt.want), tt.want); b.String() != want {
			t.Errorf("%+v: %q, want %q", tt.p, b.String(), want)
		}
	}
}
