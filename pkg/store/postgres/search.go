package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// searchStride is how many messages are judged from the snapshot before Search looks whether it is still wanted.
const searchStride = 4096

// Search implements store.Account. Most criteria are answered by the snapshot without SQL; only messages it cannot
// decide about are read, in pages. A message that cannot be read does not match.
func (a *account) Search(ctx context.Context, have *store.Snapshot, c *store.Criteria) ([]imap.UID, error) {
	m := c.Matcher(have.Keywords(), time.Now())
	found, open, err := judge(ctx, have, c, m)
	if err != nil {
		return nil, failed("search", err)
	}
	if len(open) == 0 {
		return found, nil
	}
	done := 0
	for msg, err := range a.Messages(ctx, have, store.UIDSetOf(open), c.Needs()|store.Passing) {
		ok := false
		store.Progress(ctx, done, len(open))
		done++
		if err == nil {
			ok, err = m.Match(ctx, msg)
		}
		if err != nil && !unreadable(err) {
			return nil, failed("search", err)
		}
		if ok {
			found = append(found, msg.UID)
		}
	}
	slices.Sort(found)
	return found, nil
}

// judge divides the messages that may match into those that do and those that must be read to tell.
func judge(ctx context.Context, have *store.Snapshot, c *store.Criteria, m *store.Matcher) (found, open []imap.UID, err error) {
	places := [][2]int{{0, have.Len()}}
	if len(c.UID) > 0 {
		places = have.Indices(c.UID[0])
	}
	for _, r := range places {
		for i := r[0]; i < r[1]; i++ {
			if i%searchStride == 0 && ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			switch match, known := m.MatchRow(have, i); {
			case !known:
				open = append(open, have.UID(i))
			case match:
				found = append(found, have.UID(i))
			}
		}
	}
	return found, open, nil
}
