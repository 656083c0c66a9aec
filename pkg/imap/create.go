// CREATE (RFC 3501 §6.3.3; CREATE-SPECIAL-USE, RFC 6154 §3).

package imap

import (
	"context"
	"slices"
	"strings"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

type createRequest struct {
	mailbox string
	use     []imap.MailboxAttr
}

// uses are the special uses a mailbox can be given. \All and \Flagged stand for views of other mailboxes, which there are
// none of.
var uses = []imap.MailboxAttr{
	imap.MailboxAttrArchive, imap.MailboxAttrDrafts, imap.MailboxAttrJunk, imap.MailboxAttrSent, imap.MailboxAttrTrash,
}

// maxUses bounds the list of USE.
const maxUses = 16

func parseCreate(d *wire.Decoder, _ flags) (createRequest, error) {
	r := createRequest{mailbox: d.SP().Mailbox()}
	if !d.TrySP() {
		return r, d.End()
	}
	if d.Expect('('); d.Keyword() != "USE" || !d.Knows(imap.CapCreateSpecialUse) {
		d.Fail("USE before this")
	}
	d.SP().List(func() {
		r.use = append(r.use, imap.MailboxAttr(`\`+d.Expect('\\').Atom()))
		if len(r.use) > maxUses {
			d.Fail("at most %d uses", maxUses)
		}
	})
	d.Expect(')')
	return r, d.End()
}

func (c *conn) create(ctx context.Context, r createRequest) error {
	var use []imap.MailboxAttr
	for _, want := range r.use {
		i := slices.IndexFunc(uses, func(u imap.MailboxAttr) bool { return strings.EqualFold(string(u), string(want)) })
		if i < 0 {
			return store.ErrUse
		}
		if !slices.Contains(use, uses[i]) {
			use = append(use, uses[i])
		}
	}
	at, err := c.locateNew(ctx, r.mailbox)
	if err != nil {
		return err
	}
	if len(use) > 0 && !at.own() { // clients of the owner's would put his mail there
		return errOwnUse
	}
	c.owns(at.title(at.name))
	box, err := at.account.Create(ctx, at.name, use...)
	if err != nil {
		return err
	}
	c.tellNewName(at.title(box.Name), r.mailbox)
	if c.offers(imap.CapObjectID) {
		c.answer(mailboxID(box.ID), "Created.")
	}
	return nil
}
