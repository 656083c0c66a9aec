package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"postern/pkg/store"
)

// A node whose process has not been seen for nodeExpiry is free for another.
const (
	nodeBeat   = 30 * time.Second
	nodeExpiry = 10 * time.Minute
)

// idSource makes the ids of bodies: milliseconds << 22 | node << 12 | counter. They are never repeated, for a body's
// seal depends on that: not after the clock is set back, nor by a process that follows another on the same node.
type idSource struct {
	node int

	mu   sync.Mutex
	last int64 // the last id without its node; guarded by mu
}

// newIDSource makes ids later than floor, in ms since the epoch.
func newIDSource(node int, floor int64) *idSource {
	return &idSource{node: node, last: max(floor+1, time.Now().UnixMilli()) << 12}
}

// next returns a new id.
func (s *idSource) next() store.MessageID {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last+1, time.Now().UnixMilli()<<12) // the counter overflows into the next millisecond
	ms, counter := s.last>>12, s.last&0xfff
	return store.MessageID(ms<<22 | int64(s.node)<<12 | counter)
}

const sqlTakeNode = `
insert into nodes as n (node_id, instance)
select g.id, $2
from generate_series(case when $1::int > 0 then $1 else 1 end, case when $1 > 0 then $1 else 1023 end) g(id)
left join nodes o on o.node_id = g.id
where $1 > 0 or o.node_id is null or o.released or o.seen_at < now() - $3::interval
order by g.id
limit 1
on conflict (node_id) do update
  set instance = excluded.instance, released = false, seen_at = greatest(n.seen_at, now())
  where $1 > 0 or n.released or n.seen_at < now() - $3::interval
returning node_id, (extract(epoch from seen_at) * 1000)::bigint`

var errNoNode = errors.New("1023 processes are running on this database already")

// register takes a node number and keeps it until background ends.
func (s *Store) register(ctx, background context.Context) error {
	instance := rand.Int64()
	for range 100 { // another process may take the same number at the same time: then the statement returns nothing
		var node int
		var seen int64
		err := s.pool.QueryRow(ctx, sqlTakeNode, s.opts.Node, instance, nodeExpiry).Scan(&node, &seen)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return failed("take node number", err)
		}
		s.ids = newIDSource(node, seen)
		s.background(background, func(ctx context.Context) { s.keepNode(ctx, instance) })
		return nil
	}
	return errNoNode
}

const sqlKeepNode = `
update nodes
set seen_at = greatest(seen_at, now())
where node_id = $1 and instance = $2`

// The row stays, so that the ids of the next process with this number are later than ours.
const sqlLeaveNode = `
update nodes
set released = true, seen_at = greatest(seen_at, now())
where node_id = $1 and instance = $2`

func (s *Store) keepNode(ctx context.Context, instance int64) {
	tick := time.NewTicker(nodeBeat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			tag, err := s.pool.Exec(ctx, sqlKeepNode, s.ids.node, instance)
			if err != nil {
				s.log.Warn("node heartbeat failed", zap.Error(err))
			} else if tag.RowsAffected() == 0 {
				s.log.Error("node number was taken by another process; restart this one", zap.Int("node", s.ids.node))
			}
		case <-ctx.Done():
			leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if _, err := s.pool.Exec(leave, sqlLeaveNode, s.ids.node, instance); err != nil {
				s.log.Debug("leaving node number failed", zap.Error(err))
			}
			return
		}
	}
}
