// CATENATE (RFC 4469).

package imap

import (
	"context"
	"io"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// maxCatenate is how many parts a message is put together from.
const maxCatenate = 1000

// catenation reads a message that is put together from texts the client sends and from what URLs stand for. It reads the
// command as it goes, from behind the opening to behind the closing parenthesis.
type catenation struct {
	ctx   context.Context //nolint:containedctx // it lives as long as the command whose it is
	in    *incoming
	part  io.Reader // what is being read; nil between parts
	parts int
	left  int64 // octets that the message may still have
	ended bool
	eight bool // some text was a literal8
}

func catenate(ctx context.Context, in *incoming) appendOctets {
	return &catenation{ctx: ctx, in: in, left: min(in.c.srv.maxMessage(), in.left())}
}

func (z *catenation) binary() bool { return z.eight }

// Read implements io.Reader.
func (z *catenation) Read(p []byte) (int, error) {
	for !z.ended {
		if z.part == nil {
			if err := z.next(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := z.part.Read(p)
		if err == io.EOF { // wrapped, it would mean that something broke off
			z.part, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

// next begins a part, or finds that there is none: cat-part = "TEXT" SP literal / "URL" SP astring.
func (z *catenation) next() error {
	d := z.in.d
	if z.parts > 0 && d.Try(')') {
		z.ended = true
		return nil
	}
	if z.parts > 0 {
		d.SP()
	}
	if z.parts++; z.parts > maxCatenate {
		return refusal{code: "LIMIT", text: "The message has too many parts."}
	}
	switch d.Keyword() {
	case "TEXT":
		return z.text()
	case "URL":
		return z.url()
	case "UTF8":
		if d.Knows(imap.CapUTF8Accept) {
			return z.utf8()
		}
	}
	d.Fail("TEXT or URL before this")
	return d.Err()
}

func (z *catenation) text() error {
	l := z.in.d.SP().Literal()
	switch {
	case l == nil:
		return z.in.d.Err()
	case l.Size > z.left: // before a client that waits sends it
		return store.ErrTooBig
	}
	z.left -= l.Size
	z.part, z.eight = l, z.eight || l.Binary
	return nil
}

// utf8 is text too (RFC 6855 §4).
func (z *catenation) utf8() error {
	u := &utf8Literal{ctx: z.ctx, in: z.in}
	z.in.d.SP().Expect('(')
	if err := u.open(); err != nil {
		return err
	}
	if u.l.Size > z.left {
		return store.ErrTooBig
	}
	z.left -= u.l.Size
	z.part = u
	return nil
}

func (z *catenation) url() error {
	url := z.in.d.SP().AString()
	if err := z.in.d.Err(); err != nil {
		return err
	}
	r, err := z.in.c.resolveURL(z.ctx, url)
	if err != nil {
		return err
	}
	if r.Size() > z.left {
		return store.ErrTooBig
	}
	z.left -= r.Size()
	z.part = r
	return nil
}
