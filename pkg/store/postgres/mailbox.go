package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// useBits are the special uses as mailboxes.special_use keeps them (RFC 6154 §2). \All and \Flagged have bits too,
// though store.SpecialUses does not offer them.
var useBits = []struct {
	bit int16
	use imap.MailboxAttr
}{
	{1, imap.MailboxAttrAll},
	{2, imap.MailboxAttrArchive},
	{4, imap.MailboxAttrDrafts},
	{8, imap.MailboxAttrFlagged},
	{16, imap.MailboxAttrJunk},
	{32, imap.MailboxAttrSent},
	{64, imap.MailboxAttrTrash},
	{128, imap.MailboxAttrImportant},
}

func bitsOfUse(use []imap.MailboxAttr) (bits int16) {
	for _, u := range useBits {
		if slices.Contains(use, u.use) {
			bits |= u.bit
		}
	}
	return bits
}

func useOfBits(bits int16) (use []imap.MailboxAttr) {
	for _, u := range useBits {
		if bits&u.bit != 0 {
			use = append(use, u.use)
		}
	}
	return use
}

// mailboxColumns are what scanMailbox reads of m and s, which are rows of mailboxes and mailbox_state. \Recent is counted
// only while that is cheap: beyond a thousand, no one has looked for long and the number is an upper bound.
const mailboxColumns = `m.mailbox_id, m.name, m.uidvalidity, m.special_use, s.uidnext, s.modseq, s.n_msgs, s.n_unseen, s.n_deleted, s.bytes,
  case
    when s.recent_uid >= s.uidnext then 0
    when s.uidnext - s.recent_uid > 1000 then least(s.n_msgs, s.uidnext - s.recent_uid)
    else (
      select count(*)
      from messages x
      where x.account_id = m.account_id and x.mailbox_id = m.mailbox_id and x.uid >= s.recent_uid
    )
  end,
  exists (select from subscriptions u where u.account_id = m.account_id and u.name = m.name)`

// selectMailboxes is the beginning of every statement that reads mailboxes of one account, which is $1.
const selectMailboxes = `
select ` + mailboxColumns + `
from mailboxes m
join mailbox_state s using (account_id, mailbox_id)
where m.account_id = $1`

const sqlMailbox = selectMailboxes + ` and m.name = $2`

// scanMailbox reads mailboxColumns, after what stands before them.
func scanMailbox(row pgx.CollectableRow, before ...any) (m store.Mailbox, err error) {
	var use int16
	err = row.Scan(append(before, &m.ID, &m.Name, &m.UIDValidity, &use, &m.UIDNext, &m.ModSeq, &m.Messages, &m.Unseen,
		&m.Deleted, &m.Size, &m.Recent, &m.Subscribed)...)
	m.Use = useOfBits(use)
	return m, err
}

func asMailbox(row pgx.CollectableRow) (store.Mailbox, error) { return scanMailbox(row) }

// Mailbox implements store.Account.
func (a *account) Mailbox(ctx context.Context, name string) (store.Mailbox, error) {
	canonical, err := store.CanonicalName(name)
	if err != nil {
		return store.Mailbox{}, fmt.Errorf("mailbox: %w: %w", store.ErrNotFound, err)
	}
	if box, _, ok := a.remembered(canonical); ok {
		return box, nil
	}
	if err := a.settleRecent(ctx); err != nil {
		return store.Mailbox{}, err
	}
	box, err := a.mailbox(ctx, a.s.pool, canonical)
	return box, failed("mailbox", err)
}

func (a *account) mailbox(ctx context.Context, q querier, name string) (store.Mailbox, error) {
	rows, err := q.Query(ctx, sqlMailbox, a.id, name)
	if err != nil {
		return store.Mailbox{}, err
	}
	return pgx.CollectExactlyOneRow(rows, asMailbox)
}

// Create implements store.Account.
func (a *account) Create(ctx context.Context, name string, use ...imap.MailboxAttr) (box store.Mailbox, err error) {
	name, err = store.NewName(name)
	if err != nil {
		return box, fmt.Errorf("create mailbox: %w", err)
	}
	use, err = store.CanonicalUse(use)
	if err != nil {
		return box, fmt.Errorf("create mailbox: %w", err)
	}
	err = a.writeTree(ctx, "create mailbox", func(tx pgx.Tx) (err error) {
		if err = a.create(ctx, tx, name, bitsOfUse(use)); err != nil {
			return err
		}
		box, err = a.mailbox(ctx, tx, name)
		return err
	})
	return box, err
}

// Without a special use the second half is not run.
const sqlTaken = `
select name, special_use
from mailboxes
where account_id = $1 and name = any($2)
union all
select name, special_use
from mailboxes
where account_id = $1 and $3::smallint <> 0 and special_use & $3 <> 0`

// create makes a mailbox and its missing parents. The tree must be locked.
func (a *account) create(ctx context.Context, tx pgx.Tx, name string, use int16) error {
	names := append(store.Parents(name), name)
	rows, err := tx.Query(ctx, sqlTaken, a.id, names, use)
	if err != nil {
		return err
	}
	var taken string
	var itsUse int16
	usedBy := ""
	_, err = pgx.ForEachRow(rows, []any{&taken, &itsUse}, func() error {
		names = slices.DeleteFunc(names, func(n string) bool { return n == taken })
		if itsUse&use != 0 {
			usedBy = taken
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !slices.Contains(names, name):
		return fmt.Errorf("mailbox %q: %w", name, store.ErrExists)
	case usedBy != "":
		return fmt.Errorf("mailbox %q: %w by %q", name, store.ErrUse, usedBy)
	}
	if err := a.mayAdd(ctx, tx, len(names)); err != nil {
		return err
	}
	uses := make([]int16, len(names))
	uses[len(uses)-1] = use
	return a.insertMailboxes(ctx, tx, names, uses)
}

// UIDVALIDITYs only grow in an account's life: a mailbox deleted and made again within the second is told from the old
// one (RFC 3501 §2.3.1.1).
const sqlInsertMailboxes = `
with a as (
  update accounts
  set last_validity = greatest(last_validity, extract(epoch from now())::bigint) + cardinality($2::bigint[])
  where account_id = $1
  returning last_validity - cardinality($2::bigint[]) as validity
), m as (
  insert into mailboxes (account_id, mailbox_id, name, uidvalidity, special_use)
  select $1, t.id, t.name, a.validity + t.nth, t.use
  from a, unnest($2::bigint[], $3::text[], $4::smallint[]) with ordinality t(id, name, use, nth)
  returning mailbox_id
)
insert into mailbox_state (account_id, mailbox_id)
select $1, mailbox_id
from m`

const sqlCountMailboxes = `
select count(*)
from mailboxes
where account_id = $1`

func (a *account) insertMailboxes(ctx context.Context, tx pgx.Tx, names []string, uses []int16) error {
	var n int
	if err := tx.QueryRow(ctx, sqlCountMailboxes, a.id).Scan(&n); err != nil {
		return err
	}
	if n+len(names) > a.s.opts.MaxMailboxes {
		return fmt.Errorf("%d mailboxes and %d more: %w", n, len(names), store.ErrTooManyMailboxes)
	}
	ids := make([]int64, len(names))
	for i := range ids {
		ids[i] = int64(a.s.ids.next()) // of no other account either: a handle cannot reach another's mail by mistake
	}
	if _, err := tx.Exec(ctx, sqlInsertMailboxes, a.id, ids, names, uses); err != nil {
		return err
	}
	return a.inheritRights(ctx, tx, ids, names)
}

// Delete implements store.Account.
func (a *account) Delete(ctx context.Context, name string) error {
	name, err := store.CanonicalName(name)
	if err != nil {
		return fmt.Errorf("delete mailbox: %w: %w", store.ErrNotFound, err)
	}
	if name == store.Inbox {
		return fmt.Errorf("delete mailbox: INBOX: %w", store.ErrName)
	}
	return a.writeTree(ctx, "delete mailbox", func(tx pgx.Tx) error {
		box, err := a.mailbox(ctx, tx, name)
		if err != nil {
			return err
		}
		below, err := a.subtree(ctx, tx, name)
		if err != nil {
			return err
		}
		if len(below) > 1 {
			return fmt.Errorf("mailbox %q: %w", name, store.ErrHasChildren)
		}
		return a.remove(ctx, tx, box.ID)
	})
}

// sqlForget ends a mailbox. Its rows in mailbox_state and mailboxes go last, so that until then it is locked.
var sqlForget = []string{
	`delete from annotations where account_id = $1 and mailbox_id = $2`,
	`delete from annotations where account_id <> $1 and mailbox_id = $2`, // what others have noted of it
	`delete from journal where account_id = $1 and mailbox_id = $2`,
	`delete from mailbox_index where account_id = $1 and mailbox_id = $2`,
	`delete from fts_state where account_id = $1 and mailbox_id = $2`, // before what is written while it is held
	`delete from sort_keys where account_id = $1 and mailbox_id = $2`,
	`update fts_seg set state = 2 where account_id = $1 and mailbox_id = $2`,
	`delete from acl where account_id = $1 and mailbox_id = $2`,
	`delete from mailbox_state where account_id = $1 and mailbox_id = $2`,
	`delete from mailboxes where account_id = $1 and mailbox_id = $2`,
}

// remove expunges a mailbox, so that its messages can be restored, and removes it.
func (a *account) remove(ctx context.Context, tx pgx.Tx, box store.MailboxID) error {
	at, err := a.lock(ctx, tx, []store.MailboxID{box})
	if err != nil {
		return err
	}
	if err := a.expunge(ctx, tx, at[0], allUIDs, store.Actor{}); err != nil {
		return err
	}
	var b pgx.Batch
	for _, sql := range sqlForget {
		b.Queue(sql, a.id, box)
	}
	return tx.SendBatch(ctx, &b).Close()
}

const sqlSubtree = `
select mailbox_id, name
from mailboxes
where account_id = $1 and (name = $2 or starts_with(name, $2 || '/'))
order by mailbox_id`

type namedBox struct {
	ID   int64
	Name string
}

// subtree returns a mailbox and all below it; nothing when there is none.
func (a *account) subtree(ctx context.Context, tx pgx.Tx, name string) ([]namedBox, error) {
	rows, err := tx.Query(ctx, sqlSubtree, a.id, name)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[namedBox])
}

// Rename implements store.Account.
func (a *account) Rename(ctx context.Context, from, to string) error {
	from, err := store.CanonicalName(from)
	if err != nil {
		return fmt.Errorf("rename mailbox: %w: %w", store.ErrNotFound, err)
	}
	err = a.writeTree(ctx, "rename mailbox", func(tx pgx.Tx) error {
		moved, err := a.subtree(ctx, tx, from)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(moved, func(b namedBox) bool { return b.Name == from }) {
			return fmt.Errorf("mailbox %q: %w", from, store.ErrNotFound)
		}
		name, err := store.NewName(to)
		if err != nil {
			return err
		}
		if from == store.Inbox {
			return a.renameInbox(ctx, tx, name)
		}
		return a.rename(ctx, tx, moved, from, name)
	})
	if isDuplicate(err, "mailboxes") {
		return errors.Join(store.ErrExists, err)
	}
	return err
}

const sqlRename = `
update mailboxes m
set name = t.name
from unnest($2::bigint[], $3::text[]) t(id, name)
where m.account_id = $1 and m.mailbox_id = t.id`

// rename renames moved, which is from and what is below it.
func (a *account) rename(ctx context.Context, tx pgx.Tx, moved []namedBox, from, to string) (err error) {
	if err := a.makeRoom(ctx, tx, to); err != nil {
		return err
	}
	if store.Below(to, from) {
		return fmt.Errorf("mailbox %q cannot go below itself: %w", from, store.ErrName)
	}
	ids, names := make([]int64, len(moved)), make([]string, len(moved))
	for i, box := range moved {
		ids[i] = box.ID
		if names[i], err = store.Renamed(box.Name, from, to); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, sqlRename, a.id, ids, names)
	return err
}

// makeRoom makes the missing parents of a name, which must be free.
func (a *account) makeRoom(ctx context.Context, tx pgx.Tx, name string) error {
	if _, err := a.mailbox(ctx, tx, name); err == nil {
		return fmt.Errorf("mailbox %q: %w", name, store.ErrExists)
	} else if !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	parents := store.Parents(name)
	if len(parents) == 0 {
		return nil
	}
	err := a.create(ctx, tx, parents[len(parents)-1], 0)
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	return err
}

// renameInbox moves the messages of INBOX to a new mailbox (RFC 3501 §6.3.5).
func (a *account) renameInbox(ctx context.Context, tx pgx.Tx, to string) error {
	if err := a.create(ctx, tx, to, 0); err != nil {
		return err
	}
	var ids [2]store.MailboxID
	for i, name := range []string{store.Inbox, to} {
		box, err := a.mailbox(ctx, tx, name)
		if err != nil {
			return err
		}
		ids[i] = box.ID
	}
	at, err := a.lock(ctx, tx, ids[:])
	if err != nil {
		return err
	}
	p, data := pipeIn(tx), imap.CopyData{}
	if err := a.transferIn(ctx, p, at, transfer{sql: moveMessages, from: ids[0], to: ids[1], uids: allUIDs}, &data); err != nil {
		return err
	}
	_, err = p.flush(ctx)
	return err
}

const (
	sqlSubscribe = `
insert into subscriptions (account_id, name)
select account_id, $2
from accounts
where account_id = $1 and state < 2 and (select count(*) from subscriptions where account_id = $1) < $3
for share
on conflict do nothing`

	sqlMaySubscribe = `
select count(*) < $3 or count(*) filter (where name = $2) > 0
from subscriptions
where account_id = $1`

	sqlUnsubscribe = `
delete from subscriptions
where account_id = $1 and name = $2`

	sqlSubscriptions = `
select name
from subscriptions
where account_id = $1
order by name collate "C"`
)

// Subscribe implements store.Account.
func (a *account) Subscribe(ctx context.Context, name string, on bool) error {
	name, err := store.CanonicalName(name)
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if on {
		return a.subscribe(ctx, name)
	}
	tag, err := a.s.exec(ctx, sqlUnsubscribe, a.id, name)
	a.s.doubt(a.id, err)
	if err == nil && tag.RowsAffected() > 0 {
		a.s.published(a.id)
	}
	return failed("subscribe", err)
}

// subscribe takes no lock for the sake of the bound: those who subscribe at the same moment may go a little beyond it.
func (a *account) subscribe(ctx context.Context, name string) error {
	most := store.SubscriptionsPerMailbox * a.s.opts.MaxMailboxes
	tag, err := a.s.exec(ctx, sqlSubscribe, a.id, name, most)
	switch {
	case err != nil:
		a.s.doubt(a.id, err)
		return failed("subscribe", err)
	case tag.RowsAffected() > 0:
		a.s.published(a.id)
		return nil
	}
	var may bool
	if err := a.s.pool.QueryRow(ctx, sqlMaySubscribe, a.id, name, most).Scan(&may); err != nil {
		return failed("subscribe", err)
	}
	if !may {
		return fmt.Errorf("subscribe: %d names: %w", most, store.ErrTooManySubscribed)
	}
	return nil
}

// Subscriptions implements store.Account.
func (a *account) Subscriptions(ctx context.Context) ([]string, error) {
	rows, err := a.s.pool.Query(ctx, sqlSubscriptions, a.id)
	if err != nil {
		return nil, failed("subscriptions", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, failed("subscriptions", err)
}
