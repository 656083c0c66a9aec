package imap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// others is what the names of other people's mailboxes begin with (RFC 2342): then come the owner's address and the name
// that the owner gave.
const others = store.OthersName + store.Delimiter

// location is a mailbox name made sense of: whose it is, and what the user of this session may do there.
type location struct {
	account store.Account // of the owner
	name    string        // as the owner says it, canonical if it is somebody else's
	prefix  string        // what this user says before it; empty for the user's own
	rights  store.Rights
	found   store.MailboxID // the one that rights are about, if it is somebody else's
}

// title is the name as this user says it; name is what the owner has, box.Name in particular.
func (l *location) title(name string) string { return l.prefix + name }

// own reports whether it is the user's own.
func (l *location) own() bool { return l.prefix == "" }

// denied are the rights the user does not have.
func (l *location) denied() store.Rights { return store.AllRights &^ l.rights }

// may is nil if the user has all of the rights that are needed.
func (l *location) may(need store.Rights) error {
	switch {
	case l.rights.Has(need):
		return nil
	case l.rights.Has(store.RightLookup):
		return fmt.Errorf("right %q of %q: %w", need&^l.rights, need, store.ErrNoPermission)
	}
	return fmt.Errorf("no right to know: %w", store.ErrNotFound) // RFC 4314 §6
}

// target is a mailbox that is there.
type target struct {
	location
	box store.Mailbox
}

// path is a name of somebody else's mailbox, taken apart.
type path struct{ owner, name string }

// otherPath takes the name of somebody else's mailbox apart; ok is false for a name of one's own. What cannot be a mailbox
// has no owner.
func otherPath(name string) (p path, ok bool) {
	if name == store.OthersName {
		return path{}, true
	}
	rest, ok := strings.CutPrefix(name, others)
	if !ok {
		return path{}, false
	}
	level, name, _ := strings.Cut(rest, store.Delimiter)
	owner, valid := store.ParseAddress(levelUnescapes.Replace(level))
	name, err := store.CanonicalName(name)
	if !valid || err != nil {
		return path{}, true
	}
	return path{owner: owner.String(), name: name}, true
}

// ownerPrefix is what the names of somebody's mailboxes begin with for others.
func ownerPrefix(address string) string {
	return others + levelEscapes.Replace(address) + store.Delimiter
}

// levelEscapes makes an address one level of a name, without wildcards.
var levelEscapes = strings.NewReplacer("=", "=3D", "/", "=2F", "*", "=2A", "%", "=25")

var levelUnescapes = strings.NewReplacer("=3D", "=", "=2F", "/", "=2A", "*", "=25", "%")

// mine is a name of the user's own.
func (c *conn) mine(name string) location {
	return location{account: c.account, name: name, rights: store.AllRights}
}

// locate finds out whose mailbox a name means and whether this user has the rights that the command needs, among them
// RightRead for one to be opened. Every command that takes the name of a mailbox begins here, or with mailbox or
// locateNew, which build on it. It asks nothing of the store for mailboxes of the user's own, which may thus not be there.
func (c *conn) locate(ctx context.Context, name string, need store.Rights) (location, error) {
	p, ok := otherPath(name)
	if !ok {
		return c.mine(name), nil
	}
	t, err := c.shared(ctx, need, p.owner, p.name)
	return t.location, err
}

// mailbox is locate for a mailbox that must be there: store.ErrNotFound when it is not, or when this user may not know.
func (c *conn) mailbox(ctx context.Context, name string, need store.Rights) (target, error) {
	if p, ok := otherPath(name); ok {
		return c.shared(ctx, need, p.owner, p.name)
	}
	box, err := c.account.Mailbox(ctx, name)
	return target{location: c.mine(name), box: box}, err
}

// locateNew is locate for a name that is to become a mailbox's, by CREATE or RENAME: what matters is the right to make one
// below the nearest that is there (RFC 4314 §4).
func (c *conn) locateNew(ctx context.Context, name string) (location, error) {
	p, ok := otherPath(name)
	if !ok {
		return c.mine(name), nil
	}
	var above []string
	for parent := parentOf(p.name); parent != ""; parent = parentOf(parent) {
		above = append(above, parent)
	}
	t, err := c.shared(ctx, store.RightCreate, p.owner, above...)
	if errors.Is(err, store.ErrNotFound) {
		err = refusal{code: "NOPERM", text: "You may not make a mailbox there."} // whatever is there, or nothing
	}
	t.name, t.found = p.name, 0
	return t.location, err
}

// shared finds somebody else's mailbox: the first of names that is there.
func (c *conn) shared(ctx context.Context, need store.Rights, owner string, names ...string) (target, error) {
	if owner == "" || len(names) == 0 || !c.offers(imap.CapACL) {
		return target{}, fmt.Errorf("somebody else's mailbox: %w", store.ErrNotFound)
	}
	found, err := c.account.Shared(ctx, owner, names...)
	if err != nil {
		return target{}, err
	}
	if err := (&location{rights: found.Rights}).may(need); err != nil {
		return target{}, err
	}
	return c.sharedTarget(ctx, found)
}

// sharedTarget is a mailbox of somebody else's as this user sees it.
func (c *conn) sharedTarget(ctx context.Context, s store.Shared) (target, error) {
	account, err := c.srv.Accounts.Account(ctx, s.Owner)
	if err != nil {
		return target{}, fmt.Errorf("open account %d: %w", s.Owner, err)
	}
	at := location{account: account, name: s.Name, prefix: ownerPrefix(s.Address), rights: s.Rights, found: s.ID}
	return target{location: at, box: asOthersSee(s.Mailbox)}, nil
}

// asOthersSee leaves out what of a mailbox concerns nobody but its owner.
func asOthersSee(box store.Mailbox) store.Mailbox {
	box.Use, box.Subscribed, box.Recent = nil, false, 0
	return box
}

// open opens the mailbox. If it is somebody else's, it must be the one that the rights are about: to rename mailboxes takes no
// right to read them, and the name may be another's by now.
func (l *location) open(ctx context.Context) (store.Mailbox, *store.Snapshot, error) {
	box, snap, err := l.account.Open(ctx, l.name)
	switch {
	case err != nil || l.own():
		return box, snap, err
	case box.ID != l.found:
		return store.Mailbox{}, nil, fmt.Errorf("%q is another mailbox than mailbox %d now: %w", l.name, l.found, store.ErrNotFound)
	}
	return asOthersSee(box), snap, nil
}

// still checks that the user has kept the rights to a mailbox while his client took its time to send a message.
func (c *conn) still(ctx context.Context, at target, need store.Rights) error {
	if at.own() {
		return nil
	}
	rights, err := c.account.SharedRights(ctx, store.Place{Account: at.account.ID(), Mailbox: at.box.ID})
	if err != nil {
		return err
	}
	return (&location{rights: rights}).may(need)
}

// recheck finds out what the user may still do in the selected mailbox, if it is somebody else's: what has been taken away
// has no effect on the next command. Who may no longer read it is told what is told of a mailbox that is gone.
func (c *conn) recheck(ctx context.Context) error {
	if c.sel == nil || c.sel.own() {
		return nil
	}
	ctx, cancel := c.briefly(ctx)
	defer cancel()
	rights, err := c.account.SharedRights(ctx, store.Place{Account: c.sel.account.ID(), Mailbox: c.sel.box.ID})
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !rights.Has(store.RightRead):
		return errDeleted
	case err != nil:
		return fmt.Errorf("rights to the selected mailbox: %w", err)
	}
	if rights != c.sel.rights {
		was := c.sel.access()
		c.sel.rights = rights
		c.writeFlagLists()
		if is := c.sel.access(); is != was {
			c.untagged("OK", is, "What you may do here has changed.") // RFC 3501 §7.1
		}
	}
	return nil
}
