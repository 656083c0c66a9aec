package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// The depths are store.ThisEntry, OneBelow and AllBelow.
const sqlAnnotations = `
select mailbox_id, entry, size, case when $5::bigint < 0 or size <= $5 then data end
from annotations a
where account_id = $1
  and data is not null
  and ($2::bigint[] is null or mailbox_id = any($2))
  and ($3::text[] is null or entry = any($3) or $4::int > 0 and exists (
    select
    from unnest($3) e
    where starts_with(a.entry, e || '/')
      and ($4 > 1 or strpos(substr(a.entry, length(e) + 2), '/') = 0)
  ))
order by mailbox_id, entry collate "C"`

// Annotations implements store.Account.
func (a *account) Annotations(ctx context.Context, q store.AnnotationQuery) ([]store.Annotation, error) {
	key, err := a.s.key(ctx, a.id)
	if err != nil {
		return nil, failed("annotations", err)
	}
	rows, err := a.s.pool.Query(ctx, sqlAnnotations, a.id, q.Boxes, q.Entries, int(q.Depth), q.MaxSize)
	if err != nil {
		return nil, failed("annotations", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f store.Annotation, err error) {
		return f, row.Scan(&f.Box, &f.Entry, &f.Size, &f.Value)
	})
	if err != nil {
		return nil, failed("annotations", err)
	}
	for i := range found {
		f := &found[i]
		if f.Value == nil {
			continue
		}
		if f.Value, err = key.openDerived(annotationContext(f.Box, f.Entry), f.Value); err != nil {
			return nil, fmt.Errorf("annotation %q of mailbox %d of account %d: %w", f.Entry, f.Box, a.id, err)
		}
		f.Value = append([]byte{}, f.Value...) // an empty value is one too
	}
	return found, nil
}

// annotationContext binds a sealed value to its place.
func annotationContext(box store.MailboxID, entry string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("postern annotation:"), uint64(box)), entry...)
}

const (
	sqlAnnotatedNext = `
update accounts
set annotated = annotated + 1
where account_id = $1
returning annotated`

	sqlAnnotate = `
insert into annotations (account_id, mailbox_id, entry, seq, size, data)
select $1, $2, t.entry, $3, t.size, t.data
from unnest($4::text[], $5::integer[], $6::bytea[]) t(entry, size, data)
where t.data is not null or exists (
  select
  from annotations x
  where x.account_id = $1 and x.mailbox_id = $2 and x.entry = t.entry and x.data is not null
)
on conflict (account_id, mailbox_id, entry) do update
set seq = excluded.seq, size = excluded.size, data = excluded.data`

	sqlAnnotationUse = `
select count(*) filter (where mailbox_id = $2), count(*), coalesce(sum(size), 0)
from annotations
where account_id = $1 and data is not null`

	sqlForgetAnnotations = `
delete from annotations
where account_id = $1 and data is null and seq <= (
  select seq
  from annotations
  where account_id = $1 and data is null
  order by seq desc
  offset $2
  limit 1
)`

	// The row of SpecialUseEntry has no value: it tells of the change only.
	sqlAnnounceUse = `
insert into annotations (account_id, mailbox_id, entry, seq)
values ($1, $2, $3, $4)
on conflict (account_id, mailbox_id, entry) do update
set seq = excluded.seq`

	sqlOtherUse = `
select name
from mailboxes
where account_id = $1 and mailbox_id <> $2 and special_use & $3 <> 0
limit 1`

	sqlSetUse = `
update mailboxes
set special_use = $3
where account_id = $1 and mailbox_id = $2`
)

// SetAnnotations implements store.Account. The rows of both accounts are locked, in their order: a mailbox cannot go
// meanwhile and leave behind what is set of it.
func (a *account) SetAnnotations(ctx context.Context, at store.Place, set ...store.Annotation) error {
	if err := store.CheckAnnotations(a.id, at, set); err != nil {
		return fmt.Errorf("set annotations: %w", err)
	}
	if len(set) == 0 {
		return nil
	}
	parts, err := a.annotationParts(ctx, at, set)
	if err != nil {
		return failed("set annotations", err)
	}
	err = a.s.transact(ctx, func(tx pgx.Tx) error {
		for _, p := range parts {
			if err := p.lockTree(ctx, tx); err != nil {
				return err
			}
		}
		if at.Mailbox != 0 {
			if err := (&account{s: a.s, id: at.Account}).exists(ctx, tx, at.Mailbox); err != nil {
				return fmt.Errorf("mailbox %d: %w", at.Mailbox, err)
			}
		}
		for _, p := range parts {
			if err := p.annotate(ctx, tx, at.Mailbox); err != nil {
				return err
			}
		}
		return nil
	})
	for _, p := range parts {
		a.s.doubt(p.id, err)
	}
	if err != nil {
		return failed("set annotations", err)
	}
	for _, p := range parts {
		if p.changes() {
			a.s.published(p.id)
		}
	}
	return nil
}

// annotationPart is what one account keeps of what is set; of the owner of the mailbox it may be nothing.
type annotationPart struct {
	*account
	annotationRows
	use *store.Annotation // SpecialUseEntry
}

func (p *annotationPart) changes() bool { return len(p.entries) > 0 || p.use != nil }

// annotationParts says who keeps what, in the order of accounts.
func (a *account) annotationParts(ctx context.Context, at store.Place, set []store.Annotation) ([]*annotationPart, error) {
	mine := &annotationPart{account: a}
	owner, parts := mine, []*annotationPart{mine}
	if at.Mailbox != 0 && at.Account != a.id {
		owner = &annotationPart{account: &account{s: a.s, id: at.Account}}
		parts = append(parts, owner)
		slices.SortFunc(parts, func(x, y *annotationPart) int { return cmp.Compare(x.id, y.id) })
	}
	for i, s := range set {
		keeper := owner
		if store.IsPrivate(s.Entry) {
			keeper = mine
		}
		if s.Entry == store.SpecialUseEntry {
			keeper.use = &set[i]
		} else if err := keeper.seal(ctx, at.Mailbox, s); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// annotate sets one account's part. Its tree must be locked.
func (p *annotationPart) annotate(ctx context.Context, tx pgx.Tx, box store.MailboxID) error {
	if !p.changes() {
		return nil
	}
	var seq int64
	if err := tx.QueryRow(ctx, sqlAnnotatedNext, p.id).Scan(&seq); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, sqlAnnotate, p.id, box, seq, p.entries, p.sizes, p.values); err != nil {
		return err
	}
	if p.use != nil {
		if err := p.setUse(ctx, tx, box, p.use.Value); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlAnnounceUse, p.id, box, store.SpecialUseEntry, seq); err != nil {
			return err
		}
	}
	if p.removes || p.use != nil {
		if _, err := tx.Exec(ctx, sqlForgetAnnotations, p.id, store.AnnotationsGone); err != nil {
			return err
		}
	}
	var use store.AnnotationUse
	if err := tx.QueryRow(ctx, sqlAnnotationUse, p.id, box).Scan(&use.Box, &use.All, &use.Octets); err != nil {
		return err
	}
	return use.Check()
}

// setUse gives a mailbox its special uses.
func (a *account) setUse(ctx context.Context, tx pgx.Tx, box store.MailboxID, value []byte) error {
	use, err := store.ParseUse(value)
	if err != nil {
		return err
	}
	bits := bitsOfUse(use)
	var other string
	err = tx.QueryRow(ctx, sqlOtherUse, a.id, box, bits).Scan(&other)
	if err == nil {
		return fmt.Errorf("mailbox %d: %w by %q", box, store.ErrUse, other)
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	_, err = tx.Exec(ctx, sqlSetUse, a.id, box, bits)
	return err
}

// annotationRows are annotations as sqlAnnotate takes them.
type annotationRows struct {
	entries []string
	sizes   []int32
	values  [][]byte
	removes bool
}

// seal adds an annotation, whose value is sealed with the key of its account.
func (p *annotationPart) seal(ctx context.Context, box store.MailboxID, s store.Annotation) error {
	var sealed []byte
	if s.Value == nil {
		p.removes = true
	} else {
		key, err := p.s.key(ctx, p.id)
		if err != nil {
			return err
		}
		if sealed, err = key.sealDerived(annotationContext(box, s.Entry), s.Value); err != nil {
			return err
		}
	}
	p.entries = append(p.entries, s.Entry)
	p.sizes = append(p.sizes, int32(len(s.Value)))
	p.values = append(p.values, sealed)
	return nil
}

const sqlAnnotationChanges = `
select a.annotated, x.mailbox_id, x.entry, x.size
from accounts a
left join annotations x on $2::bigint >= 0 and x.account_id = a.account_id and x.seq > $2
where a.account_id = $1
order by x.seq, x.mailbox_id, x.entry collate "C"`

// AnnotationChanges implements store.Account.
func (a *account) AnnotationChanges(ctx context.Context, since int64) (changed []store.Annotation, until int64, err error) {
	rows, err := a.s.pool.Query(ctx, sqlAnnotationChanges, a.id, since)
	if err != nil {
		return nil, 0, failed("changes of annotations", err)
	}
	var box *store.MailboxID
	var entry *string
	var size *int
	_, err = pgx.ForEachRow(rows, []any{&until, &box, &entry, &size}, func() error {
		if entry != nil {
			changed = append(changed, store.Annotation{Box: *box, Entry: *entry, Size: *size})
		}
		return nil
	})
	return changed, until, failed("changes of annotations", err)
}
