package imap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// SETMETADATA (RFC 5464 §4.3).

type setMetadataRequest struct {
	mailbox string // empty for the server
	values  []store.Annotation
}

func parseSetMetadata(d *wire.Decoder, _ flags) (setMetadataRequest, error) {
	r := setMetadataRequest{mailbox: d.SP().Mailbox()}
	entry := ""
	d.SP().List(func() {
		if entry == "" {
			entry = parseEntry(d)
			return
		}
		value, ok := d.NString8()
		r.set(d, entry, value, ok)
		entry = ""
	})
	if entry != "" || len(r.values) == 0 {
		d.Fail("an entry and its value before this")
	}
	return r, d.End()
}

// set takes a value over. The last one counts of an entry that comes twice.
func (r *setMetadataRequest) set(d *wire.Decoder, entry, value string, ok bool) {
	a := store.Annotation{Entry: entry}
	if ok {
		a.Value = []byte(value)
	}
	if i := slices.IndexFunc(r.values, func(b store.Annotation) bool { return b.Entry == entry }); i >= 0 {
		r.values[i] = a
		return
	}
	if len(r.values) == maxEntries {
		d.Fail("at most %d entries", maxEntries)
		return
	}
	r.values = append(r.values, a)
}

// metadataChecks says who checks what is about to be set below an entry, or as that entry.
var metadataChecks = []struct {
	entry string
	check func(c *conn, at target, a store.Annotation) error
}{
	{adminEntry, (*conn).checkAdmin},
	{specialUseEntry, (*conn).checkSpecialUse},
}

// setMetadata sets all or nothing. What is the mailbox's own is set first, for it is what can be refused.
func (c *conn) setMetadata(ctx context.Context, r setMetadataRequest) error {
	at, err := c.annotated(ctx, r.mailbox)
	if err != nil {
		return err
	}
	if err := c.checkMetadata(at, r.values); err != nil {
		return err
	}
	undo := func() error { return nil }
	if i := slices.IndexFunc(r.values, func(a store.Annotation) bool { return a.Entry == specialUseEntry }); i >= 0 && at.box.ID != 0 {
		use := strings.Fields(string(r.values[i].Value))
		if err := at.account.SetUse(ctx, at.name, attrs(use)...); err != nil {
			return err
		}
		undo = func() error { return at.account.SetUse(ctx, at.name, at.box.Use...) }
		r.values = slices.Delete(r.values, i, i+1)
	}
	if err := c.annotate(ctx, at, r.values); err != nil {
		return errors.Join(err, undo())
	}
	return nil
}

func attrs(words []string) []imap.MailboxAttr {
	list := make([]imap.MailboxAttr, len(words))
	for i := range words {
		list[i] = imap.MailboxAttr(words[i])
	}
	return list
}

// annotate stores shared entries with the mailbox's owner and private ones with this user.
func (c *conn) annotate(ctx context.Context, at target, values []store.Annotation) error {
	c.ownMetadata(at.box.ID, values)
	if at.account.ID() == c.account.ID() {
		return c.account.SetAnnotations(ctx, at.box.ID, values...)
	}
	var shared, private []store.Annotation
	for _, a := range values {
		if store.IsPrivate(a.Entry) {
			private = append(private, a)
		} else {
			shared = append(shared, a)
		}
	}
	if err := at.account.SetAnnotations(ctx, at.box.ID, shared...); err != nil {
		return err
	}
	return c.account.SetAnnotations(ctx, at.box.ID, private...)
}

func (c *conn) checkMetadata(at target, values []store.Annotation) error {
	limit := cmp.Or(c.srv.MaxMetadata, DefaultMaxMetadata)
	for _, a := range values {
		if _, err := store.CanonicalEntry(a.Entry); err != nil {
			return refusal{code: "CANNOT", text: "A root has no value."}
		}
		if len(a.Value) > limit {
			return refusal{code: fmt.Sprintf("METADATA MAXSIZE %d", limit), text: "The value is too long."} // RFC 5464 §4.3
		}
		for _, k := range metadataChecks {
			if a.Entry == k.entry || store.BelowEntry(a.Entry, k.entry) {
				if err := k.check(c, at, a); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// checkAdmin refuses to set who the administrator is; of a mailbox, the entry is one like others.
func (c *conn) checkAdmin(at target, a store.Annotation) error {
	if at.box.ID == 0 && a.Entry == adminEntry {
		return store.ErrNoPermission
	}
	return nil
}

// checkSpecialUse refuses the entry where it has no meaning: at the server, and at others' mailboxes, whose uses are what
// their owners use them for.
func (c *conn) checkSpecialUse(at target, a store.Annotation) error {
	if a.Entry == specialUseEntry && (at.box.ID == 0 || at.account.ID() != c.account.ID()) {
		return errOwnUse
	}
	return nil
}

var errOwnUse = refusal{code: "CANNOT", text: "Only a mailbox of your own has a special use."}
