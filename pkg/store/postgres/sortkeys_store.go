package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"postern/pkg/store"
)

const sqlKeySegments = `
select lo, data
from sort_keys
where account_id = $1 and mailbox_id = $2 and hi >= $3 and lo <= $4
order by lo`

// uidSpan is a range of UIDs, both ends included.
type uidSpan struct{ lo, hi imap.UID }

type sealedKeys struct {
	lo   int64
	data []byte
}

// loadKeys reads the stored segments of a mailbox that have to do with some messages.
func (s *Store) loadKeys(ctx context.Context, key boxKey, span uidSpan) ([]*keySegment, error) {
	stored, err := readKeys(ctx, s.pool, key, span)
	if err != nil || len(stored) == 0 {
		return nil, err
	}
	dk, err := s.key(ctx, key.account)
	if err != nil {
		return nil, err
	}
	return s.openAllKeys(dk, key, stored), nil
}

func readKeys(ctx context.Context, q querier, key boxKey, span uidSpan) ([]sealedKeys, error) {
	rows, err := q.Query(ctx, sqlKeySegments, key.account, key.box, int64(span.lo), int64(span.hi))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (k sealedKeys, err error) {
		err = row.Scan(&k.lo, &k.data)
		return k, err
	})
}

// openAllKeys opens segments. One that does not open is left out: it will be replaced.
func (s *Store) openAllKeys(dk *dataKey, key boxKey, stored []sealedKeys) []*keySegment {
	var segments []*keySegment
	for _, k := range stored {
		g, err := openKeys(dk, key, k)
		if err != nil {
			s.log.Warn("stored sort keys cannot be read; making them anew", append(key.fields(), zap.Error(err))...)
			continue
		}
		segments = append(segments, g)
	}
	return segments
}

func openKeys(dk *dataKey, key boxKey, k sealedKeys) (*keySegment, error) {
	raw, err := dk.openDerived(keysContext(key.box, k.lo), k.data)
	if err != nil {
		return nil, err
	}
	return unpackKeys(raw)
}

// keysContext binds sealed keys to their place.
func keysContext(box store.MailboxID, lo int64) []byte {
	b := binary.BigEndian.AppendUint64([]byte("sort keys:"), uint64(box))
	return binary.BigEndian.AppendUint64(b, uint64(lo))
}

// keyJob asks for keys of a mailbox to be stored: of those in segments the keys of uids.
type keyJob struct {
	key      boxKey
	segments []*keySegment
	uids     []imap.UID
}

// rows takes the keys out of the segments, those of one at a time. Some may have left them since.
func (j keyJob) rows() iter.Seq[[]keyRow] {
	slices.Sort(j.uids)
	return func(yield func([]keyRow) bool) {
		for _, g := range j.segments {
			var rows []keyRow
			for i, uid := range g.uids {
				if _, ok := slices.BinarySearch(j.uids, uid); ok {
					rows = append(rows, keyRow{uid, g.blobs[i], g.block.Key(i).Fields()})
				}
			}
			if len(rows) > 0 && !yield(rows) {
				return
			}
		}
	}
}

// keepKeys stores keys, those of one mailbox at a time, in the background.
func (s *Store) keepKeys(ctx context.Context) {
	for {
		select {
		case job := <-s.keyJobs:
			if err := s.storeKeys(ctx, job); err != nil && !errors.Is(err, context.Canceled) {
				s.log.Warn("storing sort keys failed", append(job.key.fields(), zap.Error(err))...)
			}
		case <-ctx.Done():
			return
		}
	}
}

// storeKeys stores keys that a session has made, in small transactions: the indexer may wait for them, and those of all of a
// large mailbox are many.
func (s *Store) storeKeys(ctx context.Context, job keyJob) error {
	dk, err := s.key(ctx, job.key.account)
	if err != nil {
		return failed("store sort keys", err)
	}
	for rows := range job.rows() {
		err := s.transact(ctx, func(tx pgx.Tx) error {
			w := &keyWriter{s: s, tx: tx, key: job.key, dk: dk}
			return w.add(ctx, rows)
		})
		if err != nil {
			return failed("store sort keys", err)
		}
	}
	return nil
}
