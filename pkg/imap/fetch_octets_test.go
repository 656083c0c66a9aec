package imap

import (
	"errors"
	"io"
	"testing"

	"postern/pkg/message"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// inMemoryOnly is a body that lends its octets and cannot be read.
type inMemoryOnly string

func (b inMemoryOnly) ReadAt([]byte, int64) (int, error) { return 0, errors.New("read") }

func (b inMemoryOnly) Octets(off, n int64) [][]byte { return [][]byte{[]byte(b[off : off+n])} }

// TestOctetsAtHand: what a body has in memory is sent from there, whatever part of it is asked for.
func TestOctetsAtHand(t *testing.T) {
	t.Parallel()
	const text = "A: b\r\n\r\n0123456789"
	m := &store.Message{Size: int64(len(text)), Body: inMemoryOnly(text), Part: &message.Part{Body: 8, End: int64(len(text))}}
	for _, tt := range []struct {
		s    message.Section
		p    *imap.SectionPartial
		want string
	}{
		{message.Section{}, nil, text},
		{message.Section{}, &imap.SectionPartial{Offset: 7, Size: 3}, "\n01"},
		{message.Section{Kind: message.Header}, nil, "A: b\r\n\r\n"},
		{message.Section{Kind: message.Text}, nil, "0123456789"},
		{message.Section{Kind: message.Text}, &imap.SectionPartial{Offset: 3, Size: 4}, "3456"},
		{message.Section{Kind: message.Text}, &imap.SectionPartial{Offset: 8, Size: 40}, "89"},
		{message.Section{Path: []int{1}}, &imap.SectionPartial{Offset: 8, Size: 40}, "89"},
	} {
		x, err := (&sectionItem{section: tt.s, partial: tt.p}).open(m, &windows{})
		if err != nil {
			t.Errorf("%+v %+v: %v", tt.s, tt.p, err)
			continue
		}
		if got, err := io.ReadAll(x.r); err != nil || string(got) != tt.want {
			t.Errorf("%+v %+v: %q, %v", tt.s, tt.p, got, err)
		}
	}
}
