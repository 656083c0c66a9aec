package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// recentFlush is how long a claim of recent messages may be unwritten. After a crash they are recent once more.
const recentFlush = 5 * time.Second

// recentsKept bounds how many mailboxes' marks are remembered once they are written.
const recentsKept = 100_000

// recents knows from which UID on messages are \Recent (RFC 3501 §2.3.2). Claims are made here and written later, many
// at a time: they are worth no commit of their own. It is safe for concurrent use.
type recents struct {
	mu     sync.Mutex
	marks  map[boxKey]imap.UID // messages from here on are recent
	behind map[boxKey]bool     // marks the database has not got yet
}

func newRecents() *recents {
	return &recents{marks: make(map[boxKey]imap.UID), behind: make(map[boxKey]bool)}
}

// mark keeps a mailbox's mark, given what the database says.
func (r *recents) mark(key boxKey, row imap.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.marks) > recentsKept {
		r.forget()
	}
	r.marks[key] = max(row, r.marks[key], 1)
}

// forget drops the marks the database has. The caller holds mu.
func (r *recents) forget() {
	for key := range r.marks {
		if !r.behind[key] {
			delete(r.marks, key)
		}
	}
}

// count returns how many messages of snap nobody has claimed; ok is false if that is not known here.
func (r *recents) count(key boxKey, snap *store.Snapshot) (n uint32, ok bool) {
	r.mu.Lock()
	mark, ok := r.marks[key]
	r.mu.Unlock()
	i, _ := snap.Find(mark)
	return uint32(snap.Len() - i), ok
}

// claim moves the mark to upTo and returns where it was; ok is false if that is not known here.
func (r *recents) claim(key boxKey, upTo imap.UID) (from imap.UID, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, ok = r.marks[key]
	if ok && from < upTo {
		r.marks[key] = upTo
		r.behind[key] = true
	}
	return from, ok
}

const sqlRecent = `
select recent_uid
from mailbox_state
where account_id = $1 and mailbox_id = $2`

// ClaimRecent implements store.Account. It runs no SQL for a mailbox that has been opened in this process. Two processes
// may both call a message recent if it arrives while both have the mailbox open.
func (a *account) ClaimRecent(ctx context.Context, box store.MailboxID, upTo imap.UID) (imap.UID, error) {
	key := boxKey{a.id, box}
	if from, ok := a.s.recent.claim(key, upTo); ok {
		return min(from, upTo), nil
	}
	var row imap.UID
	if err := a.s.pool.QueryRow(ctx, sqlRecent, a.id, box).Scan(&row); err != nil {
		return 0, failed("claim recent messages", err)
	}
	a.s.recent.mark(key, row)
	from, _ := a.s.recent.claim(key, upTo)
	return min(from, upTo), nil
}

// owes reports whether the database has not got all claims of an account.
func (r *recents) owes(id store.AccountID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.behind {
		if key.account == id {
			return true
		}
	}
	return false
}

// settleRecent writes the claims of an account, if there are any, so that the database can count.
func (a *account) settleRecent(ctx context.Context) error {
	if !a.s.recent.owes(a.id) {
		return nil
	}
	return failed("write recent marks", a.s.writeRecent(ctx))
}

// unwritten returns the marks to write.
func (r *recents) unwritten() (accounts, boxes, uids []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.behind {
		accounts, boxes = append(accounts, int64(key.account)), append(boxes, int64(key.box))
		uids = append(uids, int64(r.marks[key]))
	}
	return accounts, boxes, uids
}

// written notes that the database has a mark.
func (r *recents) written(key boxKey, at imap.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.marks[key] <= at {
		delete(r.behind, key)
	}
}

// Rows that are locked wait for the next time: a mark is not worth waiting for, and so cannot deadlock. Mailboxes that
// are gone are returned too.
const sqlWriteRecent = `
with m as (
  select * from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as m (account_id, mailbox_id, uid)
), l as (
  select s.account_id, s.mailbox_id, m.uid
  from m
  join mailbox_state s on s.account_id = m.account_id and s.mailbox_id = m.mailbox_id
  for update of s skip locked
), u as (
  update mailbox_state s
  set recent_uid = greatest(s.recent_uid, l.uid)
  from l
  where s.account_id = l.account_id and s.mailbox_id = l.mailbox_id
)
select account_id, mailbox_id, uid from l
union all
select m.account_id, m.mailbox_id, m.uid
from m
left join mailbox_state s on s.account_id = m.account_id and s.mailbox_id = m.mailbox_id
where s.account_id is null`

// keepRecent writes marks now and then, and once more at the end.
func (s *Store) keepRecent(ctx context.Context) {
	tick := time.NewTicker(recentFlush)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.outage.report("write recent marks", s.writeRecent(ctx))
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			s.outage.report("write recent marks", s.writeRecent(last))
			return
		}
	}
}

func (s *Store) writeRecent(ctx context.Context) error {
	accounts, boxes, uids := s.recent.unwritten()
	if len(accounts) == 0 {
		return nil
	}
	rows, err := s.pool.Query(ctx, sqlWriteRecent, accounts, boxes, uids)
	if err != nil {
		return err
	}
	var key boxKey
	var at imap.UID
	_, err = pgx.ForEachRow(rows, []any{&key.account, &key.box, &at}, func() error {
		s.recent.written(key, at)
		return nil
	})
	return err
}
