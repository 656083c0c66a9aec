package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

const (
	// searchStride is how many messages are judged from the snapshot before Search looks whether it is still wanted.
	searchStride = 4096
	// readAtOnce is how many messages are read without asking the substring index first.
	readAtOnce = 256
)

// Search implements store.Account. Most criteria are answered by the snapshot without SQL; what it cannot decide, the
// substring index narrows down, and what that leaves open is read, in pages. A message that cannot be read does not match.
func (a *account) Search(ctx context.Context, have *store.Snapshot, c *store.Criteria) ([]imap.UID, error) {
	j := &judgement{have: have, m: c.Matcher(have.Keywords(), time.Now())}
	j.recall = a.recall(j.m)
	places := [][2]int{{0, have.Len()}}
	if len(c.UID) > 0 {
		places = have.Indices(c.UID[0])
	}
	err := a.judge(ctx, j, places)
	if err != nil {
		return nil, failed("search", err)
	}
	if len(j.open) == 0 {
		return j.found, nil
	}
	if err := a.read(ctx, j, c.Needs()); err != nil {
		return nil, failed("search", err)
	}
	slices.Sort(j.found)
	return j.found, nil
}

// read decides about the messages that are open.
func (a *account) read(ctx context.Context, j *judgement, want store.Fields) error {
	defer j.recall.keep(a.s)
	done := 0
	for msg, err := range a.Messages(ctx, j.have, store.UIDSetOf(j.open), want|store.Passing) {
		ok := false
		store.Progress(ctx, done, len(j.open))
		done++
		if err == nil {
			ok, err = j.m.Match(ctx, msg)
		}
		if err != nil && !unreadable(err) {
			return err
		}
		if i, there := j.have.Find(msg.UID); there && err == nil {
			j.recall.learn(j, i, ok)
		}
		if ok {
			j.found = append(j.found, msg.UID)
		}
	}
	return nil
}

// judgement divides the messages that may match into those that do and those that must be read to tell.
type judgement struct {
	have        *store.Snapshot
	m           *store.Matcher
	recall      *recall // nil: nothing can be remembered
	found, open []imap.UID
	unindexed   int // of those judged: messages the index does not know
}

var errEnough = errors.New("too many messages to read")

// judge asks the snapshot alone, and if that leaves many messages to read, the index too.
func (a *account) judge(ctx context.Context, j *judgement, places [][2]int) error {
	limit := a.s.opts.sizes.read
	if len(j.m.Leaves()) == 0 {
		limit = j.have.Len()
	}
	err := j.rows(ctx, places, limit)
	if !errors.Is(err, errEnough) {
		return err
	}
	finds, err := a.index(ctx, j)
	if err != nil {
		return err
	}
	j.found, j.open = nil, nil
	if finds == nil {
		return j.rows(ctx, places, j.have.Len())
	}
	if err := j.indexed(ctx, finds); err != nil {
		return err
	}
	if j.unindexed >= a.s.tailDocs() {
		a.s.grams.behind(boxKey{a.id, j.have.Mailbox()})
	}
	return nil
}

var errLostBlocks = fmt.Errorf("the substring index is changing: %w", errDamaged)

// index asks the index, again if its segments were merged meanwhile. Whatever is wrong with it, the messages can be read.
func (a *account) index(ctx context.Context, j *judgement) (*gramFinds, error) {
	key := boxKey{a.id, j.have.Mailbox()}
	for range 3 {
		finds, err := a.lookup(ctx, key, j.m)
		if errors.Is(err, errDamaged) {
			continue
		}
		if finds == nil && err == nil {
			a.s.grams.behind(key)
		}
		return finds, err
	}
	a.s.grams.broken(key)
	return nil, nil
}

// rows judges the messages at some places of the snapshot by it alone. It returns errEnough once more than limit are open.
func (j *judgement) rows(ctx context.Context, places [][2]int, limit int) error {
	for _, r := range places {
		for i := r[0]; i < r[1]; i++ {
			if i%searchStride == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if j.row(i, nil); len(j.open) > limit {
				return errEnough
			}
		}
	}
	return nil
}

// row judges the message at a place.
func (j *judgement) row(i int, hint store.Hint) {
	v := j.m.JudgeRow(j.have, i, hint)
	if v == store.Unknown {
		v = j.recall.judge(j, i)
	}
	switch v {
	case store.Unknown:
		j.open = append(j.open, j.have.UID(i))
	case store.Yes:
		j.found = append(j.found, j.have.UID(i))
	}
}

// indexed judges all messages: those that segments speak of with their help, the others by the snapshot alone.
func (j *judgement) indexed(ctx context.Context, f *gramFinds) error {
	at, judged := 0, 0
	for s, seg := range f.segs {
		set := f.bound(j.m, s)
		place := 0
		hint := func(l store.Leaf) store.Verdict { return f.hint(s, place, l) }
		for _, run := range seg.cover.runs {
			from, _ := j.have.Find(run.uid)
			if err := j.unknown(ctx, at, from); err != nil {
				return err
			}
			for p := run.at; p < run.at+run.n; p++ {
				if set != nil {
					p = set.next(p, run.at+run.n)
				}
				if p == run.at+run.n {
					break
				}
				if judged++; judged%searchStride == 0 && ctx.Err() != nil {
					return ctx.Err()
				}
				if i, ok := j.have.Find(run.uid + imap.UID(p-run.at)); ok {
					place = p
					j.row(i, hint)
				}
			}
			if at, _ = j.have.Find(run.last()); at < j.have.Len() && j.have.UID(at) == run.last() {
				at++
			}
		}
	}
	return j.unknown(ctx, at, j.have.Len())
}

// unknown judges messages that are in no segment.
func (j *judgement) unknown(ctx context.Context, from, to int) error {
	if from >= to {
		return nil
	}
	j.unindexed += to - from
	return j.rows(ctx, [][2]int{{from, to}}, j.have.Len())
}
