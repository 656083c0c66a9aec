package imap

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"postern/pkg/imap/wire"
	"postern/pkg/message"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
	"go.uber.org/zap"
)

const (
	maxIncoming       = 1000    // messages of one command
	maxIncomingFactor = 4       // of the biggest message: octets of all of them
	incomingMemory    = 1 << 20 // of them kept in memory; the others are in one file
)

// incoming is the messages of a command on their way in.
type incoming struct {
	c      *conn
	d      *wire.Decoder
	to     target
	shelf  message.Shelf
	drafts []*store.Draft
	octets int64 // of them
	held   int   // of these in memory
	frees  int64 // octets that will be gone when they are there: REPLACE
}

// close lets go of the messages. A temporary file that stays behind is the operator's concern, not the client's.
func (in *incoming) close() {
	for _, d := range in.drafts {
		in.discard(d.Spooled)
	}
	if err := in.shelf.Close(); err != nil {
		in.c.log.Warn("close the file of spooled messages", zap.Error(err))
	}
}

func (in *incoming) discard(s *message.Spooled) {
	if err := s.Close(); err != nil {
		in.c.log.Warn("close a spooled message", zap.Error(err))
	}
}

// takeAll reads the first message's octets, and further messages to the end of the command.
func (in *incoming) takeAll(ctx context.Context, m appendMessage) error {
	for {
		if err := in.take(ctx, m); err != nil {
			return err
		}
		if !in.c.offers(imap.CapMultiAppend) || !in.d.TrySP() {
			return in.d.End()
		}
		if m = parseAppendMessage(in.d); in.d.Err() != nil {
			return in.d.Err()
		}
	}
}

// take reads the octets of one message.
func (in *incoming) take(ctx context.Context, m appendMessage) error {
	if len(in.drafts) >= maxIncoming {
		return refusal{code: "LIMIT", text: fmt.Sprintf("At most %d messages at once.", maxIncoming)}
	}
	if err := in.c.checkSave(len(in.drafts) + 1); err != nil {
		return err
	}
	var octets appendOctets
	if m.literal != nil {
		if err := in.admit(ctx, m.literal); err != nil {
			return err
		}
		octets = wholeLiteral{m.literal}
	} else {
		octets = m.form(ctx, in)
	}
	spooled, err := in.spool(octets)
	if err != nil {
		return err
	}
	flags := in.to.denied().Permitted(m.flags)
	in.drafts = append(in.drafts, &store.Draft{Spooled: spooled, Flags: flags, Received: cmp.Or(m.received, time.Now())})
	in.octets += spooled.Size()
	if spooled.Size() == 0 {
		return errEmpty
	}
	if err := in.c.checkSave(len(in.drafts)); err != nil {
		return err
	}
	return in.c.checkHeader(spooled)
}

// errEmpty: a message is never empty; a client that sends none gives the whole command up (RFC 3502 §3).
var errEmpty = refusal{code: "CANNOT", text: "A message cannot be empty."}

// wholeLiteral is a message that comes as one literal.
type wholeLiteral struct{ *wire.Literal }

func (l wholeLiteral) binary() bool { return l.Binary }

// admit refuses a literal that will not be stored, before a client that waits sends it.
func (in *incoming) admit(ctx context.Context, l *wire.Literal) error {
	switch {
	case l.Size == 0:
		return errEmpty
	case l.Size > in.left():
		return refusal{code: "LIMIT", text: "That is too much at once."}
	case !l.Waits():
		return nil
	}
	quota, err := in.to.account.Quota(ctx)
	if err != nil {
		return err
	}
	if quota.Limit > 0 && quota.Used+in.octets+l.Size-in.frees > quota.Limit {
		return store.ErrOverQuota
	}
	return nil
}

// left is how many octets more this command may store.
func (in *incoming) left() int64 { return maxIncomingFactor*in.c.srv.maxMessage() - in.octets }

// spool keeps the octets of a message. What may be binary is kept as it is and then made a message of lines.
func (in *incoming) spool(r appendOctets) (*message.Spooled, error) {
	l, plain := r.(wholeLiteral)
	plain = plain && !l.Binary
	s, err := in.keep(r, in.c.srv.maxMessage(), !plain)
	if err != nil || plain {
		return s, err
	}
	var lines io.Reader
	switch {
	case r.binary():
		lines, err = s.Textual()
	case s.Bare():
		lines = io.NewSectionReader(s, 0, s.Size())
	}
	if err == nil && lines == nil {
		return s, nil
	}
	in.held -= s.Held()
	defer in.discard(s)
	if err != nil {
		return nil, err
	}
	return in.keep(lines, 0, false) // base64 takes more than a client was told that it may send
}

// keep spools up to limit octets, in memory while there is room.
func (in *incoming) keep(r io.Reader, limit int64, exact bool) (*message.Spooled, error) {
	o := in.c.srv.Spool
	o.Limit, o.Exact, o.Shelf = limit, exact, &in.shelf
	o.Memory = min(cmp.Or(o.Memory, message.DefaultMemory), max(incomingMemory-in.held, 1))
	s, err := message.Spool(r, o)
	if err != nil {
		return nil, fmt.Errorf("spool a message: %w", err)
	}
	in.held += s.Held()
	return s, nil
}
