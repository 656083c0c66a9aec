package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jackc/pgx/v5"
)

// A lock of certStorage is renewed every certLockBeat and is over certLockExpiry after the last renewal, by the database's
// clock. Who waits for one asks every certLockPoll.
const (
	certLockBeat   = 10 * time.Second
	certLockExpiry = 30 * time.Second
	certLockPoll   = 500 * time.Millisecond
)

// certStorage keeps what CertMagic keeps, for all processes on this database, values sealed with the master key.
type certStorage struct {
	s *Store

	mu   sync.Mutex
	held map[string]*certLock // by name; guarded by mu
}

// certLock is a lock that this process holds.
type certLock struct {
	holder int64
	stop   context.CancelFunc // of its renewal
}

var _ interface {
	certmagic.Storage
	certmagic.TryLocker
} = (*certStorage)(nil)

// Certificates returns the storage in which every process on this database finds the same certificates, ACME accounts and
// locks. It is safe for concurrent use. What is stored can be read with the master key only.
func (s *Store) Certificates() certmagic.Storage {
	return &certStorage{s: s, held: make(map[string]*certLock)}
}

const sqlStoreCert = `
insert into certificates (key, value)
values ($1, $2)
on conflict (key) do update
set value = excluded.value, modified = now()`

// Store implements certmagic.Storage.
func (c *certStorage) Store(ctx context.Context, key string, value []byte) error {
	sealed, err := c.s.keys.seal(certContext(key), value)
	if err == nil {
		_, err = c.s.pool.Exec(ctx, sqlStoreCert, key, sealed)
	}
	return failed("store "+key, err)
}

const sqlLoadCert = `
select value
from certificates
where key = $1`

// Load implements certmagic.Storage.
func (c *certStorage) Load(ctx context.Context, key string) ([]byte, error) {
	var sealed []byte
	if err := c.s.pool.QueryRow(ctx, sqlLoadCert, key).Scan(&sealed); err != nil {
		return nil, missing("load "+key, err)
	}
	value, err := c.s.keys.open(certContext(key), sealed)
	return value, failed("load "+key, err)
}

// missing is failed for those who know a missing file as fs.ErrNotExist.
func missing(what string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%s: %w", what, fs.ErrNotExist)
	}
	return failed(what, err)
}

const sqlDeleteCert = `
delete from certificates
where key = $1 or key > $1 || '/' and key < $1 || '0'`

// Delete implements certmagic.Storage.
func (c *certStorage) Delete(ctx context.Context, key string) error {
	_, err := c.s.pool.Exec(ctx, sqlDeleteCert, key)
	return failed("delete "+key, err)
}

const sqlCertExists = `
select exists (select from certificates where key = $1 or key > $1 || '/' and key < $1 || '0')`

// Exists implements certmagic.Storage, whose answer has no room for an error: it is noted, and the answer is no.
func (c *certStorage) Exists(ctx context.Context, key string) (found bool) {
	err := c.s.pool.QueryRow(ctx, sqlCertExists, key).Scan(&found)
	c.s.outage.report("look for "+key, err)
	return found && err == nil
}

const sqlListCerts = `
select key
from certificates
where key = $1 or key > $1 || '/' and key < $1 || '0'
order by key`

const sqlAllCerts = `
select key
from certificates
order by key`

// List implements certmagic.Storage.
func (c *certStorage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	rows, err := c.query(ctx, path)
	if err != nil {
		return nil, failed("list "+path, err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, failed("list "+path, err)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("list %s: %w", path, fs.ErrNotExist)
	}
	if recursive {
		return keys, nil
	}
	return children(path, keys), nil
}

// query asks for the keys below path, or for all.
func (c *certStorage) query(ctx context.Context, path string) (pgx.Rows, error) {
	if path == "" {
		return c.s.pool.Query(ctx, sqlAllCerts)
	}
	return c.s.pool.Query(ctx, sqlListCerts, path)
}

// children are the keys directly below path; keys are in order.
func children(path string, keys []string) []string {
	prefix := path + "/"
	if path == "" {
		prefix = ""
	}
	var list []string
	for _, key := range keys {
		name, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue // path itself
		}
		name, _, _ = strings.Cut(name, "/")
		if child := prefix + name; len(list) == 0 || list[len(list)-1] != child {
			list = append(list, child)
		}
	}
	return list
}

const sqlStatCert = `
select modified, octet_length(value)
from certificates
where key = $1`

// Stat implements certmagic.Storage.
func (c *certStorage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	info := certmagic.KeyInfo{Key: key, IsTerminal: true}
	err := c.s.pool.QueryRow(ctx, sqlStatCert, key).Scan(&info.Modified, &info.Size)
	info.Size -= int64(c.s.keys.overhead())
	if errors.Is(err, pgx.ErrNoRows) && c.Exists(ctx, key) {
		return certmagic.KeyInfo{Key: key}, nil
	}
	return info, missing("stat "+key, err)
}

// Lock implements certmagic.Locker: it waits until nobody holds the lock, or its holder has not been heard of.
func (c *certStorage) Lock(ctx context.Context, name string) error {
	tick := time.NewTicker(certLockPoll)
	defer tick.Stop()
	for {
		if ok, err := c.TryLock(ctx, name); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("lock %s: %w", name, ctx.Err())
		}
	}
}

const sqlTakeCertLock = `
insert into certificate_locks as l (name, holder, expires_at)
values ($1, $2, now() + $3::interval)
on conflict (name) do update
set holder = excluded.holder, expires_at = excluded.expires_at
where l.expires_at <= now()`

// TryLock implements certmagic.TryLocker.
func (c *certStorage) TryLock(ctx context.Context, name string) (bool, error) {
	holder := mathrand.Int64()
	tag, err := c.s.pool.Exec(ctx, sqlTakeCertLock, name, holder, certLockExpiry)
	if err != nil || tag.RowsAffected() == 0 {
		return false, failed("lock "+name, err)
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx)) // what is locked may outlive the call
	c.mu.Lock()
	c.held[name] = &certLock{holder, stop}
	c.mu.Unlock()
	go c.renew(renewing, name, holder)
	return true, nil
}

const sqlRenewCertLock = `
update certificate_locks
set expires_at = now() + $3::interval
where name = $1 and holder = $2`

// renew keeps a lock until ctx ends. Should it be lost all the same, two processes order one certificate, which does no
// harm.
func (c *certStorage) renew(ctx context.Context, name string, holder int64) {
	tick := time.NewTicker(certLockBeat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, err := c.s.pool.Exec(ctx, sqlRenewCertLock, name, holder, certLockExpiry)
			if ctx.Err() == nil {
				c.s.outage.report("renew the lock "+name, err)
			}
		case <-ctx.Done():
			return
		}
	}
}

const sqlReleaseCertLock = `
delete from certificate_locks
where name = $1 and holder = $2`

// Unlock implements certmagic.Locker. It succeeds although ctx has ended.
func (c *certStorage) Unlock(ctx context.Context, name string) error {
	c.mu.Lock()
	lock := c.held[name]
	delete(c.held, name)
	c.mu.Unlock()
	if lock == nil {
		return fmt.Errorf("unlock %s: it is not locked", name)
	}
	lock.stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), certLockBeat)
	defer cancel()
	_, err := c.s.pool.Exec(ctx, sqlReleaseCertLock, name, lock.holder)
	return failed("unlock "+name, err)
}

func certContext(key string) []byte { return append([]byte("postern certificate:"), key...) }

// seal seals what belongs to no account with the key-encryption key. context says what it is and where it belongs.
func (k *keyring) seal(context, raw []byte) ([]byte, error) {
	nonce := make([]byte, k.kek.NonceSize(), k.overhead()+len(raw))
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return k.kek.Seal(nonce, nonce, raw, append(context, k.id...)), nil
}

// open undoes seal.
func (k *keyring) open(context, sealed []byte) ([]byte, error) {
	n := k.kek.NonceSize()
	if len(sealed) < n {
		return nil, errDamaged
	}
	raw, err := k.kek.Open(nil, sealed[:n], sealed[n:], append(context, k.id...))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return raw, nil
}

// overhead is how much longer what is sealed becomes.
func (k *keyring) overhead() int { return k.kek.NonceSize() + k.kek.Overhead() }
