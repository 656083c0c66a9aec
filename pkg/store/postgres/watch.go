package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// reading is what the reading half of a Store keeps.
type reading struct {
	hub      store.Hub
	metrics  *Metrics
	cache    *cache
	opened   opened
	sortKeys *keyCache
	there    *lru[store.AccountID, seenAccount] // accounts known to exist, until when
	packs    chan packJob
	keyJobs  chan keyJob
	windows  *windowCache
	kept     kept      // small messages that are asked for one by one
	arenas   sync.Pool // of *arena
	verdicts *lru[verdictKey, *verdicts]
	recent   *recents
	live     *live
	presence *presence
	listener *pgx.Conn // the last one, when listen has ended
	names    *lru[openName, opening]
	notify   *notifier
	leases   *leases
	outage   *outage
	logins   loginFeed
	grams    *gramWork
	worked   atomic.Int64 // when mail was last delivered or read, ms since the epoch
	pruned   atomic.Int64 // when journals were last looked through, ms since the epoch
}

// newReading makes what Open needs before the first statement runs.
func newReading(o Options, m *Metrics) reading {
	return reading{
		metrics:  m,
		cache:    newCache(o.CacheBytes, m),
		sortKeys: newKeyCache(o.CacheBytes/keysShare, m),
		there:    newLRU[store.AccountID, seenAccount](keysCached),
		packs:    make(chan packJob, packQueue),
		keyJobs:  make(chan keyJob, keysQueue),
		windows:  newWindowCache(),
		kept:     newKept(o.BodyBytes),
		verdicts: newLRU[verdictKey, *verdicts](verdictsKept),
		recent:   newRecents(),
		live:     newLive(),
		presence: newPresence(),
		names:    newLRU[openName, opening](keysCached),
		notify:   newNotifier(),
		leases:   newLeases(),
		outage:   &outage{log: o.Log},
		grams:    newGramWork(),
	}
}

// startReaders makes the process known to others and starts the background work of the reading half; it ends with background.
func (s *Store) startReaders(ctx, background context.Context) error {
	s.cache.advance, s.cache.save, s.cache.life = s.advance, s.saveEvicted, background
	s.windows.life = background
	s.metrics.presence.Store(s.presence)
	conn, err := s.appear(ctx)
	if err != nil {
		return err
	}
	s.background(background, func(ctx context.Context) { s.listen(ctx, conn) })
	for _, work := range []func(context.Context){
		s.sendNotes, s.poll, s.keepPacked, s.keepKeys, s.keepRecent, s.keepLeases, s.keepSwept,
		s.keepIndexed,
	} {
		s.background(background, work)
	}
	return nil
}

// works notes that somebody is being served.
func (s *Store) works() { s.worked.Store(time.Now().UnixMilli()) }

// busy reports whether somebody was a moment ago: then what is done behind the sessions takes its time.
func (s *Store) busy() bool { return time.Now().UnixMilli()-s.worked.Load() < busyFor.Milliseconds() }

// busyFor is how long after a delivery or a read others are expected.
const busyFor = 200 * time.Millisecond

// Watch implements store.Store.
func (s *Store) Watch(id store.AccountID) *store.Watch { return s.hub.Watch(id) }

// published is called after each commit: it wakes those who watch and tells other processes (rule 6). No boxes means the
// tree. It never blocks.
func (s *Store) published(id store.AccountID, boxes ...store.MailboxID) {
	for _, box := range boxes {
		s.cache.outdate(boxKey{id, box})
	}
	s.announce(id, boxes...)
}

// announce is the part of published that speaks to others.
func (s *Store) announce(id store.AccountID, boxes ...store.MailboxID) {
	if len(boxes) == 0 {
		s.cache.outdateTree(id)
	}
	s.hub.Wake(id, boxes...)
	s.notify.add(id, boxes)
}

// liveFor is how long a mailbox is looked at after its last Refresh: longer than sessions go without one.
const liveFor = 40 * time.Minute

// live knows the mailboxes that sessions have open, and what they have seen of them, so that poll can look whether a
// notification was lost. It is safe for concurrent use.
type live struct {
	mu    sync.Mutex
	boxes map[boxKey]seen
}

type seen struct {
	at   store.ModSeq
	when time.Time
}

func newLive() *live { return &live{boxes: make(map[boxKey]seen)} }

func (l *live) saw(key boxKey, at store.ModSeq) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.boxes[key] = seen{max(at, l.boxes[key].at), time.Now()}
}

// watched returns the mailboxes of the accounts given and forgets the others.
func (l *live) watched(accounts []store.AccountID, now time.Time) (ids, boxes []int64) {
	set := make(map[store.AccountID]bool, len(accounts))
	for _, id := range accounts {
		set[id] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, s := range l.boxes {
		if !set[key.account] || now.Sub(s.when) > liveFor {
			delete(l.boxes, key)
			continue
		}
		ids, boxes = append(ids, int64(key.account)), append(boxes, int64(key.box))
	}
	return ids, boxes
}

// news reports that a mailbox is at a mod-sequence that nobody here has seen.
func (l *live) news(key boxKey, at store.ModSeq) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.boxes[key]
	if !ok || s.at >= at {
		return false
	}
	s.at = at
	l.boxes[key] = s
	return true
}

const sqlPoll = `
select s.account_id, s.mailbox_id, s.modseq
from unnest($1::bigint[], $2::bigint[]) as w (account_id, mailbox_id)
join mailbox_state s on s.account_id = w.account_id and s.mailbox_id = w.mailbox_id`

// poll is the safety net of rule 7: one query now and then for all mailboxes that are open somewhere in the process.
func (s *Store) poll(ctx context.Context) {
	tick := time.NewTicker(s.opts.Poll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.outage.report("poll", s.pollOnce(ctx))
		case <-ctx.Done():
			return
		}
	}
}

func (s *Store) pollOnce(ctx context.Context) error {
	ids, boxes := s.live.watched(s.hub.Accounts(), time.Now())
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	rows, err := s.pool.Query(ctx, sqlPoll, ids, boxes)
	if err != nil {
		return err
	}
	var key boxKey
	var at store.ModSeq
	_, err = pgx.ForEachRow(rows, []any{&key.account, &key.box, &at}, func() error {
		if s.live.news(key, at) {
			s.cache.hear(key)
			s.hub.Wake(key.account, key.box)
		}
		return nil
	})
	return err
}
