package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"postern/pkg/store"
)

// Address implements store.Sharing.
func (a *account) Address() string { return a.address }

// ACL implements store.Sharing.
func (a *account) ACL(ctx context.Context, box store.MailboxID) ([]store.ACLEntry, error) {
	var list []store.ACLEntry
	err := a.read(ctx, "read rights", func() error {
		b, err := a.box(box)
		if err == nil {
			list = slices.Clone(b.acl)
		}
		return err
	})
	return list, err
}

// SetACL implements store.Sharing.
func (a *account) SetACL(ctx context.Context, box store.MailboxID, ch store.ACLChange) error {
	return a.write(ctx, "change rights", func() ([]store.MailboxID, error) {
		b, err := a.box(box)
		if err != nil {
			return nil, err
		}
		entry, others := ch.ACLEntry, make([]store.ACLEntry, 0, len(b.acl)+1)
		entry.Rights = 0
		for _, e := range b.acl {
			if e.String() == entry.String() {
				entry = e
			} else {
				others = append(others, e)
			}
		}
		if entry.Rights = ch.Apply(entry.Rights); entry.Rights != 0 {
			others = append(others, entry)
		}
		if len(others) > store.MaxACL {
			return nil, store.ErrACLFull
		}
		b.acl = others
		slices.SortFunc(b.acl, func(x, y store.ACLEntry) int {
			if x.Identifier == y.Identifier && x.Negative {
				return -1
			}
			return cmp.Compare(x.Identifier, y.Identifier)
		})
		return tree, nil
	})
}

// Shared implements store.Sharing.
func (a *account) Shared(ctx context.Context, owner string, names ...string) (store.Shared, error) {
	var shared store.Shared
	err := a.read(ctx, "find shared mailbox", func() error {
		o := a.store.users[owner]
		if o == nil || o == a {
			return fmt.Errorf("account %q: %w", owner, store.ErrNotFound)
		}
		for _, name := range names {
			b, err := o.find(name)
			if err != nil {
				continue
			}
			if shared = o.share(b, a); shared.Rights != 0 {
				return nil
			}
			break
		}
		return fmt.Errorf("mailboxes %q of %q: %w", names, owner, store.ErrNotFound)
	})
	return shared, err
}

// share is how someone else sees a mailbox.
func (a *account) share(b *mailbox, with *account) store.Shared {
	rights := store.RightsOf(b.acl, store.Identifiers(with.address))
	return store.Shared{Mailbox: a.info(b), Owner: a.id, Address: a.address, Rights: rights}
}

// SharedMailboxes implements store.Sharing.
func (a *account) SharedMailboxes(ctx context.Context, owner string, in ...store.Branch) ([]store.Shared, error) {
	var list []store.Shared
	err := a.read(ctx, "list shared mailboxes", func() error {
		for _, o := range a.store.accounts {
			if o == a || owner != "" && owner != o.address {
				continue
			}
			for _, b := range o.boxes {
				if s := o.share(b, a); s.Rights.Has(store.RightLookup) && store.InBranches(b.name, in) {
					list = append(list, s)
				}
			}
		}
		slices.SortFunc(list, func(x, y store.Shared) int {
			return cmp.Or(cmp.Compare(x.Address, y.Address), cmp.Compare(x.Name, y.Name))
		})
		return nil
	})
	return list, err
}

// SharedRights implements store.Sharing.
func (a *account) SharedRights(ctx context.Context, at store.Place) (store.Rights, error) {
	var rights store.Rights
	err := a.read(ctx, "read rights", func() error {
		o := a.store.accounts[at.Account]
		if o == nil {
			return fmt.Errorf("account %d: %w", at.Account, store.ErrNotFound)
		}
		b, err := o.box(at.Mailbox)
		if err == nil {
			rights = store.RightsOf(b.acl, store.Identifiers(a.address))
		}
		return err
	})
	return rights, err
}
