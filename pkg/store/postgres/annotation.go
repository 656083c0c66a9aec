package postgres

import (
	"context"
	"encoding/binary"
	"fmt"

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

	sqlHasMailbox = `
select exists (select from mailboxes where account_id = $1 and mailbox_id = $2)`
)

// SetAnnotations implements store.Account.
func (a *account) SetAnnotations(ctx context.Context, box store.MailboxID, set ...store.Annotation) error {
	if err := store.CheckAnnotations(set); err != nil {
		return fmt.Errorf("set annotations: %w", err)
	}
	if len(set) == 0 {
		return nil
	}
	rows, err := a.sealAnnotations(ctx, box, set)
	if err != nil {
		return failed("set annotations", err)
	}
	return a.writeTree(ctx, "set annotations", func(tx pgx.Tx) error {
		if err := a.mayAnnotate(ctx, tx, box, set); err != nil {
			return err
		}
		var seq int64
		if err := tx.QueryRow(ctx, sqlAnnotatedNext, a.id).Scan(&seq); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlAnnotate, a.id, box, seq, rows.entries, rows.sizes, rows.values); err != nil {
			return err
		}
		if rows.removes {
			if _, err := tx.Exec(ctx, sqlForgetAnnotations, a.id, store.AnnotationsGone); err != nil {
				return err
			}
		}
		var use store.AnnotationUse
		if err := tx.QueryRow(ctx, sqlAnnotationUse, a.id, box).Scan(&use.Box, &use.All, &use.Octets); err != nil {
			return err
		}
		return use.Check()
	})
}

// annotationRows are annotations as sqlAnnotate takes them.
type annotationRows struct {
	entries []string
	sizes   []int32
	values  [][]byte
	removes bool
}

func (a *account) sealAnnotations(ctx context.Context, box store.MailboxID, set []store.Annotation) (r annotationRows, err error) {
	key, err := a.s.key(ctx, a.id)
	if err != nil {
		return r, err
	}
	for _, s := range set {
		var sealed []byte
		if s.Value == nil {
			r.removes = true
		} else if sealed, err = key.sealDerived(annotationContext(box, s.Entry), s.Value); err != nil {
			return r, err
		}
		r.entries = append(r.entries, s.Entry)
		r.sizes = append(r.sizes, int32(len(s.Value)))
		r.values = append(r.values, sealed)
	}
	return r, nil
}

// mayAnnotate checks that a mailbox with shared entries is there. The tree must be locked.
func (a *account) mayAnnotate(ctx context.Context, tx pgx.Tx, box store.MailboxID, set []store.Annotation) error {
	shared := false
	for _, s := range set {
		shared = shared || !store.IsPrivate(s.Entry)
	}
	if box == 0 || !shared {
		return nil
	}
	var there bool
	if err := tx.QueryRow(ctx, sqlHasMailbox, a.id, box).Scan(&there); err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("mailbox %d: %w", box, store.ErrNotFound)
	}
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
