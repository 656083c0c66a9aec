package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"postern/pkg/store"
)

// state is what the database says of a mailbox apart from its messages.
type state struct {
	box         store.Mailbox
	keywords    []string
	journalFrom store.ModSeq // the journal is complete above it
	recent      imap.UID     // messages from here on are recent
}

const selectState = `
select b.mailbox_id, b.name, b.uidvalidity, b.special_use, b.keywords,
  s.uidnext, s.modseq, s.journal_from, s.recent_uid, greatest(s.n_msgs, 0), greatest(s.n_unseen, 0), greatest(s.n_deleted, 0), s.bytes,
  exists (select from subscriptions u where u.account_id = b.account_id and u.name = b.name)
from mailboxes b
join mailbox_state s on s.account_id = b.account_id and s.mailbox_id = b.mailbox_id
where b.account_id = $1
  and b.`

const (
	sqlStateByName = selectState + `name = $2`
	sqlStateByID   = selectState + `mailbox_id = $2`
)

func scanState(row pgx.Row) (*state, error) {
	st := new(state)
	var use int16
	b := &st.box
	err := row.Scan(&b.ID, &b.Name, &b.UIDValidity, &use, &st.keywords,
		&b.UIDNext, &b.ModSeq, &st.journalFrom, &st.recent, &b.Messages, &b.Unseen, &b.Deleted, &b.Size, &b.Subscribed)
	b.Use = useOfBits(use)
	return st, err
}

// flagKeywords returns the mailbox's keywords, nil if known has them all: the list only grows.
func (st *state) flagKeywords(known int) []imap.Flag {
	if len(st.keywords) == known {
		return nil
	}
	flags := make([]imap.Flag, len(st.keywords))
	for i, k := range st.keywords {
		flags[i] = imap.Flag(k)
	}
	return flags
}

// Open implements store.Account. A mailbox that is cached and has not changed costs one statement, and none while this process
// is alone on the database.
func (a *account) Open(ctx context.Context, name string) (store.Mailbox, *store.Snapshot, error) {
	name, err := store.CanonicalName(name)
	if err != nil {
		return store.Mailbox{}, nil, fmt.Errorf("open mailbox: %w: %w", store.ErrNotFound, err)
	}
	if box, snap, ok := a.remembered(name); ok {
		return box, snap, nil
	}
	began := a.s.cache.moment()
	st, err := scanState(a.s.pool.QueryRow(ctx, sqlStateByName, a.id, name))
	if err != nil {
		return store.Mailbox{}, nil, failed("open mailbox", err)
	}
	key := boxKey{a.id, st.box.ID}
	v := a.s.cache.peek(key)
	if v == nil || v.snap.ModSeq() != st.box.ModSeq {
		v, err = a.s.cache.refresh(ctx, key, nil, v == nil || v.snap.ModSeq() < st.box.ModSeq)
		if err != nil {
			return store.Mailbox{}, nil, failed("open mailbox", err)
		}
		st.box = v.box
	} else {
		a.s.cache.confirm(key, v, st.box, began)
	}
	a.s.remember(key, st, began)
	a.s.live.saw(key, v.snap.ModSeq())
	st.box.Recent, _ = a.s.recent.count(key, v.snap)
	return st.box, v.snap, nil
}

// errBackwards is for a database that has lost what sessions have seen: a standby took over without the last commits, or
// a backup was restored. The picture such a session has cannot be mended.
var errBackwards = fmt.Errorf("the database has gone back in time: %w", store.ErrNotFound)

// Refresh implements store.Account. Without news it costs one statement, and none while this process is alone on the database;
// with news one more round trip, of a fixed number of statements. Sessions that ask together share them.
func (a *account) Refresh(ctx context.Context, have *store.Snapshot) (*store.Snapshot, store.Changes, error) {
	key := boxKey{a.id, have.Mailbox()}
	if a.s.presence.alone() {
		if v := a.s.cache.sure(key, have.ModSeq()); v != nil {
			return a.s.told(key, v, have)
		}
	}
	v, err := a.s.cache.refresh(ctx, key, have, false)
	if err != nil {
		return nil, store.Changes{}, failed("refresh mailbox", err)
	}
	return a.s.told(key, v, have)
}

// RefreshTo implements store.Account: without SQL, if this process knows of nothing that came after the caller's change.
func (a *account) RefreshTo(ctx context.Context, have *store.Snapshot, at store.ModSeq) (*store.Snapshot, store.Changes, error) {
	key := boxKey{a.id, have.Mailbox()}
	if v := a.s.cache.known(key, max(at, have.ModSeq())); v != nil {
		return a.s.told(key, v, have)
	}
	return a.Refresh(ctx, have)
}

// told gives v to a session that has seen have.
func (s *Store) told(key boxKey, v *version, have *store.Snapshot) (*store.Snapshot, store.Changes, error) {
	s.live.saw(key, v.snap.ModSeq())
	switch at := have.ModSeq(); {
	case v.snap.ModSeq() < at:
		return nil, store.Changes{}, failed("refresh mailbox", errBackwards)
	case v.snap.ModSeq() == at:
		return have, v.since(have), nil
	}
	return v.snap, v.since(have), nil
}

const sqlTombstones = `
select s.journal_from, j.modseq, j.uids
from mailbox_state s
left join journal j on j.account_id = s.account_id and j.mailbox_id = s.mailbox_id
  and j.modseq > $3 and j.modseq <= $4 and j.kind = 4
where s.account_id = $1 and s.mailbox_id = $2`

// Since implements store.Account: what came and what changed is in the snapshot, what went in the journal. Changes that
// came and changed alike are in Flagged.
func (a *account) Since(ctx context.Context, have *store.Snapshot, at store.ModSeq) (store.Changes, error) {
	at = max(at, 1) // a client may say 0 and mean "from the beginning"
	ch := have.Since(at)
	ch.Complete = true
	if at >= have.ModSeq() {
		return ch, nil
	}
	rows, err := a.s.pool.Query(ctx, sqlTombstones, a.id, have.Mailbox(), int64(min(at, maxModSeq)), int64(have.ModSeq()))
	if err != nil {
		return store.Changes{}, failed("read tombstones", err)
	}
	found := false
	var from store.ModSeq
	for rows.Next() {
		found = true
		var removed []store.Entry
		if from, removed, err = decodeTombstones(rows.RawValues()); err != nil {
			rows.Close()
			return store.Changes{}, failed("read tombstones", err)
		}
		ch.Removed = append(ch.Removed, removed...)
	}
	if err := rows.Err(); err != nil || !found {
		return store.Changes{}, failed("read tombstones", cmp.Or(err, pgx.ErrNoRows))
	}
	ch.Complete = from <= at
	slices.SortFunc(ch.Removed, func(a, b store.Entry) int { return cmp.Compare(a.UID, b.UID) })
	return ch, nil
}

// maxModSeq is the greatest mod-sequence there can be (RFC 7162 §3.1).
const maxModSeq = 1<<63 - 1

var errColumns = errors.New("unexpected columns")

// decodeTombstones reads a row of sqlTombstones, in which the last two columns may be null.
func decodeTombstones(raw [][]byte) (from store.ModSeq, removed []store.Entry, err error) {
	if len(raw) != 3 || len(raw[0]) != 8 {
		return 0, nil, errColumns
	}
	from = store.ModSeq(binary.BigEndian.Uint64(raw[0]))
	if raw[1] == nil {
		return from, nil, nil
	}
	uids, err := decodeMultirange(raw[2])
	if err != nil || len(raw[1]) != 8 {
		return 0, nil, cmp.Or(err, errColumns)
	}
	at := store.ModSeq(binary.BigEndian.Uint64(raw[1]))
	for _, r := range uids {
		for uid := r.Start; ; uid++ {
			removed = append(removed, store.Entry{UID: uid, ModSeq: at})
			if uid == r.Stop {
				break
			}
		}
	}
	return from, removed, nil
}

// delta is what happened in a mailbox since a Snapshot.
type delta struct {
	*state
	journal  []journalEntry
	arrivals []store.Row
}

// The columns are those that readJournal and decodeRow expect.
const (
	selectJournal = `
select modseq, kind, flags, kw, uids
from journal
where account_id = $1 and mailbox_id = $2 and modseq > `

	sqlJournal = selectJournal + `$3
order by modseq`

	selectArrivals = `
select uid, modseq, blob_id, thread_id, idate, savedate, kw, size, hsize, flags
from messages
where account_id = $1 and mailbox_id = $2 and uid `

	sqlArrivals = selectArrivals + `>= $3
order by uid`
)

// sqlTogether begins a transaction in which all statements see the same moment.
const sqlTogether = `begin isolation level repeatable read read only`

// readDelta reads, in one round trip, what happened since base.
func (s *Store) readDelta(ctx context.Context, key boxKey, base *store.Snapshot) (*delta, error) {
	d := new(delta)
	b := new(pgx.Batch)
	b.Queue(sqlTogether)
	d.queueState(b, key)
	b.Queue(sqlJournal, key.account, key.box, int64(base.ModSeq())).Query(d.readJournal)
	b.Queue(sqlArrivals, key.account, key.box, int64(base.UIDNext())).Query(d.readArrivals)
	b.Queue(`commit`)
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *delta) queueState(b *pgx.Batch, key boxKey) {
	b.Queue(sqlStateByID, key.account, key.box).QueryRow(func(row pgx.Row) (err error) {
		d.state, err = scanState(row)
		return err
	})
}

func (d *delta) readJournal(rows pgx.Rows) (err error) {
	d.journal, err = readJournal(rows)
	return err
}

func (d *delta) readArrivals(rows pgx.Rows) (err error) {
	d.arrivals, err = readRows(rows, nil)
	return err
}

// apply makes the version of base that d describes. It reports false if what it makes cannot be the mailbox: the number
// of messages is not what the database says, give or take drift.
func (d *delta) apply(base *store.Snapshot, drift int) (*store.Snapshot, store.Changes, bool) {
	ch := store.Changes{Since: base.ModSeq(), Until: d.box.ModSeq, Complete: true}
	ch.Flagged, ch.Removed = replay(base, d.journal)
	next := deltaBy(ch)
	next.UIDNext, next.Keywords, next.Added = d.box.UIDNext, d.flagKeywords(len(base.Keywords())), d.arrivals
	for i := range d.arrivals {
		r := &d.arrivals[i]
		ch.Added = append(ch.Added, store.Entry{UID: r.UID, ModSeq: r.ModSeq, Flags: r.Flags})
	}
	snap := base.Next(next)
	return snap, ch, snap.Len() == int(d.box.Messages)+drift
}

// deltaBy is what leads to a version by changes without arrivals.
func deltaBy(ch store.Changes) store.Delta {
	d := store.Delta{ModSeq: ch.Until, Flagged: ch.Flagged}
	for _, e := range ch.Removed {
		d.Removed = append(d.Removed, e.UID)
	}
	return d
}

// advance brings a mailbox up to date. known says that there is something newer than e.now. It runs in e's flight.
func (s *Store) advance(ctx context.Context, e *cached, known bool) (*version, error) {
	v := e.now
	if v == nil {
		return s.load(ctx, e)
	}
	if !known {
		st, err := scanState(s.pool.QueryRow(ctx, sqlStateByID, e.key.account, e.key.box))
		if err != nil {
			return nil, err
		}
		if st.box.ModSeq == v.snap.ModSeq() {
			return &version{snap: v.snap, box: st.box, log: v.log}, nil
		}
	}
	d, err := s.readDelta(ctx, e.key, v.snap)
	if err != nil {
		return nil, err
	}
	if d.box.ModSeq == v.snap.ModSeq() {
		return &version{snap: v.snap, box: d.box, log: v.log}, nil
	}
	if d.journalFrom > v.snap.ModSeq() || d.box.ModSeq < v.snap.ModSeq() {
		return s.load(ctx, e)
	}
	snap, ch, ok := d.apply(v.snap, e.drift)
	if !ok {
		s.log.Error("a mailbox's journal and counter disagree; reading it anew", e.key.fields()...)
		return s.load(ctx, e)
	}
	e.differ += changeCount(ch)
	s.saveLater(e, snap)
	return v.next(snap, d.box, ch), nil
}

// committed takes note of what a transaction of this process did to a mailbox. If the transaction itself can say what, and
// nothing came between it and the newest version in memory, the next version is made of that: to read one's own change
// back would take as long as to make it.
func (s *Store) committed(key boxKey, box *lockedBox) {
	e, f := (*cached)(nil), (*flight)(nil)
	if box.did != nil {
		e, f = s.cache.step(key, box.modSeq)
	}
	if f == nil {
		s.cache.outdate(key)
		return
	}
	v, made := e.now, false
	defer func() {
		if !made { // it panics
			s.cache.outdate(key)
		}
		if s.cache.arrive(e, f, v, nil) != nil { // others have come meanwhile, and want to look
			go s.cache.fly(s.cache.life, e)
		}
	}()
	ch := store.Changes{Since: box.modSeq, Until: box.next(), Flagged: box.did.Flagged, Removed: box.did.Removed, Complete: true}
	next := deltaBy(ch)
	next.UIDNext = v.snap.UIDNext()
	snap := v.snap.Next(next)
	e.differ += changeCount(ch)
	s.saveLater(e, snap)
	v, made = v.next(snap, v.box, ch), true
}

func (k boxKey) fields() []zap.Field {
	return []zap.Field{zap.Int64("account", int64(k.account)), zap.Int64("mailbox", int64(k.box))}
}

// readRows appends the rows of sqlArrivals to into, and closes rows.
func readRows(rows pgx.Rows, into []store.Row) ([]store.Row, error) {
	defer rows.Close()
	for rows.Next() {
		var r store.Row
		if err := decodeRow(rows.RawValues(), &r); err != nil {
			return nil, err
		}
		into = append(into, r)
	}
	return into, rows.Err()
}

// decodeRow reads a row of sqlArrivals in binary format, which takes a fraction of the time of Scan.
func decodeRow(raw [][]byte, r *store.Row) error {
	if len(raw) != 10 {
		return errColumns
	}
	for i, col := range raw {
		if (i < 7 && len(col) != 8) || (i >= 7 && len(col) != 4) {
			return errColumns
		}
	}
	r.UID = imap.UID(binary.BigEndian.Uint64(raw[0]))
	r.ModSeq = store.ModSeq(binary.BigEndian.Uint64(raw[1]))
	r.ID = store.MessageID(binary.BigEndian.Uint64(raw[2]))
	r.Thread = int64(binary.BigEndian.Uint64(raw[3]))
	r.Received = int64(binary.BigEndian.Uint64(raw[4]))
	r.Saved = int64(binary.BigEndian.Uint64(raw[5]))
	r.Flags.Keywords = binary.BigEndian.Uint64(raw[6])
	r.Size = int64(binary.BigEndian.Uint32(raw[7]))
	r.Header = binary.BigEndian.Uint32(raw[8])
	flags := binary.BigEndian.Uint32(raw[9])
	r.Flags.System, r.Padding = store.SystemFlags(flags&31), uint8(flags>>16&3)
	return nil
}

// readJournal reads the rows of sqlJournal and closes rows.
func readJournal(rows pgx.Rows) ([]journalEntry, error) {
	defer rows.Close()
	var journal []journalEntry
	for rows.Next() {
		raw := rows.RawValues()
		if len(raw) != 5 || len(raw[0]) != 8 || len(raw[1]) != 2 || len(raw[2]) != 4 || len(raw[3]) != 8 {
			return nil, errColumns
		}
		uids, err := decodeMultirange(raw[4])
		if err != nil {
			return nil, err
		}
		journal = append(journal, journalEntry{
			at:   store.ModSeq(binary.BigEndian.Uint64(raw[0])),
			kind: int16(binary.BigEndian.Uint16(raw[1])),
			flags: store.FlagSet{
				System:   store.SystemFlags(binary.BigEndian.Uint32(raw[2]) & 31),
				Keywords: binary.BigEndian.Uint64(raw[3]),
			},
			uids: uids,
		})
	}
	return journal, rows.Err()
}
