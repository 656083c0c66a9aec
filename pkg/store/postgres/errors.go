package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"postern/pkg/store"
)

// The SQLSTATEs the package acts on.
const (
	undefinedTable       = "42P01"
	uniqueViolation      = "23505"
	notNullViolation     = "23502"
	divisionByZero       = "22012"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
)

// unavailable are the SQLSTATEs, and the classes of them, that say "not now" rather than "not so".
var unavailable = map[string]bool{
	"08":             true, // connection exception
	"53":             true, // insufficient resources: disk full, too many connections
	"57":             true, // operator intervention: shutdown, cancel (a deadline), starting up
	"58":             true, // system error
	"40":             true, // deadlock, serialization failure, after our own retry
	lockNotAvailable: true,
	"25006":          true, // read-only transaction: a standby
}

// failed wraps an error with the operation and, where the caller can act on it, with one of store's. It returns nil for
// nil, so that it can end a function.
func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	if s := sentinel(err); s != nil && !errors.Is(err, s) {
		return fmt.Errorf("%s: %w: %w", op, s, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}

func sentinel(err error) error {
	var pe *pgconn.PgError
	switch {
	case errors.As(err, &pe):
		return sentinelOf(pe)
	case errors.Is(err, pgx.ErrNoRows):
		return store.ErrNotFound
	case errors.Is(err, context.Canceled):
		return nil
	case isLost(err):
		return store.ErrUnavailable
	}
	return nil
}

func sentinelOf(pe *pgconn.PgError) error {
	switch {
	case pe.Code == notNullViolation && pe.TableName == "messages" && pe.ColumnName == "uid":
		return store.ErrNotFound // the mailbox row that gives the UID is gone
	case pe.Code == divisionByZero:
		return store.ErrUnavailable // a body was swept before its message came: see sqlIntentDone
	case unavailable[pe.Code], unavailable[pe.Code[:min(2, len(pe.Code))]]:
		return store.ErrUnavailable
	}
	return nil
}

// isLost reports that a connection could not be had or was lost, or that time ran out.
func isLost(err error) bool {
	var ne net.Error
	var ce *pgconn.ConnectError
	return errors.As(err, &ne) || errors.As(err, &ce) || pgconn.Timeout(err) || pgconn.SafeToRetry(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, puddle.ErrClosedPool)
}

// isConflict reports that a transaction lost against another and may simply be run again.
func isConflict(err error) bool {
	return hasCode(err, serializationFailure) || hasCode(err, deadlockDetected)
}

// retry runs a transaction, and once more if it lost against another.
func retry(run func() error) error {
	err := run()
	if isConflict(err) {
		err = run()
	}
	return err
}

// isRefused reports an answer of the server after which nothing of what was asked has been done. A FATAL one, as when the
// server is being shut down, may have come just after the commit.
func isRefused(err error) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.SeverityUnlocalized == "ERROR"
}

// isDuplicate reports a unique violation in a table.
func isDuplicate(err error, table string) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == uniqueViolation && pe.TableName == table
}

func hasCode(err error, code string) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == code
}
