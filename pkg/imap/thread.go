// THREAD and UID THREAD (RFC 5256; REFS of draft-ietf-morg-inthread).

package imap

import (
	"context"

	"postern/pkg/imap/wire"
	"postern/pkg/order"

	"github.com/emersion/go-imap/v2"
)

type threadRequest struct {
	searchRequest
	run func([]order.Message) *order.Threads
}

// threadAlgorithms are the algorithms, each there with the capability THREAD= and its name.
var threadAlgorithms = map[string]func([]order.Message) *order.Threads{
	"ORDEREDSUBJECT": order.OrderedSubject,
	"REFERENCES":     order.References,
	"REFS":           order.Refs,
}

// threadCaps are the capabilities with any of which there is THREAD.
var threadCaps = []imap.Cap{"THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES", "THREAD=REFS"}

func parseThread(d *wire.Decoder, fl flags) (threadRequest, error) {
	r := threadRequest{searchRequest: searchRequest{byUID: fl.has(byUID)}}
	name := d.SP().Keyword()
	if r.run = threadAlgorithms[name]; r.run == nil || !d.Knows(imap.Cap("THREAD="+name)) {
		d.Fail("an algorithm before this")
	}
	return r, r.parseRest(d)
}

func (c *conn) thread(ctx context.Context, r threadRequest) error {
	var threads *order.Threads
	uids, err := c.find(ctx, &r.searchRequest, func(uids []imap.UID) ([]imap.UID, error) {
		msgs, err := c.orderable(ctx, uids, true)
		if err == nil {
			threads = r.run(msgs)
		}
		return uids, err
	})
	if err != nil {
		return err
	}
	writeThreads(c.enc, threads, c.found(uids, r.byUID))
	c.answer("", "Threaded.")
	return nil
}

// writeThreads writes the THREAD response (RFC 5256 §4): a message, its only child, and so on, then in parentheses each of the
// children where there are several. A chain may be as long as the mailbox, and so may nesting be deep.
func writeThreads(e *wire.Encoder, t *order.Threads, nums []uint32) {
	if e.Atom("* THREAD"); t.Root() != order.None {
		e.SP()
	}
	var open []int32 // for each parenthesis that is open, the node after its first
	for v := t.Root(); v != order.None; {
		e.Byte('(')
		open = append(open, t.Next(v))
		v = writeMembers(e, t, v, nums)
		for v == order.None && len(open) > 0 {
			e.Byte(')')
			v, open = open[len(open)-1], open[:len(open)-1]
		}
	}
	e.CRLF()
}

// writeMembers writes a message and those below it that are only children, and returns the first of the children that are not.
func writeMembers(e *wire.Encoder, t *order.Threads, v int32, nums []uint32) int32 {
	for written := false; v != order.None; v = t.First(v) {
		if t.Message(v) {
			if written {
				e.SP()
			}
			e.Number(nums[v])
			written = true
		}
		if child := t.First(v); child != order.None && t.Next(child) != order.None {
			if written {
				e.SP()
			}
			return child
		}
	}
	return order.None
}
