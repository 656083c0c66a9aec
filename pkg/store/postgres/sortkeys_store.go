package postgres

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"postern/pkg/store"
)

const sqlKeySegments = `
select lo, data
from sort_keys
where account_id = $1 and mailbox_id = $2
order by lo`

type sealedKeys struct {
	lo   int64
	data []byte
}

// loadKeys reads the stored keys of a mailbox. A segment that does not open is left out: it will be replaced.
func (s *Store) loadKeys(ctx context.Context, key boxKey) ([]*keySegment, error) {
	rows, err := s.pool.Query(ctx, sqlKeySegments, key.account, key.box)
	if err != nil {
		return nil, err
	}
	stored, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k sealedKeys, err error) {
		err = row.Scan(&k.lo, &k.data)
		return k, err
	})
	if err != nil || len(stored) == 0 {
		return nil, err
	}
	dk, err := s.key(ctx, key.account)
	if err != nil {
		return nil, err
	}
	var segments []*keySegment
	for _, k := range stored {
		g, err := openKeys(dk, key, k)
		if err != nil {
			s.log.Warn("stored sort keys cannot be read; making them anew", append(key.fields(), zap.Error(err))...)
			continue
		}
		segments = append(segments, g)
	}
	return segments, nil
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

// keyJob asks for the keys of a mailbox to be stored.
type keyJob struct {
	key      boxKey
	segments []*keySegment
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

const sqlLockKeys = `
select lo, hi, n
from sort_keys
where account_id = $1 and mailbox_id = $2
for update`

const sqlDropKeys = `
delete from sort_keys
where account_id = $1 and mailbox_id = $2 and lo = any($3)`

// The mailbox may have been deleted meanwhile.
const sqlPutKeys = `
insert into sort_keys (account_id, mailbox_id, lo, hi, n, data)
select $1, $2, $3, $4, $5, $6
where exists (select from mailbox_state where account_id = $1 and mailbox_id = $2)
on conflict (account_id, mailbox_id, lo) do update
set hi = excluded.hi, n = excluded.n, data = excluded.data`

// storedKeys is what the database says of a segment. Two that agree in it hold the same keys, or as good ones.
type storedKeys struct {
	lo, hi int64
	n      int
}

func (g *keySegment) stored() storedKeys {
	return storedKeys{int64(g.lo()), int64(g.hi()), len(g.uids)}
}

// storeKeys makes what is stored what is in memory; only what differs is written.
func (s *Store) storeKeys(ctx context.Context, job keyJob) error {
	dk, err := s.key(ctx, job.key.account)
	if err != nil {
		return failed("store sort keys", err)
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		there, err := lockKeys(ctx, tx, job.key)
		if err != nil {
			return err
		}
		var put []*keySegment
		for _, g := range job.segments {
			if k := g.stored(); there[k] {
				delete(there, k)
			} else {
				put = append(put, g)
			}
		}
		drop := make([]int64, 0, len(there))
		for k := range there {
			drop = append(drop, k.lo)
		}
		if _, err := tx.Exec(ctx, sqlDropKeys, job.key.account, job.key.box, drop); err != nil {
			return err
		}
		return putKeys(ctx, tx, dk, keyJob{job.key, put})
	})
	return failed("store sort keys", err)
}

func lockKeys(ctx context.Context, tx pgx.Tx, key boxKey) (map[storedKeys]bool, error) {
	rows, err := tx.Query(ctx, sqlLockKeys, key.account, key.box)
	if err != nil {
		return nil, err
	}
	there := make(map[storedKeys]bool)
	var k storedKeys
	_, err = pgx.ForEachRow(rows, []any{&k.lo, &k.hi, &k.n}, func() error { there[k] = true; return nil })
	return there, err
}

func putKeys(ctx context.Context, tx pgx.Tx, dk *dataKey, job keyJob) error {
	for _, g := range job.segments {
		raw, err := g.pack()
		if err != nil {
			return err
		}
		k := g.stored()
		sealed, err := dk.sealDerived(keysContext(job.key.box, k.lo), raw)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlPutKeys, job.key.account, job.key.box, k.lo, k.hi, k.n, sealed); err != nil {
			return err
		}
	}
	return nil
}
