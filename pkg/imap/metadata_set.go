package imap

import (
	"cmp"
	"context"
	"fmt"
	"slices"

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
	{store.SpecialUseEntry, (*conn).checkSpecialUse},
}

// setMetadata sets all or nothing. Shared entries are the mailbox's owner's, private ones this user's.
func (c *conn) setMetadata(ctx context.Context, r setMetadataRequest) error {
	at, err := c.annotated(ctx, r.mailbox)
	if err != nil {
		return err
	}
	if err := c.checkMetadata(at, r.values); err != nil {
		return err
	}
	c.ownMetadata(at.box.ID, r.values)
	return c.account.SetAnnotations(ctx, store.Place{Account: at.account.ID(), Mailbox: at.box.ID}, r.values...)
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
// their owners use them for. It is also refused where there are no special uses.
func (c *conn) checkSpecialUse(at target, a store.Annotation) error {
	has := at.box.ID != 0 && at.account.ID() == c.account.ID() && c.offers(imap.CapSpecialUse)
	if a.Entry == store.SpecialUseEntry && !has {
		return errOwnUse
	}
	return nil
}

var errOwnUse = refusal{code: "CANNOT", text: "Only a mailbox of your own has a special use."}
