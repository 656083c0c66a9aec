// The UTF8 data extension of APPEND and CATENATE, and which headers may be appended without it (RFC 6855 §4).

package imap

import (
	"context"
	"errors"
	"io"

	"postern/pkg/imap/wire"
	"postern/pkg/message"

	"github.com/emersion/go-imap/v2"
)

// utf8Literal reads "UTF8 (" literal8 ")" from behind the opening to behind the closing parenthesis.
type utf8Literal struct {
	ctx context.Context //nolint:containedctx // it lives as long as the command whose it is
	in  *incoming
	l   *wire.Literal // nil until the first Read
}

func appendUTF8(ctx context.Context, in *incoming) appendOctets {
	return &utf8Literal{ctx: ctx, in: in}
}

// binary is false: it is text of 8 bits in lines, and no other octets (RFC 6855 §4).
func (u *utf8Literal) binary() bool { return false }

// Read implements io.Reader.
func (u *utf8Literal) Read(p []byte) (int, error) {
	if u.l == nil {
		if err := u.open(); err != nil {
			return 0, err
		}
	}
	n, err := u.l.Read(p)
	if errors.Is(err, io.EOF) {
		if u.in.d.Expect(')'); u.in.d.Err() != nil {
			return n, u.in.d.Err()
		}
	}
	return n, err
}

// open reads as far as the octets.
func (u *utf8Literal) open() error {
	d := u.in.d
	if !u.in.c.enc.UTF8 {
		return badf("Enable UTF8=ACCEPT first.")
	}
	if d.Peek() != '~' {
		d.Fail("a literal8")
	}
	if u.l = d.Literal(); u.l == nil {
		return d.Err()
	}
	return u.in.admit(u.ctx, u.l)
}

// errEightBit refuses a header that is not ASCII from a client that has not said that it knows of such (RFC 6855 §4).
var errEightBit = refusal{code: "CANNOT", text: "The header is not ASCII; enable UTF8=ACCEPT to store such messages."}

// checkHeader returns errEightBit if a message needs UTF8=ACCEPT and the client has not enabled it.
func (c *conn) checkHeader(s *message.Spooled) error {
	if c.enc.UTF8 || !c.offers(imap.CapUTF8Accept) {
		return nil
	}
	header := io.NewSectionReader(s, 0, s.Part().Body)
	buf := make([]byte, min(header.Size(), 8<<10))
	for {
		n, err := header.Read(buf)
		for _, b := range buf[:n] {
			if b >= 0x80 {
				return errEightBit
			}
		}
		if errors.Is(err, io.EOF) || n == 0 && err == nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
