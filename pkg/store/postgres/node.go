package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"

	"postern/pkg/store"
)

// A node whose process has not been seen for nodeExpiry is free for another.
const (
	nodeBeat   = 30 * time.Second
	nodeExpiry = 10 * time.Minute
	nodeRetry  = time.Second // while the database is away
)

// idSource makes the ids of bodies: milliseconds << 22 | node << 12 | counter. They are never repeated, for a body's
// seal depends on that: not after the clock is set back, nor by a process that follows another on the same node.
type idSource struct {
	mu   sync.Mutex
	node int   // guarded by mu
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

// number returns the node.
func (s *idSource) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

// newest returns the time in the last id, which may be ahead of any clock.
func (s *idSource) newest() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.UnixMilli(s.last >> 12)
}

// move goes on as another node, with ids later than floor.
func (s *idSource) move(node int, floor int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node, s.last = node, max(s.last, (floor+1)<<12)
}

// A process that died was last seen up to a beat before its last id.
const sqlTakeNode = `
insert into nodes as n (node_id, instance)
select g.id, $2
from generate_series(case when $1::int > 0 then $1 else 1 end, case when $1 > 0 then $1 else 1023 end) g(id)
left join nodes o on o.node_id = g.id
where $1 > 0 or o.node_id is null or o.released or o.seen_at < now() - $3::interval
order by g.id
limit 1
on conflict (node_id) do update
  set instance = excluded.instance, released = false,
    seen_at = greatest(n.seen_at + case when n.released then interval '0' else $4::interval end, now())
  where $1 > 0 or n.released or n.seen_at < now() - $3::interval
returning node_id, (extract(epoch from seen_at) * 1000)::bigint`

var errNoNode = errors.New("1023 processes are running on this database already")

// register takes a node number and keeps it until background ends.
func (s *Store) register(ctx, background context.Context) error {
	instance := rand.Int64()
	node, seen, err := s.takeNode(ctx, instance)
	if err != nil {
		return err
	}
	s.ids, s.instance = newIDSource(node, seen), instance
	s.background(background, s.keepNode)
	return nil
}

// takeNode returns a number that is free, and when it was last in use, in ms since the epoch.
func (s *Store) takeNode(ctx context.Context, instance int64) (node int, seen int64, err error) {
	for range 100 { // another process may take the same number at the same time: then the statement returns nothing
		err = s.pool.QueryRow(ctx, sqlTakeNode, s.opts.Node, instance, nodeExpiry, 2*nodeBeat).Scan(&node, &seen)
		if !errors.Is(err, pgx.ErrNoRows) {
			return node, seen, failed("take node number", err)
		}
	}
	return 0, 0, errNoNode
}

func (s *Store) keepNode(ctx context.Context) {
	beat := time.NewTimer(nodeBeat)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			err := s.showAlive(ctx)
			s.outage.report("keep node number", err)
			pause := nodeBeat
			if errors.Is(err, store.ErrUnavailable) {
				pause = nodeRetry
			}
			beat.Reset(pause)
		case <-ctx.Done():
			return
		}
	}
}

const sqlKeepNode = `
update nodes
set seen_at = greatest(seen_at, now(), $3)
where node_id = $1 and instance = $2`

// showAlive says that the process is alive. If it was out of touch for so long that another took its number, it goes on
// with a new one: two with the same could make the same id.
func (s *Store) showAlive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, nodeBeat)
	defer cancel()
	was := s.ids.number()
	tag, err := s.pool.Exec(ctx, sqlKeepNode, was, s.instance, s.ids.newest())
	if err != nil || tag.RowsAffected() > 0 {
		return failed("node heartbeat", err)
	}
	if s.opts.Node > 0 {
		return fmt.Errorf("node number %d was given to two processes", was)
	}
	node, seen, err := s.takeNode(ctx, s.instance)
	if err != nil {
		return err
	}
	s.ids.move(node, seen)
	s.log.Warn("another process took over the node number of this one", zap.Int("was", was), zap.Int("is", node))
	return nil
}

type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// The row stays, so that the ids of the next process with this number are later than ours.
const sqlLeaveNode = `
update nodes
set released = true, seen_at = greatest(seen_at, now(), $3)
where node_id = $1 and instance = $2`

func (s *Store) leaveNode(conn execer) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, sqlLeaveNode, s.ids.number(), s.instance, s.ids.newest()); err != nil {
		s.log.Debug("leaving node number failed", zap.Error(err))
	}
}
