// QUOTA and QUOTASET (RFC 9208).

package imap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// storageUnit is what STORAGE is counted in, in octets (RFC 9208 §5.1).
const storageUnit = 1024

// softQuota is from which part of a limit on, in percent, a client is warned.
const softQuota = 90

// resource is something there is a limit for.
type resource struct {
	name  imap.QuotaResourceType
	use   func(*store.Quota) (used, limit int64) // limit 0 means none
	limit func(*store.Limits, int64)
}

// resources are what limits there can be (RFC 9208 §5).
var resources = []resource{
	{
		imap.QuotaResourceStorage,
		func(q *store.Quota) (int64, int64) { return units(q.Used), units(q.Limit) },
		func(l *store.Limits, n int64) { l.Octets = n * storageUnit },
	},
	{
		imap.QuotaResourceMessage,
		func(q *store.Quota) (int64, int64) { return q.Messages, q.MessageLimit },
		func(l *store.Limits, n int64) { l.Messages = n },
	},
	{
		imap.QuotaResourceMailbox,
		func(q *store.Quota) (int64, int64) { return q.Mailboxes, q.MailboxLimit },
		func(l *store.Limits, n int64) { l.Mailboxes = n },
	},
}

func units(octets int64) int64 { return (octets + storageUnit - 1) / storageUnit }

// maxLimit keeps a limit in octets within 64 bits.
const maxLimit = 1 << 50

// parseRoot reads the name of a quota root, which is spelled as a mailbox: that of others' begins the names of mailboxes.
func parseRoot(d *wire.Decoder, _ flags) (string, error) {
	root := d.SP().Mailbox()
	return root, d.End()
}

type setQuotaRequest struct {
	root   string
	limits store.Limits
	others []string // resources there are no limits for
}

// parseSetQuota reads a root and the limits that replace those it has (RFC 9208 §4.1.3).
func parseSetQuota(d *wire.Decoder, _ flags) (setQuotaRequest, error) {
	r := setQuotaRequest{root: d.SP().Mailbox()}
	n := 0
	d.SP().List(func() {
		name := d.Keyword()
		limit := d.SP().Number64()
		i := slices.IndexFunc(resources, func(res resource) bool { return string(res.name) == name })
		switch n++; {
		case n > 16:
			d.Fail("at most 16 resources")
		case i < 0:
			r.others = append(r.others, name)
		case limit > maxLimit:
			d.Fail("a limit of at most %d", int64(maxLimit))
		default:
			resources[i].limit(&r.limits, int64(limit))
		}
	})
	return r, d.End()
}

// The root of a user's own mailboxes is "", that of somebody else's is what their names begin with.
func (l *location) root() string { return strings.TrimSuffix(l.prefix, store.Delimiter) }

// getQuotaRoot answers GETQUOTAROOT: whose limits count for a mailbox (RFC 9208 §4.1.2).
func (c *conn) getQuotaRoot(ctx context.Context, name string) error {
	at, err := c.mailbox(ctx, name, store.RightRead)
	if err != nil {
		return err
	}
	c.enc.Atom("* QUOTAROOT ").Mailbox(at.title(at.box.Name)).SP().Mailbox(at.root()).CRLF()
	return c.writeQuota(ctx, at.root(), at.account)
}

// getQuota answers GETQUOTA (RFC 9208 §4.1.1).
func (c *conn) getQuota(ctx context.Context, root string) error {
	account, err := c.quotaOf(ctx, root)
	if err != nil {
		return err
	}
	return c.writeQuota(ctx, root, account)
}

// errNoRoot is the answer for a root that is not there, and for one that this user may not know of.
var errNoRoot = refusal{code: "NONEXISTENT", text: "There is no such quota root."}

// quotaOf finds the account that a quota root stands for: one's own, that of somebody who lets one read a mailbox, for an
// administrator any.
func (c *conn) quotaOf(ctx context.Context, root string) (store.Account, error) {
	if root == "" {
		return c.account, nil
	}
	p, ok := otherPath(root + store.Delimiter + store.Inbox)
	if !ok || p.owner == "" {
		return nil, errNoRoot
	}
	if c.administers() {
		return c.srv.find(ctx, p.owner)
	}
	if !c.offers(imap.CapACL) {
		return nil, errNoRoot
	}
	shared, err := c.account.SharedMailboxes(ctx, p.owner)
	if err != nil {
		return nil, err
	}
	for _, s := range shared {
		if s.Rights.Has(store.RightRead) {
			return c.srv.Accounts.Account(ctx, s.Owner)
		}
	}
	return nil, errNoRoot
}

// find returns an account by its own address.
func (s *Server) find(ctx context.Context, address string) (store.Account, error) {
	route, err := s.Accounts.Route(ctx, address)
	if err == nil {
		for _, t := range route.Targets {
			if t.Address == address {
				return s.Accounts.Account(ctx, t.Account)
			}
		}
	}
	if err == nil || errors.Is(err, store.ErrNotFound) {
		return nil, errNoRoot
	}
	return nil, fmt.Errorf("find account: %w", err)
}

// administers reports whether this user may set limits.
func (c *conn) administers() bool {
	return slices.ContainsFunc(c.srv.Admins, func(admin string) bool {
		a, ok := store.ParseAddress(admin)
		return ok && a.String() == c.account.Address()
	})
}

// setQuota answers SETQUOTA, for administrators.
func (c *conn) setQuota(ctx context.Context, r setQuotaRequest) error {
	if !c.administers() {
		return refusal{code: "NOPERM", text: "Only an administrator sets limits."}
	}
	account, err := c.quotaOf(ctx, r.root)
	if err != nil {
		return err
	}
	if len(r.others) > 0 {
		return refusal{code: "CANNOT", text: "There are limits for STORAGE, MESSAGE and MAILBOX alone."}
	}
	if err := c.srv.Accounts.SetLimits(ctx, account.ID(), r.limits); err != nil {
		return err
	}
	return c.writeQuota(ctx, r.root, account)
}

// writeQuota writes QUOTA with those resources that are limited (RFC 9208 §4.2.1).
func (c *conn) writeQuota(ctx context.Context, root string, account store.Account) error {
	q, err := account.Quota(ctx)
	if err != nil {
		return err
	}
	c.enc.Atom("* QUOTA ").Mailbox(root).SP().Byte('(')
	sep := ""
	for _, r := range resources {
		if used, limit := r.use(&q); limit > 0 {
			c.enc.Atom(sep).Atom(string(r.name)).SP().Number64(used).SP().Number64(limit)
			sep = " "
		}
	}
	c.enc.Byte(')').CRLF()
	return nil
}

// warnQuota tells a client that has put something into an account, once a session, that little room is left there
// (RFC 9208 §4.3.1). Of another's account only who may ask is told, see getQuotaRoot. It is a courtesy: what keeps us from it
// is not the client's concern.
func (c *conn) warnQuota(ctx context.Context, at target) {
	if c.warned || !c.offers(imap.CapQuota) || !at.rights.Has(store.RightRead) {
		return
	}
	q, err := at.account.Quota(ctx)
	if err != nil {
		return
	}
	for _, r := range resources {
		if used, limit := r.use(&q); limit > 0 && used >= limit/100*softQuota+limit%100*softQuota/100 && used > 0 {
			c.warned = true
			c.untagged("NO", "OVERQUOTA", fmt.Sprintf("%d of %d of the quota for %s is used.", used, limit, r.name))
			return
		}
	}
}

// deletedStorage is the status item for what EXPUNGE would free (RFC 9208 §4.2.3).
const deletedStorage = "DELETED-STORAGE"

// measure finds out what EXPUNGE would free in a mailbox whose STATUS is about to be told, if that is asked for. The counters
// do not say.
func (c *conn) measure(ctx context.Context, t *target, items []string) error {
	if !slices.Contains(items, deletedStorage) {
		return nil
	}
	var octets int64
	if t.box.Deleted > 0 {
		_, snap, err := t.open(ctx)
		if err != nil {
			return fmt.Errorf("octets of deleted messages: %w", err)
		}
		for i := range snap.Len() {
			if snap.Flags(i).System&store.FlagDeleted != 0 {
				octets += snap.Size(i)
			}
		}
	}
	c.freeable = map[store.MailboxID]int64{t.box.ID: octets}
	return nil
}
