package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// Mailboxes implements store.Account.
func (a *account) Mailboxes(ctx context.Context, in ...store.Branch) ([]store.Mailbox, error) {
	var list []store.Mailbox
	err := a.read(ctx, "list mailboxes", func() error {
		for _, b := range a.boxes {
			list = append(list, a.info(b))
		}
		store.MarkParents(list)
		list = slices.DeleteFunc(list, func(b store.Mailbox) bool { return !store.InBranches(b.Name, in) })
		slices.SortFunc(list, func(x, y store.Mailbox) int { return cmp.Compare(x.Name, y.Name) })
		return nil
	})
	return list, err
}

// Mailbox implements store.Account.
func (a *account) Mailbox(ctx context.Context, name string) (store.Mailbox, error) {
	var info store.Mailbox
	err := a.read(ctx, "read mailbox", func() error {
		b, err := a.find(name)
		if err == nil {
			info = a.info(b)
		}
		return err
	})
	return info, err
}

// info describes a mailbox, counting its messages.
func (a *account) info(b *mailbox) store.Mailbox {
	info := store.Mailbox{
		ID: b.id, Name: b.name, UIDValidity: b.validity, UIDNext: b.uidNext, ModSeq: b.modSeq,
		Messages: uint32(len(b.rows)), Size: size(b.rows), Use: slices.Clone(b.use), Subscribed: a.subscribed[b.name],
	}
	for i := range b.rows {
		r := &b.rows[i]
		if r.Flags.System&store.FlagSeen == 0 {
			info.Unseen++
		}
		if r.Flags.System&store.FlagDeleted != 0 {
			info.Deleted++
		}
		if r.UID >= b.claimed {
			info.Recent++
		}
	}
	return info
}

// Create implements store.Account.
func (a *account) Create(ctx context.Context, name string, use ...imap.MailboxAttr) (store.Mailbox, error) {
	var info store.Mailbox
	err := a.write(ctx, "create mailbox", func() ([]store.MailboxID, error) {
		name, err := store.NewName(name)
		if err != nil {
			return nil, err
		}
		if a.named(name) != nil {
			return nil, fmt.Errorf("mailbox %q: %w", name, store.ErrExists)
		}
		if use, err = a.freeUse(use, nil); err != nil {
			return nil, err
		}
		if err := a.addParents(name, 1); err != nil {
			return nil, err
		}
		info = a.info(a.add(name, use))
		return tree, nil
	})
	return info, err
}

// freeUse checks that no mailbox but one, which may be nil, has any of the special uses.
func (a *account) freeUse(use []imap.MailboxAttr, but *mailbox) ([]imap.MailboxAttr, error) {
	use, err := store.CanonicalUse(use)
	if err != nil {
		return nil, err
	}
	for _, b := range a.boxes {
		for _, attr := range use {
			if b != but && slices.Contains(b.use, attr) {
				return nil, fmt.Errorf("special use %s of %q: %w", attr, b.name, store.ErrUse)
			}
		}
	}
	return use, nil
}

func (a *account) add(name string, use []imap.MailboxAttr) *mailbox {
	a.lastValidity++
	b := &mailbox{
		id: store.MailboxID(a.store.nextID()), name: name, validity: a.lastValidity,
		uidNext: 1, modSeq: 1, use: slices.Clone(use), claimed: 1,
	}
	for _, parent := range store.Parents(name) {
		if p := a.named(parent); p != nil {
			b.acl = p.acl
		}
	}
	a.boxes[b.id] = b
	return b
}

// addParents makes the parents of a name that are missing, if there is room for them and for more mailboxes.
func (a *account) addParents(name string, more int) error {
	missing := slices.DeleteFunc(store.Parents(name), func(parent string) bool { return a.named(parent) != nil })
	if len(a.boxes)+len(missing)+more > cmp.Or(a.store.MaxMailboxes, store.DefaultMaxMailboxes) {
		return store.ErrTooManyMailboxes
	}
	if added, limit := len(missing)+more, a.limits.Mailboxes; limit > 0 && added > 0 && int64(len(a.boxes)+added) > limit {
		return store.ErrOverQuota
	}
	for _, parent := range missing {
		a.add(parent, nil)
	}
	return nil
}

// Rename implements store.Account.
func (a *account) Rename(ctx context.Context, from, to string) error {
	return a.write(ctx, "rename mailbox", func() ([]store.MailboxID, error) {
		b, err := a.find(from)
		if err != nil {
			return nil, err
		}
		to, err := store.NewName(to)
		if err != nil {
			return nil, err
		}
		if a.named(to) != nil {
			return nil, fmt.Errorf("mailbox %q: %w", to, store.ErrExists)
		}
		if b.name == store.Inbox {
			return a.renameInbox(b, to)
		}
		return a.renameTree(b, to)
	})
}

// renameTree renames a mailbox and what is below it. It cannot go below itself.
func (a *account) renameTree(b *mailbox, to string) ([]store.MailboxID, error) {
	from := b.name
	if store.Below(to, from) {
		return nil, fmt.Errorf("%q is below %q: %w", to, from, store.ErrName)
	}
	names := map[*mailbox]string{b: to}
	for _, c := range a.boxes {
		if !store.Below(c.name, from) {
			continue
		}
		renamed, err := store.Renamed(c.name, from, to)
		if err != nil {
			return nil, err
		}
		names[c] = renamed
	}
	if err := a.addParents(to, 0); err != nil {
		return nil, err
	}
	for c, name := range names {
		c.name = name
	}
	return tree, nil
}

// renameInbox moves what is in INBOX to a new mailbox (RFC 3501 §6.3.5).
func (a *account) renameInbox(inbox *mailbox, to string) ([]store.MailboxID, error) {
	if err := a.addParents(to, 1); err != nil {
		return nil, err
	}
	b := a.add(to, nil)
	if len(inbox.rows) == 0 {
		return tree, nil
	}
	rows, keywords, err := b.adopt(inbox, inbox.rows, 0)
	if err != nil {
		return nil, err
	}
	b.keywords = keywords
	inbox.remove(inbox.rows)
	b.insert(rows, a.store.now())
	return []store.MailboxID{0, inbox.id, b.id}, nil
}

// Delete implements store.Account. The subscription stays (RFC 3501 §6.3.9).
func (a *account) Delete(ctx context.Context, name string) error {
	return a.write(ctx, "delete mailbox", func() ([]store.MailboxID, error) {
		b, err := a.find(name)
		if err != nil {
			return nil, err
		}
		if b.name == store.Inbox {
			return nil, fmt.Errorf("mailbox %q: %w", b.name, store.ErrName)
		}
		for _, c := range a.boxes {
			if store.Below(c.name, b.name) {
				return nil, fmt.Errorf("mailbox %q: %w", b.name, store.ErrHasChildren)
			}
		}
		delete(a.boxes, b.id)
		a.store.dropAnnotations(b.id)
		return []store.MailboxID{0, b.id}, nil
	})
}

// Subscribe implements store.Account.
func (a *account) Subscribe(ctx context.Context, name string, on bool) error {
	return a.write(ctx, "subscribe", func() ([]store.MailboxID, error) {
		name, err := store.CanonicalName(name)
		if err != nil {
			return nil, err
		}
		most := store.SubscriptionsPerMailbox * cmp.Or(a.store.MaxMailboxes, store.DefaultMaxMailboxes)
		switch {
		case !on:
			delete(a.subscribed, name)
		case len(a.subscribed) < most:
			a.subscribed[name] = true
		case !a.subscribed[name]:
			return nil, store.ErrTooManySubscribed
		}
		return tree, nil
	})
}

// Subscriptions implements store.Account.
func (a *account) Subscriptions(ctx context.Context) ([]string, error) {
	var names []string
	err := a.read(ctx, "list subscriptions", func() error {
		names = slices.Sorted(maps.Keys(a.subscribed))
		return nil
	})
	return names, err
}
