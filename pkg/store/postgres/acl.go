package postgres

import (
	"context"
	"fmt"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// Address implements store.Sharing.
func (a *account) Address() string { return a.address }

const sqlACL = `
select identifier, negative, rights
from acl
where account_id = $1 and mailbox_id = $2
order by identifier collate "C", negative desc`

// ACL implements store.Sharing.
func (a *account) ACL(ctx context.Context, box store.MailboxID) ([]store.ACLEntry, error) {
	if err := a.exists(ctx, a.s.pool, box); err != nil {
		return nil, failed("read rights", err)
	}
	rows, err := a.s.pool.Query(ctx, sqlACL, a.id, box)
	if err != nil {
		return nil, failed("read rights", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e store.ACLEntry, err error) {
		var rights int16
		err = row.Scan(&e.Identifier, &e.Negative, &rights)
		e.Rights = store.Rights(rights)
		return e, err
	})
	return list, failed("read rights", err)
}

const sqlMailboxExists = `
select mailbox_id
from mailboxes
where account_id = $1 and mailbox_id = $2`

func (a *account) exists(ctx context.Context, q querier, box store.MailboxID) error {
	return q.QueryRow(ctx, sqlMailboxExists, a.id, box).Scan(&box)
}

const (
	sqlSetRights = `
insert into acl (account_id, mailbox_id, identifier, negative, rights)
values ($1, $2, $3, $4, $6::smallint)
on conflict (account_id, mailbox_id, identifier, negative) do update set rights = acl.rights & $5::smallint | excluded.rights`

	sqlDropRights = `
delete from acl
where account_id = $1 and mailbox_id = $2 and rights = 0`

	sqlCountRights = `
select count(*)
from acl
where account_id = $1 and mailbox_id = $2`
)

// SetACL implements store.Sharing.
func (a *account) SetACL(ctx context.Context, box store.MailboxID, ch store.ACLChange) error {
	keep, set := int16(0), int16(ch.Rights)
	switch ch.Op {
	case imap.RightModificationAdd:
		keep = -1
	case imap.RightModificationRemove:
		keep, set = ^set, 0
	case imap.RightModificationReplace:
	}
	return a.writeTree(ctx, "change rights", func(tx pgx.Tx) error {
		if err := a.exists(ctx, tx, box); err != nil {
			return err
		}
		var n int
		var b pgx.Batch
		b.Queue(sqlSetRights, a.id, box, ch.Identifier, ch.Negative, keep, set)
		b.Queue(sqlDropRights, a.id, box)
		b.Queue(sqlCountRights, a.id, box).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return err
		}
		if n > store.MaxACL {
			return fmt.Errorf("mailbox %d: %w", box, store.ErrACLFull)
		}
		return nil
	})
}

// The nearest mailbox above the new ones, which lie one below the other, is the last that was there before them.
const sqlInheritRights = `
insert into acl (account_id, mailbox_id, identifier, negative, rights)
select e.account_id, n.id, e.identifier, e.negative, e.rights
from mailboxes m
join acl e using (account_id, mailbox_id)
cross join unnest($3::bigint[]) n(id)
where m.account_id = $1 and m.name = $2`

// inheritRights gives new mailboxes the list of rights of the one above the first.
func (a *account) inheritRights(ctx context.Context, tx pgx.Tx, ids []int64, names []string) error {
	parents := store.Parents(names[0])
	if len(parents) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, sqlInheritRights, a.id, parents[len(parents)-1], ids)
	return err
}

// grantedRights is what the rows e of acl grant, without what they take away.
const grantedRights = `(coalesce(bit_or(e.rights) filter (where not e.negative), 0::smallint)
    & ~coalesce(bit_or(e.rights) filter (where e.negative), 0::smallint))`

const sqlShared = `
select m.account_id, m.name, ` + grantedRights + `
from accounts o
join mailboxes m using (account_id)
join accounts c on c.account_id = $4 and c.state < 2
left join acl e on e.account_id = m.account_id and e.mailbox_id = m.mailbox_id and e.identifier = any($3)
where o.address = $1 and o.account_id <> $4 and o.state < 2 and m.name = any($2)
group by m.account_id, m.name
order by array_position($2, m.name)
limit 1`

// Shared implements store.Sharing. What the caller may not know of costs the one statement, as does what is not there.
func (a *account) Shared(ctx context.Context, owner string, names ...string) (store.Shared, error) {
	var canonical []string
	for _, name := range names {
		if c, err := store.CanonicalName(name); err == nil {
			canonical = append(canonical, c)
		}
	}
	shared := store.Shared{Address: owner}
	var name string
	var rights int16
	err := a.s.pool.QueryRow(ctx, sqlShared, owner, canonical, store.Identifiers(a.address), a.id).
		Scan(&shared.Owner, &name, &rights)
	shared.Rights = store.Rights(rights)
	if err == nil && rights == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Shared{}, failed("find shared mailbox", err)
	}
	shared.Mailbox, err = (&account{s: a.s, id: shared.Owner}).Mailbox(ctx, name)
	return shared, err
}

const sqlSharedMailboxes = `
with granted as (
  select e.account_id, e.mailbox_id, ` + grantedRights + ` as rights
  from acl e
  where e.identifier = any($1) and e.account_id <> $2 and exists (select from accounts where account_id = $2 and state < 2)
    and ($3 = '' or e.account_id = (select account_id from accounts where address = $3))
  group by e.account_id, e.mailbox_id
)
select o.account_id, o.address, g.rights, ` + mailboxColumns + `
from granted g
join accounts o on o.account_id = g.account_id and o.state < 2
join mailboxes m on m.account_id = g.account_id and m.mailbox_id = g.mailbox_id
join mailbox_state s on s.account_id = m.account_id and s.mailbox_id = m.mailbox_id
where g.rights & 1 <> 0 and ($4::boolean or m.name = any($5::text[]) or $8::boolean and strpos(m.name, '/') = 0 or exists (
  select
  from unnest($6::text[], $7::boolean[]) t(top, level)
  where starts_with(m.name, t.top || '/') and not (t.level and strpos(substr(m.name, length(t.top) + 2), '/') > 0)
))
order by o.address collate "C", m.name collate "C"`

// SharedMailboxes implements store.Sharing.
func (a *account) SharedMailboxes(ctx context.Context, owner string, in ...store.Branch) ([]store.Shared, error) {
	b := branchesOf(in)
	rows, err := a.s.pool.Query(ctx, sqlSharedMailboxes, store.Identifiers(a.address), a.id, owner, b.all, b.names, b.tops, b.levels, b.root)
	if err != nil {
		return nil, failed("list shared mailboxes", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (shared store.Shared, err error) {
		var rights int16
		shared.Mailbox, err = scanMailbox(row, &shared.Owner, &shared.Address, &rights)
		shared.Rights = store.Rights(rights)
		return shared, err
	})
	return list, failed("list shared mailboxes", err)
}

const sqlSharedRights = `
select ` + grantedRights + `
from mailboxes m
join accounts o on o.account_id = m.account_id and o.state < 2
join accounts c on c.account_id = $4 and c.state < 2
left join acl e on e.account_id = m.account_id and e.mailbox_id = m.mailbox_id and e.identifier = any($3)
where m.account_id = $1 and m.mailbox_id = $2
group by m.mailbox_id`

// SharedRights implements store.Sharing.
func (a *account) SharedRights(ctx context.Context, at store.Place) (store.Rights, error) {
	var rights int16
	err := a.s.pool.QueryRow(ctx, sqlSharedRights, at.Account, at.Mailbox, store.Identifiers(a.address), a.id).Scan(&rights)
	return store.Rights(rights), failed("read rights", err)
}

// deleteRightsOf ends what an account was granted: another that gets its address one day is somebody else.
const sqlDeleteRightsOf = `
delete from acl
where identifier = (select address from accounts where account_id = $1)`
