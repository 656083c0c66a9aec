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

// SetFlags implements store.Account. If it names no keywords it is one round trip.
func (a *account) SetFlags(ctx context.Context, box store.MailboxID, uids imap.UIDSet, ch store.FlagChange) (store.FlagResult, error) {
	var res store.FlagResult
	var at *lockedBox
	uids = store.Normalize(uids)
	err := a.writePiped(ctx, "set flags", []store.MailboxID{box}, func(p *pipe, locked []*lockedBox) error {
		res, at = store.FlagResult{}, locked[0]
		return a.setFlags(ctx, p, at, flagStep{FlagChange: ch, uids: uids, res: &res})
	})
	if err != nil {
		return store.FlagResult{}, err
	}
	res.ModSeq = at.now()
	return res, nil
}

// flagStep is a FlagChange of messages and what comes of it. With its flags as bits it becomes flags & keep | set.
type flagStep struct {
	store.FlagChange
	uids imap.UIDSet
	bits store.FlagSet
	res  *store.FlagResult
}

func (a *account) setFlags(ctx context.Context, p *pipe, box *lockedBox, f flagStep) error {
	a.queueKeywords(&p.batch, box.id, &f.res.Keywords)
	if slices.ContainsFunc(f.Flags, isKeyword) { // their bits are a matter of the mailbox's list
		if _, err := p.flush(ctx); err != nil {
			return err
		}
	}
	var added []imap.Flag
	var err error
	if f.bits, added, err = f.Bits(f.res.Keywords); err != nil || len(f.uids) == 0 {
		return err
	}
	a.queueModified(p, box.id, f)
	a.queueSetFlags(p, box, f)
	if len(added) == 0 {
		return nil
	}
	tx, err := p.flush(ctx)
	if err != nil || !box.changed {
		return err
	}
	box.did = nil // others must learn the names too
	f.res.Keywords, err = a.addKeywords(ctx, tx, box.id, f.res.Keywords, added)
	return err
}

func isKeyword(flag imap.Flag) bool {
	_, system := store.ParseSystem(flag)
	return !system
}

const sqlKeywords = `
select keywords
from mailboxes
where account_id = $1 and mailbox_id = $2`

const sqlAddKeywords = `
update mailboxes
set keywords = keywords || $3::text[]
where account_id = $1 and mailbox_id = $2`

// queueKeywords queues the reading of a mailbox's list of keywords. The mailbox must be locked: that is what keeps two
// writers from giving one bit two names.
func (a *account) queueKeywords(b *pgx.Batch, box store.MailboxID, into *[]imap.Flag) {
	b.Queue(sqlKeywords, a.id, box).QueryRow(func(row pgx.Row) error {
		var names []string
		err := row.Scan(&names)
		*into = asFlags(names)
		return err
	})
}

// keywords returns the list.
func (a *account) keywords(ctx context.Context, tx pgx.Tx, box store.MailboxID) (flags []imap.Flag, err error) {
	var b pgx.Batch
	a.queueKeywords(&b, box, &flags)
	return flags, tx.SendBatch(ctx, &b).Close()
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

// queueModified asks for the messages that a conditional change must leave alone (RFC 7162 §3.1.3).
func (a *account) queueModified(p *pipe, box store.MailboxID, f flagStep) {
	if f.UnchangedSince == nil {
		return
	}
	sql, from, to := modified.on(f.uids)
	p.queue(sql, a.id, box, from, to, f.since()).Query(func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, pgx.RowTo[imap.UID])
		f.res.Modified = store.UIDSetOf(found)
		return err
	})
}

// since is the last mod-sequence of a message that may be changed.
func (f flagStep) since() int64 {
	if f.UnchangedSince == nil {
		return math.MaxInt64
	}
	return int64(min(*f.UnchangedSince, math.MaxInt64))
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

// nextModSeq is, within another statement, the mod-sequence of what it changes. It stands there rather than among the arguments
// so that nobody has to wait for the lock's answer before saying what is to be done under it.
const nextModSeq = `next as materialized (
  select modseq + 1 as modseq
  from mailbox_state
  where account_id = $1 and mailbox_id = $2
)`

// The change, its journal row and the counters, in one statement: nothing of it happens when no message changes.
const sqlSetFlags = `
with ` + nextModSeq + `, u as (
  update messages
  set pflags = flags, flags = flags & $6 | $7, kw = kw & $8 | $9, modseq = (select modseq from next)
  where {uids} and modseq <= $5
    and (flags & $6::int | $7::int <> flags or kw & $8::bigint | $9::bigint <> kw)
  returning uid, pflags, flags, kw
), j as (
  insert into journal (account_id, mailbox_id, modseq, kind, flags, kw, uids)
  select $1, $2, (select modseq from next), $10, $11, $12, range_agg(int8range(uid, uid + 1))
  from u
  having count(*) > 0
), s as (
  update mailbox_state
  set modseq = (select modseq from next),
      n_unseen = n_unseen + (select sum((pflags & 1) - (flags & 1)) from u)::int,
      n_deleted = n_deleted + (select sum((flags & 8) - (pflags & 8)) / 8 from u)::int
  where account_id = $1 and mailbox_id = $2 and exists (select from u)
)
select uid, flags, kw
from u`

var setFlags = byUIDs(sqlSetFlags)

func (a *account) queueSetFlags(p *pipe, box *lockedBox, f flagStep) {
	kind, keep, set, keepKw, setKw := f.masks()
	sql, from, to := setFlags.on(f.uids)
	p.queue(sql, a.id, box.id, from, to, f.since(), keep, set, keepKw, setKw, kind, int32(f.bits.System), int64(f.bits.Keywords)).
		Query(func(rows pgx.Rows) error {
			changed, err := readEntries(rows, box.next())
			f.res.Changed, box.changed = changed, len(changed) > 0
			box.did = &store.Changes{Flagged: changed}
			return err
		})
}

// readEntries reads messages that have changed at a mod-sequence, and sorts them by UID.
func readEntries(rows pgx.Rows, at store.ModSeq) ([]store.Entry, error) {
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e store.Entry, err error) {
		var flags int32
		var kw int64
		e.ModSeq = at
		err = row.Scan(&e.UID, &flags, &kw)
		e.Flags = store.FlagSet{System: store.SystemFlags(flags & systemMask), Keywords: uint64(kw)}
		return e, err
	})
	slices.SortFunc(entries, func(x, y store.Entry) int { return cmp.Compare(x.UID, y.UID) })
	return entries, err
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
