package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// accountTables are the tables that hold an account's rows, in the order in which they are emptied, and how many rows go
// in one transaction. The mailboxes go first: from then on nothing can be delivered. The bodies go last: one that is
// being stored for a delivery comes together with its row in blob_gc, so either both are found here or the sweeper finds
// them.
var accountTables = []struct {
	name  string
	batch int
}{
	{"mailbox_state", 1000},
	{"mailboxes", 1000},
	{"subscriptions", 10000},
	{"app_passwords", 1000},
	{"annotations", 100},
	{"acl", 10000},
	{"messages", 10000},
	{"journal", 1000},
	{"mailbox_index", 100},
	{"sort_keys", 100},
	{"fts_state", 1000},
	{"fts_block", 1000},
	{"fts_seg", 1000},
	{"deliveries", 10000},
	{"pop3_lease", 1},
	{"expunged", 10},
	{"logins", 10000},
	{"login_places", 10000},
	{"blob_refs", 10000},
	{"blob_gc", 1000},
	{"bodies", 500},
}

// A table's name cannot be an argument. It is one of accountTables.
func sqlEmpty(table string) string {
	return fmt.Sprintf(`
with d as (
  delete from %[1]s
  where account_id = $1 and ctid = any(array(
    select ctid
    from %[1]s
    where account_id = $1
    limit $2
  ))
)
select exists (select from %[1]s where account_id = $1)`, table)
}

const (
	sqlBeginDelete = `
update accounts
set state = 2
where account_id = $1`

	sqlDeleteTargets = `
delete from aliases
where target = (select address from accounts where account_id = $1)`

	// What others have noted of its mailboxes goes while it is known which those are.
	sqlForgetMailboxes = `
delete from annotations
where account_id <> $1 and mailbox_id in (select mailbox_id from mailboxes where account_id = $1)`

	sqlDeleteAccount = `
delete from accounts
where account_id = $1`
)

// DeleteAccount removes an account and all its mail for good, and the aliases' references to it. From the first moment
// nobody can log in to it and no mail arrives. The rest is done in small transactions; if it is interrupted, call it
// again. store.ErrNotFound.
func (s *Store) DeleteAccount(ctx context.Context, id store.AccountID) (err error) {
	defer func() {
		s.doubt(id, err)
		s.cache.outdateTree(id) // what was there when the deletion began is gone as well
	}()
	if err := s.beginDelete(ctx, id); err != nil {
		return failed("delete account", err)
	}
	s.published(id)
	if _, err := s.exec(ctx, sqlForgetMailboxes, id); err != nil {
		return failed("delete account: annotations of others", err)
	}
	for _, t := range accountTables {
		if err := s.empty(ctx, id, t.name, t.batch); err != nil {
			return failed("delete account: "+t.name, err)
		}
	}
	_, err = s.exec(ctx, sqlDeleteAccount, id)
	s.keys.cached.drop(id)
	return failed("delete account", err)
}

func (s *Store) beginDelete(ctx context.Context, id store.AccountID) error {
	defer s.forget(id)
	return s.transact(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, sqlLockAddresses, addressesLock); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, sqlBeginDelete, id)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return fmt.Errorf("account %d: %w", id, store.ErrNotFound)
		}
		if _, err = tx.Exec(ctx, sqlDeleteTargets, id); err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, sqlDeleteRightsOf, id); err != nil {
			return err
		}
		return notifyLogin(ctx, tx, id)
	})
}

// empty asks until there was nothing left to begin with: a row that another transaction has just changed is not at the
// place where it was found, and so stays for the next time.
func (s *Store) empty(ctx context.Context, id store.AccountID, table string, batch int) error {
	sql := sqlEmpty(table)
	for more := true; more; {
		if err := retry(func() error { return s.pool.QueryRow(ctx, sql, id, batch).Scan(&more) }); err != nil {
			return err
		}
	}
	return nil
}
