package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// pipe is a transaction whose statements go to the server together: what is queued waits until somebody needs an answer,
// at the latest for the commit. One in which nobody does is a single round trip, the commit included: then it is the
// transaction that PostgreSQL makes of every pipeline. Round trips are what a command on one message takes its time for.
// What a callback returns comes after the commit in that case: it may say that there was nothing to do, not that it must be undone.
type pipe struct {
	conn interface {
		SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	}
	tx    pgx.Tx // nil until somebody needed an answer
	batch pgx.Batch
}

// pipeIn is a pipe into a transaction that somebody else has begun, and commits.
func pipeIn(tx pgx.Tx) *pipe { return &pipe{conn: tx, tx: tx} }

// queue adds a statement.
func (p *pipe) queue(sql string, args ...any) *pgx.QueuedQuery { return p.batch.Queue(sql, args...) }

// flush has what is queued answered and returns the transaction, which goes on.
func (p *pipe) flush(ctx context.Context) (pgx.Tx, error) {
	queued := p.batch.QueuedQueries
	p.batch = pgx.Batch{}
	var b pgx.Batch
	if p.tx == nil {
		b.BeginTx(pgx.TxOptions{})
	}
	b.QueuedQueries = append(b.QueuedQueries, queued...)
	res := p.conn.SendBatch(ctx, &b)
	if p.tx == nil {
		p.tx = res.Tx()
	}
	return p.tx, res.Close()
}

// commit has the rest answered, and ends the transaction.
func (p *pipe) commit(ctx context.Context) error {
	if p.tx != nil {
		p.queue(`commit`)
	}
	return p.conn.SendBatch(ctx, &p.batch).Close()
}

// pipeline runs steps in a transaction, and again once if it loses against another.
func (s *Store) pipeline(ctx context.Context, steps func(p *pipe) error) error {
	return retry(func() error { return s.pipelineOnce(ctx, steps) })
}

func (s *Store) pipelineOnce(ctx context.Context, steps func(p *pipe) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	p := &pipe{conn: conn}
	if err = steps(p); err == nil {
		err = p.commit(ctx)
	}
	if err != nil && p.tx != nil && conn.Conn().PgConn().TxStatus() != 'I' {
		_ = p.tx.Rollback(ctx) // what failed is what matters; the pool keeps no connection in a transaction
	}
	return err
}
