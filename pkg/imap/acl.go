// ACL (RFC 4314): SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS.

package imap

import (
	"context"
	"strings"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// maxIdentifier bounds an identifier, in octets; the longest address has fewer.
const maxIdentifier = 1100

type aclRequest struct {
	mailbox string
	change  store.ACLChange
}

// parseSetACL reads a mailbox, an identifier and the rights, which a "+" or "-" adds or takes away.
func parseSetACL(d *wire.Decoder, _ flags) (aclRequest, error) {
	r := parseIdentified(d)
	letters := d.SP().AString()
	if letters != "" && strings.Contains("+-", letters[:1]) {
		r.change.Op, letters = imap.RightModification(letters[0]), letters[1:]
	}
	rights, err := store.ParseRights(letters)
	if err != nil {
		d.Fail("rights before this") // RFC 4314 §3.1: BAD
	}
	r.change.Rights = rights
	return r, d.End()
}

// parseDeleteACL reads what DELETEACL and LISTRIGHTS take. Without rights the change is to remove the entry.
func parseDeleteACL(d *wire.Decoder, _ flags) (aclRequest, error) {
	r := parseIdentified(d)
	return r, d.End()
}

func parseIdentified(d *wire.Decoder) aclRequest {
	r := aclRequest{mailbox: d.SP().Mailbox()}
	identifier := d.SP().AString()
	if d.Err() != nil {
		return r
	}
	entry, err := store.ParseIdentifier(identifier)
	if err != nil || len(identifier) > maxIdentifier {
		d.Fail("an identifier before this")
	}
	r.change.ACLEntry = entry
	return r
}

// errOwner refuses to change what cannot change.
var errOwner = refusal{code: "CANNOT", text: "The owner of a mailbox has all rights to it."}

var errAnyone = refusal{code: "NOPERM", text: "On this server, anyone can be given the right to post alone."}

// grantable are the rights that an entry of a list can have here.
func (c *conn) grantable(e store.ACLEntry) store.Rights {
	if c.srv.NotWithAnyone && e.Identifier == store.Anyone && !e.Negative {
		return store.RightPost
	}
	return store.AllRights
}

// setACL answers SETACL and DELETEACL. The owner has no entry: what would give him rights changes nothing.
func (c *conn) setACL(ctx context.Context, r aclRequest) error {
	at, err := c.mailbox(ctx, r.mailbox, store.RightAdminister)
	if err != nil {
		return err
	}
	switch ch := r.change; {
	case ch.Op != imap.RightModificationRemove && ch.Rights&^c.grantable(ch.ACLEntry) != 0:
		return errAnyone
	case ch.Identifier != at.account.Address():
		return at.account.SetACL(ctx, at.box.ID, ch)
	}
	if left := r.change.Apply(store.AllRights); r.change.Negative || left != store.AllRights {
		return errOwner
	}
	return nil
}

// getACL answers GETACL, the owner first.
func (c *conn) getACL(ctx context.Context, name string) error {
	at, err := c.mailbox(ctx, name, store.RightAdminister)
	if err != nil {
		return err
	}
	list, err := at.account.ACL(ctx, at.box.ID)
	if err != nil {
		return err
	}
	c.enc.Atom("* ACL ").Mailbox(at.title(at.box.Name))
	c.enc.SP().AString(at.account.Address()).SP().AString(spellRights(store.AllRights))
	for _, entry := range list {
		c.enc.SP().AString(entry.String()).SP().AString(spellRights(entry.Rights))
	}
	c.enc.CRLF()
	return nil
}

// listRights answers LISTRIGHTS: what an identifier is given always, and what it can be given, each right alone.
func (c *conn) listRights(ctx context.Context, r aclRequest) error {
	at, err := c.mailbox(ctx, r.mailbox, store.RightAdminister)
	if err != nil {
		return err
	}
	c.enc.Atom("* LISTRIGHTS ").Mailbox(at.title(at.box.Name)).SP().AString(r.change.String())
	if r.change.Identifier == at.account.Address() {
		c.enc.SP().AString(spellRights(store.AllRights)).CRLF()
		return nil
	}
	c.enc.Atom(` ""`)
	some := spellRights(c.grantable(r.change.ACLEntry))
	for i := range len(some) {
		c.enc.SP().Byte(some[i])
	}
	c.enc.CRLF()
	return nil
}

// myRights answers MYRIGHTS, for those who have any of the rights that show the mailbox to them (RFC 4314 §4).
func (c *conn) myRights(ctx context.Context, name string) error {
	at, err := c.mailbox(ctx, name, 0)
	if err != nil {
		return err
	}
	const enough = store.RightLookup | store.RightRead | store.RightInsert | store.RightCreate | store.RightDelete | store.RightAdminister
	if at.rights&enough == 0 {
		return store.ErrNotFound
	}
	c.enc.Atom("* MYRIGHTS ").Mailbox(at.title(at.box.Name)).SP().AString(spellRights(at.rights)).CRLF()
	return nil
}

// spellRights spells rights for a client. One that knows RFC 2086 alone sees in "c" and "d" that it has some of what they
// stood for (RFC 4314 §2.1.1).
func spellRights(r store.Rights) string {
	s := r.String()
	if r&(store.RightCreate|store.RightDelete) != 0 {
		s += "c"
	}
	if r&(store.RightDeleteMsgs|store.RightExpunge) != 0 {
		s += "d"
	}
	return s
}
