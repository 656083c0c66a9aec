package imap

import (
	"context"
	"errors"
	"slices"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// listed is a name for LIST.
type listed struct {
	target
	name  string // as this user says it
	level bool   // there is no mailbox of that name: it is only a level above other people's

	missing bool // nor is there anything else: the name is subscribed, or above one that is
}

// tree returns the names in a scope that this user may know of, in order: first those of the user's own, then other people's
// with the levels above them.
func (c *conn) tree(ctx context.Context, in scope) ([]listed, error) {
	var all []listed
	if len(in.mine) > 0 {
		boxes, err := c.account.Mailboxes(ctx, in.mine...)
		if err != nil {
			return nil, err
		}
		all = make([]listed, 0, len(boxes))
		for _, box := range boxes {
			all = append(all, listed{target: target{c.mine(box.Name), box}, name: box.Name})
		}
	}
	if !in.others || !c.offers(imap.CapACL) {
		return all, nil
	}
	shared, err := c.account.SharedMailboxes(ctx, in.owner, in.theirs...)
	if err != nil || len(shared) == 0 {
		return all, err
	}
	theirs, err := c.sharedTree(ctx, shared)
	return append(all, theirs...), err
}

func (c *conn) sharedTree(ctx context.Context, shared []store.Shared) ([]listed, error) {
	subscribed, err := c.account.Subscriptions(ctx)
	if err != nil {
		return nil, err
	}
	var all []listed
	known := make(map[string]bool)
	for _, s := range shared {
		t, err := c.sharedTarget(ctx, s)
		if errors.Is(err, store.ErrNotFound) {
			continue // the account is being deleted
		}
		if err != nil {
			return nil, err
		}
		l := listed{target: t, name: t.title(s.Name)}
		_, l.box.Subscribed = slices.BinarySearch(subscribed, l.name)
		for _, above := range store.Parents(l.name) {
			if !known[above] {
				level := listed{name: above, level: true}
				_, level.box.Subscribed = slices.BinarySearch(subscribed, above)
				all = append(all, level)
			}
			known[above] = true
		}
		known[l.name] = true
		all = append(all, l)
	}
	return all, nil
}
