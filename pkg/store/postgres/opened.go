package postgres

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"postern/pkg/store"
)

const (
	openedMost  = 4096 // mailboxes in a list
	openedEvery = 2 * time.Minute
	// openedSpan is how much older than the newest list others may be: of processes that ended together, of which some may
	// have been killed, or that are alive.
	openedSpan = 5 * openedEvery
)

// opened remembers, beyond the process, which mailboxes are in memory: the next process loads them (warmUp).
type opened struct {
	written []boxKey // the list in the database, if this process wrote it; belongs to keepOpened

	mu   sync.Mutex
	read bool     // the lists of earlier processes have been read: until then ours would be worse; guarded by mu
	left []boxKey // of them, what has not been loaded; guarded by mu
}

// found takes over what earlier processes had in memory.
func (o *opened) found(left []boxKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.read, o.left = true, slices.Clone(left)
}

// done takes out a mailbox that need not be loaded any more.
func (o *opened) done(key boxKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := slices.Index(o.left, key); i >= 0 {
		o.left = slices.Delete(o.left, i, i+1)
	}
}

// list is what the next process should load: what is in memory here, and what did not get there yet. There is none before
// the lists of earlier processes have been read.
func (o *opened) list(c *cache) []boxKey {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.read {
		return nil
	}
	return mergeOpened(c.used(openedMost), o.left)
}

// mergeOpened makes one list of several: all of the first, then the others in turns.
func mergeOpened(first []boxKey, others ...[]boxKey) []boxKey {
	there := make(map[boxKey]bool, openedMost)
	var merged []boxKey
	add := func(key boxKey) {
		if !there[key] && len(merged) < openedMost {
			there[key] = true
			merged = append(merged, key)
		}
	}
	for _, key := range first {
		add(key)
	}
	longest := 0
	for _, l := range others {
		longest = max(longest, len(l))
	}
	for i := range longest {
		for _, l := range others {
			if i < len(l) {
				add(l[i])
			}
		}
	}
	return merged
}

// keepOpened writes the list every few minutes, for a process may be killed, and when the store is closed.
func (s *Store) keepOpened(ctx context.Context) {
	tick := time.NewTicker(s.opts.openedEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.outage.report("keep list of mailboxes", s.writeOpened(ctx))
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := s.writeOpened(last); err != nil {
				s.log.Debug("keeping the list of mailboxes in memory failed", zap.Error(err))
			}
			return
		}
	}
}

const sqlWriteOpened = `
update nodes
set opened = $2, opened_at = now()
where node_id = $1`

func (s *Store) writeOpened(ctx context.Context) error {
	list := s.opened.list(s.cache)
	if len(list) == 0 || slices.Equal(list, s.opened.written) {
		return nil
	}
	flat := make([]int64, 0, 2*len(list))
	for _, key := range list {
		flat = append(flat, int64(key.account), int64(key.box))
	}
	if _, err := s.pool.Exec(ctx, sqlWriteOpened, s.ids.number(), flat); err != nil {
		return failed("keep list of mailboxes", err)
	}
	s.opened.written = list
	return nil
}

const sqlReadOpened = `
select node_id = $1, opened
from nodes
where opened_at >= (select max(opened_at) from nodes) - $2::interval
order by opened_at desc`

// Mailboxes that are gone drop out.
const sqlOpenedSizes = `
select s.account_id, s.mailbox_id, s.n_msgs
from unnest($1::bigint[], $2::bigint[]) with ordinality as w (account_id, mailbox_id, place)
join mailbox_state s on s.account_id = w.account_id and s.mailbox_id = w.mailbox_id
order by w.place`

// readOpened reads what processes before this one, or beside it, had in memory: first what the last one with this number
// had, whose sessions are likely to come back here. sizes are in messages.
func (s *Store) readOpened(ctx context.Context) (list []boxKey, sizes []int64, err error) {
	rows, err := s.pool.Query(ctx, sqlReadOpened, s.ids.number(), openedSpan)
	if err != nil {
		return nil, nil, err
	}
	var own bool
	var flat []int64
	var first []boxKey
	var others [][]boxKey
	_, err = pgx.ForEachRow(rows, []any{&own, &flat}, func() error {
		if keys := openedKeys(flat); own {
			first = keys
		} else {
			others = append(others, keys)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return s.openedSizes(ctx, mergeOpened(first, others...))
}

func openedKeys(flat []int64) []boxKey {
	keys := make([]boxKey, 0, len(flat)/2)
	for pair := range slices.Chunk(flat, 2) {
		keys = append(keys, boxKey{store.AccountID(pair[0]), store.MailboxID(pair[len(pair)-1])})
	}
	return keys
}

func (s *Store) openedSizes(ctx context.Context, keys []boxKey) (list []boxKey, sizes []int64, err error) {
	ids, boxes := make([]int64, len(keys)), make([]int64, len(keys))
	for i, key := range keys {
		ids[i], boxes[i] = int64(key.account), int64(key.box)
	}
	rows, err := s.pool.Query(ctx, sqlOpenedSizes, ids, boxes)
	if err != nil {
		return nil, nil, err
	}
	var key boxKey
	var size int64
	_, err = pgx.ForEachRow(rows, []any{&key.account, &key.box, &size}, func() error {
		list, sizes = append(list, key), append(sizes, size)
		return nil
	})
	return list, sizes, err
}
