package imap

import (
	"context"
	"slices"
	"strings"

	"postern/pkg/imap/wire"

	"github.com/emersion/go-imap/v2"
)

// LSUB (RFC 3501 §6.3.9).

type lsubRequest struct {
	pattern pattern
	root    bool // the pattern was empty: only the delimiter is asked for
}

func parseLsub(d *wire.Decoder, _ flags) (lsubRequest, error) {
	ref := d.SP().ListMailbox()
	want := d.SP().ListMailbox()
	return lsubRequest{pattern: newPattern(ref, want), root: want == ""}, d.End()
}

// lsub lists subscriptions. One that a "%" keeps from matching shows in the parent that matches.
func (c *conn) lsub(ctx context.Context, r lsubRequest) error {
	if r.root {
		c.writeLsub("", imap.MailboxAttrNoSelect)
		return nil
	}
	names, err := c.account.Subscriptions(ctx)
	if err != nil {
		return err
	}
	m := newMatcher(r.pattern)
	level := strings.Contains(string(r.pattern), "%")
	shown := make(map[string][]imap.MailboxAttr)
	above := make(map[string]bool) // what has been looked at
	for i, name := range names {
		if i%looksEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if m.matches(name) {
			shown[name] = nil
			continue
		}
		for p := parentOf(name); p != "" && level && !above[p]; p = parentOf(p) {
			above[p] = true
			if _, ok := shown[p]; !ok && m.matches(p) {
				shown[p] = []imap.MailboxAttr{imap.MailboxAttrNoSelect}
			}
		}
	}
	for _, name := range sortedKeys(shown) {
		c.writeLsub(name, shown[name]...)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (c *conn) writeLsub(name string, attrs ...imap.MailboxAttr) {
	c.beginList("LSUB", name, attrs)
	c.enc.CRLF()
}
