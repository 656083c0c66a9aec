package bench

import (
	"bytes"
	"context"
	"strconv"
	"time"
)

const (
	large   = 8 << 20  // octets of the message that is fetched in parts
	piece   = 64 << 10 // how many at a time
	headers = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM TO CC SUBJECT MESSAGE-ID REFERENCES IN-REPLY-TO)])"
)

func fetchSteps() []Step {
	fetch := func(name, title, unit string, run func(context.Context, *Bench) (float64, error)) Step {
		return Step{Name: name, Title: title, Group: "Reading", Unit: unit, HigherIsBetter: true, needs: needArchive, run: run}
	}
	return []Step{
		fetch("fetch-flags", "FETCH of all flags", "msg/s", fetchAll("UID FETCH 1:* (FLAGS)", has("FLAGS ("))),
		fetch("fetch-envelope", "FETCH of all envelopes and structures", "msg/s", fetchAll("FETCH 1:* (ENVELOPE BODYSTRUCTURE)", has("ENVELOPE ("))),
		fetch("fetch-headers", "FETCH of eight header fields of all", "msg/s", fetchAll("FETCH 1:* "+headers, literalsAre(1))),
		fetch("fetch-bodies", "FETCH of all bodies at once", "MB/s", fetchBodies),
		fetch("fetch-body-single", "FETCH of bodies in order, a command each", "msg/s", fetchSingly(inOrder)),
		fetch("fetch-body-scattered", "FETCH of bodies here and there, a command each", "msg/s", fetchSingly(hereAndThere)),
		fetch("fetch-parts", "FETCH of 8 MB in parts of 64 KB", "MB/s", fetchParts),
	}
}

// archive opens a session with the archive selected.
func (b *Bench) archive(ctx context.Context) (*imapConn, error) {
	c, err := b.imap(ctx, b.archivist())
	if err != nil {
		return nil, err
	}
	n, err := c.selectBox(archiveBox, nil)
	if err == nil && n != b.o.Messages {
		err = wrong("messages are in the archive", n, b.o.Messages)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// has demands that a response has a word in it.
func has(word string) func(response) bool {
	return func(r response) bool { return bytes.Contains(r.line, []byte(word)) || r.literals > 0 }
}

// literalsAre demands that a response has so many literals.
func literalsAre(n int) func(response) bool {
	return func(r response) bool { return r.literals == n && r.octets > 0 }
}

// fetchAll does a command that has one right response for each message of the archive.
func fetchAll(command string, right func(response) bool) func(context.Context, *Bench) (float64, error) {
	return func(ctx context.Context, b *Bench) (float64, error) {
		c, err := b.archive(ctx)
		if err != nil {
			return 0, err
		}
		defer c.close()
		return b.rate(func() (float64, time.Duration, error) {
			got := 0
			spent, err := timed(func() error {
				return c.do(command, func(r response) error {
					if _, _, ok := r.numbered("FETCH "); ok && right(r) {
						got++
					}
					return nil
				})
			})
			if err == nil && got != b.o.Messages {
				err = wrong("right responses to "+command, got, b.o.Messages)
			}
			return float64(got), spent, err
		})
	}
}

// bodies counts responses with a body, which must have the size of the message they are of.
type bodies struct {
	sizes  []int32
	n      int
	octets int64
}

func (s *bodies) see(r response) error {
	i, _, ok := r.numbered("FETCH ")
	if !ok {
		return nil
	}
	if i > len(s.sizes) || r.octets != int64(s.sizes[i-1]) {
		return wrong("octets of message "+strconv.Itoa(i), r.octets, "its size")
	}
	s.n++
	s.octets += r.octets
	return nil
}

func fetchBodies(ctx context.Context, b *Bench) (float64, error) {
	c, err := b.archive(ctx)
	if err != nil {
		return 0, err
	}
	defer c.close()
	return b.rate(func() (float64, time.Duration, error) {
		seen := bodies{sizes: b.sizes}
		spent, err := timed(func() error { return c.do("FETCH 1:* BODY.PEEK[]", seen.see) })
		if err == nil && (seen.n != b.o.Messages || seen.octets != b.total) {
			err = wrong("octets in all bodies", seen.octets, b.total)
		}
		return float64(seen.octets) / 1e6, spent, err
	})
}

// fetchSingly reads some of the bodies: in order, as programs do that download, or as somebody reads who searches.
func fetchSingly(choose func(n, total int) []int) func(context.Context, *Bench) (float64, error) {
	return func(ctx context.Context, b *Bench) (float64, error) {
		c, err := b.archive(ctx)
		if err != nil {
			return 0, err
		}
		defer c.close()
		places := choose(b.o.Sample, b.o.Messages)
		return b.rate(func() (float64, time.Duration, error) {
			seen := bodies{sizes: b.sizes}
			spent, err := timed(func() error {
				for _, at := range places {
					if err := c.do("FETCH "+strconv.Itoa(at)+" BODY.PEEK[]", seen.see); err != nil {
						return err
					}
				}
				return nil
			})
			if err == nil && seen.n != len(places) {
				err = wrong("bodies", seen.n, len(places))
			}
			return float64(seen.n), spent, err
		})
	}
}

// fetchParts reads a message as programs do that show how far they are.
func fetchParts(ctx context.Context, b *Bench) (float64, error) {
	c, err := b.imap(ctx, b.archivist())
	if err != nil {
		return 0, err
	}
	defer c.close()
	size, err := b.largeMessage(c)
	if err != nil {
		return 0, err
	}
	return b.rate(func() (float64, time.Duration, error) {
		var octets int64
		spent, err := timed(func() error {
			for at := 0; at < size; at += piece {
				err := c.do("FETCH 1 BODY.PEEK[]<"+strconv.Itoa(at)+"."+strconv.Itoa(piece)+">", func(r response) error {
					octets += r.octets
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil && octets != int64(size) {
			err = wrong("octets in all parts", octets, size)
		}
		return float64(octets) / 1e6, spent, err
	})
}

// largeMessage selects the mailbox with one large message, which it makes if need be.
func (b *Bench) largeMessage(c *imapConn) (int, error) {
	mail := b.corpus.large(large)
	n, err := c.selectBox(largeBox, nil)
	if err == nil && n == 1 {
		if _, err := c.expect("FETCH 1 RFC822.SIZE", "FETCH (RFC822.SIZE "+strconv.Itoa(len(mail))+")", 1); err == nil {
			return len(mail), nil
		}
	}
	if err := c.remake(largeBox); err != nil {
		return 0, err
	}
	if err := c.appendTo(largeBox, mail); err != nil {
		return 0, err
	}
	_, err = c.selectBox(largeBox, nil)
	return len(mail), err
}
