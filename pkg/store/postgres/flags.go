package postgres

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// messages.flags holds the system flags in its low bits and message.Spooled.Padding above; pflags is never told apart.
const (
	systemMask   = 1<<5 - 1
	paddingShift = 16
	paddingMask  = 3 << paddingShift
)

// SetFlags implements store.Account.
func (a *account) SetFlags(ctx context.Context, box store.MailboxID, uids imap.UIDSet, ch store.FlagChange) (store.FlagResult, error) {
	var res store.FlagResult
	err := a.write(ctx, "set flags", []store.MailboxID{box}, func(tx pgx.Tx, at []*lockedBox) (err error) {
		res, err = a.setFlagsIn(ctx, tx, at[0], store.Normalize(uids), ch)
		return err
	})
	if err != nil {
		return store.FlagResult{}, err
	}
	return res, nil
}

func (a *account) setFlagsIn(ctx context.Context, tx pgx.Tx, box *lockedBox, uids imap.UIDSet, ch store.FlagChange) (res store.FlagResult, err error) {
	if res.Keywords, err = a.keywords(ctx, tx, box.id); err != nil {
		return res, err
	}
	bits, added, err := ch.Bits(res.Keywords)
	if err != nil || len(uids) == 0 {
		return res, err
	}
	if res.Modified, err = a.modifiedSince(ctx, tx, box.id, uids, ch.UnchangedSince); err != nil {
		return res, err
	}
	if res.Changed, err = a.setFlags(ctx, tx, box, uids, flagStep{FlagChange: ch, bits: bits}); err != nil || !box.changed {
		return res, err
	}
	res.Keywords, err = a.addKeywords(ctx, tx, box.id, res.Keywords, added)
	return res, err
}

const sqlKeywords = `
select keywords
from mailboxes
where account_id = $1 and mailbox_id = $2`

const sqlAddKeywords = `
update mailboxes
set keywords = keywords || $3::text[]
where account_id = $1 and mailbox_id = $2`

// keywords returns a mailbox's list of keywords. The mailbox must be locked: that is what keeps two writers from giving
// one bit two names.
func (a *account) keywords(ctx context.Context, tx pgx.Tx, box store.MailboxID) ([]imap.Flag, error) {
	var names []string
	err := tx.QueryRow(ctx, sqlKeywords, a.id, box).Scan(&names)
	return asFlags(names), err
}

// addKeywords appends to a mailbox's list and returns what it then is.
func (a *account) addKeywords(ctx context.Context, tx pgx.Tx, box store.MailboxID, known, added []imap.Flag) ([]imap.Flag, error) {
	if len(added) == 0 {
		return known, nil
	}
	_, err := tx.Exec(ctx, sqlAddKeywords, a.id, box, asStrings(added))
	return append(known, added...), err
}

const sqlModified = `
select uid
from messages
where {uids} and modseq > $5
order by uid`

var modified = byUIDs(sqlModified)

// modifiedSince returns the messages that a conditional change must leave alone (RFC 7162 §3.1.3).
func (a *account) modifiedSince(ctx context.Context, tx pgx.Tx, box store.MailboxID, uids imap.UIDSet, at *store.ModSeq) (imap.UIDSet, error) {
	if at == nil {
		return nil, nil
	}
	sql, from, to := modified.on(uids)
	rows, err := tx.Query(ctx, sql, a.id, box, from, to, int64(min(*at, math.MaxInt64)))
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[imap.UID])
	return store.UIDSetOf(found), err
}

// flagStep is a FlagChange with its flags as bits. It becomes flags & keep | set.
type flagStep struct {
	store.FlagChange
	bits store.FlagSet
}

func (f flagStep) masks() (kind int16, keep, set int32, keepKw, setKw int64) {
	set, setKw = int32(f.bits.System), int64(f.bits.Keywords)
	switch f.Op {
	case imap.StoreFlagsAdd:
		return journalAdd, -1, set, -1, setKw
	case imap.StoreFlagsDel:
		return journalRemove, ^set, 0, ^setKw, 0
	default:
		stay := f.Denied.Flags()
		return journalReplace | journalDenied(f.Denied), ^systemMask | int32(stay.System), set, int64(stay.Keywords), setKw
	}
}

// The change, its journal row and the counters, in one statement: nothing of it happens when no message changes.
const sqlSetFlags = `
with u as (
  update messages
  set pflags = flags, flags = flags & $6 | $7, kw = kw & $8 | $9, modseq = $10
  where {uids} and modseq <= $5
    and (flags & $6::int | $7::int <> flags or kw & $8::bigint | $9::bigint <> kw)
  returning uid, pflags, flags, kw
), j as (
  insert into journal (account_id, mailbox_id, modseq, kind, flags, kw, uids)
  select $1, $2, $10::bigint, $11, $12, $13, range_agg(int8range(uid, uid + 1))
  from u
  having count(*) > 0
), s as (
  update mailbox_state
  set modseq = $10,
      n_unseen = n_unseen + (select sum((pflags & 1) - (flags & 1)) from u)::int,
      n_deleted = n_deleted + (select sum((flags & 8) - (pflags & 8)) / 8 from u)::int
  where account_id = $1 and mailbox_id = $2 and exists (select from u)
)
select uid, flags, kw
from u`

var setFlags = byUIDs(sqlSetFlags)

func (a *account) setFlags(ctx context.Context, tx pgx.Tx, box *lockedBox, uids imap.UIDSet, f flagStep) ([]store.Entry, error) {
	since := int64(math.MaxInt64)
	if f.UnchangedSince != nil {
		since = int64(min(*f.UnchangedSince, math.MaxInt64))
	}
	kind, keep, set, keepKw, setKw := f.masks()
	sql, from, to := setFlags.on(uids)
	rows, err := tx.Query(ctx, sql, a.id, box.id, from, to, since, keep, set, keepKw, setKw, box.next(),
		kind, int32(f.bits.System), int64(f.bits.Keywords))
	if err != nil {
		return nil, err
	}
	changed, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e store.Entry, err error) {
		var flags int32
		var kw int64
		e.ModSeq = box.next()
		err = row.Scan(&e.UID, &flags, &kw)
		e.Flags = store.FlagSet{System: store.SystemFlags(flags & systemMask), Keywords: uint64(kw)}
		return e, err
	})
	box.changed = len(changed) > 0
	slices.SortFunc(changed, func(x, y store.Entry) int { return cmp.Compare(x.UID, y.UID) })
	return changed, err
}

func asFlags(names []string) []imap.Flag {
	flags := make([]imap.Flag, len(names))
	for i, name := range names {
		flags[i] = imap.Flag(name)
	}
	return flags
}

func asStrings(flags []imap.Flag) []string {
	names := make([]string, len(flags))
	for i, flag := range flags {
		names[i] = string(flag)
	}
	return names
}
