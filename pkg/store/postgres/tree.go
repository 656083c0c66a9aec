package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

const (
	sqlMailboxes = selectMailboxes + `
order by m.name collate "C"`

	// The names below a mailbox are those from its own with "/" on up to its own with what comes after "/".
	// As a list, mailboxes are looked up one by one, whatever the planner believes.
	sqlBranches = `
select exists (
    select
    from mailboxes k
    where k.account_id = m.account_id and k.name collate "C" >= m.name || '/' and k.name collate "C" < m.name || '0'
  ), ` + mailboxColumns + `
from mailboxes m
join mailbox_state s using (account_id, mailbox_id)
where m.account_id = $1
  and m.mailbox_id = any(array(
    select mailbox_id
    from mailboxes
    where account_id = $1 and name = any($2::text[])
    union
    select b.mailbox_id
    from unnest($3::text[], $4::boolean[]) t(top, level)
    cross join lateral (
      select mailbox_id
      from mailboxes n
      where n.account_id = $1 and n.name collate "C" >= t.top || '/' and n.name collate "C" < t.top || '0'
        and not (t.level and strpos(substr(n.name, length(t.top) + 2), '/') > 0)
      offset 0
    ) b
    union
    select mailbox_id
    from mailboxes
    where $5::boolean and account_id = $1 and strpos(name, '/') = 0
  ))
order by m.name collate "C"`
)

// branches are some of store.Branch as sqlBranches takes them.
type branches struct {
	names  []string
	tops   []string // below these
	levels []bool   // only one level
	root   bool     // those with none above them
	all    bool
}

func branchesOf(in []store.Branch) branches {
	b := branches{all: len(in) == 0}
	for _, br := range in {
		if br.Top != "" {
			b.names = append(b.names, br.Top)
		}
		switch {
		case br.Depth == store.ThisEntry:
		case br.Top != "":
			b.tops, b.levels = append(b.tops, br.Top), append(b.levels, br.Depth == store.OneBelow)
		case br.Depth == store.OneBelow:
			b.root = true
		default:
			b.all = true
		}
	}
	return b
}

// Mailboxes implements store.Account.
func (a *account) Mailboxes(ctx context.Context, in ...store.Branch) ([]store.Mailbox, error) {
	if err := a.settleRecent(ctx); err != nil {
		return nil, err
	}
	b := branchesOf(in)
	if b.all {
		rows, err := a.s.pool.Query(ctx, sqlMailboxes, a.id)
		if err != nil {
			return nil, failed("list mailboxes", err)
		}
		tree, err := pgx.CollectRows(rows, asMailbox)
		store.MarkParents(tree)
		return tree, failed("list mailboxes", err)
	}
	rows, err := a.s.pool.Query(ctx, sqlBranches, a.id, b.names, b.tops, b.levels, b.root)
	if err != nil {
		return nil, failed("list mailboxes", err)
	}
	boxes, err := pgx.CollectRows(rows, asBranch)
	return boxes, failed("list mailboxes", err)
}

func asBranch(row pgx.CollectableRow) (store.Mailbox, error) {
	var hasChildren bool
	m, err := scanMailbox(row, &hasChildren)
	m.HasChildren = hasChildren
	return m, err
}
