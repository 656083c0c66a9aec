package postgres

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"postern/pkg/store"
)

// keySize is the length of the key-encryption key and of data keys: AES-256.
const keySize = 32

// keysCached is how many accounts' data keys are kept unwrapped.
const keysCached = 16384

// ErrMasterKey is returned by Open when mail in the database was sealed with another key-encryption key.
var ErrMasterKey = errors.New("the master key is not the one this database's mail was sealed with")

// keyring unwraps the accounts' data keys. It is safe for concurrent use.
type keyring struct {
	id     string // of the key-encryption key, derived from it: another key has another
	kek    cipher.AEAD
	codecs *codecs
	cached *lru[store.AccountID, *dataKey]
}

func newKeyring(o Options) (*keyring, error) {
	if len(o.MasterKey) != keySize {
		return nil, fmt.Errorf("the master key has %d octets, it must have %d", len(o.MasterKey), keySize)
	}
	kek, err := newAEAD(o.MasterKey)
	if err != nil {
		return nil, err
	}
	codecs, err := newCodecs(o.Compression)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte("postern key id:"), o.MasterKey...))
	return &keyring{
		id: hex.EncodeToString(sum[:8]), kek: kek, codecs: codecs,
		cached: newLRU[store.AccountID, *dataKey](keysCached),
	}, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

const sqlForeignKey = `
select kek_id
from accounts
where kek_id <> $1
limit 1`

const sqlSomeKey = `
select kek_id
from accounts
limit 1`

// check refuses a database whose accounts were made with another key-encryption key.
func (k *keyring) check(ctx context.Context, q querier) error {
	return k.refuse(q.QueryRow(ctx, sqlForeignKey, k.id))
}

// checkSome is check where all accounts are known to have one key.
func (k *keyring) checkSome(ctx context.Context, q querier) error {
	return k.refuse(q.QueryRow(ctx, sqlSomeKey))
}

func (k *keyring) refuse(row pgx.Row) error {
	var other string
	err := row.Scan(&other)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && other == k.id {
		return nil
	}
	if err != nil {
		return failed("check master key", err)
	}
	return fmt.Errorf("%w: ours is %s, the database says %s", ErrMasterKey, k.id, other)
}

const sqlKey = `
select dek, kek_id, (
  select 'bodies_' || n
  from generate_series(0, 31) n
  where satisfies_hash_partition('bodies'::regclass, 32, n, account_id)
)
from accounts
where account_id = $1`

// key returns an account's data key, or store.ErrNotFound.
func (s *Store) key(ctx context.Context, id store.AccountID) (*dataKey, error) {
	if k, ok := s.keys.cached.get(id); ok {
		return k, nil
	}
	var wrapped []byte
	var kekID, bodies string
	if err := s.pool.QueryRow(ctx, sqlKey, id).Scan(&wrapped, &kekID, &bodies); err != nil {
		return nil, failed("read data key", err)
	}
	k, err := s.keys.unwrap(id, wrapped, kekID)
	if err != nil {
		return nil, err
	}
	k.bodies = bodies
	s.keys.cached.put(id, k)
	return k, nil
}

// make returns a new data key for an account, wrapped. An account's key never changes.
func (k *keyring) make(id store.AccountID) (wrapped []byte, err error) {
	secret := make([]byte, keySize)
	nonce := make([]byte, k.kek.NonceSize(), k.kek.NonceSize()+keySize+k.kek.Overhead())
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("make data key: %w", err)
	}
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("make data key: %w", err)
	}
	return k.kek.Seal(nonce, nonce, secret, k.wrapContext(id)), nil
}

func (k *keyring) unwrap(id store.AccountID, wrapped []byte, kekID string) (*dataKey, error) {
	if kekID != k.id {
		return nil, fmt.Errorf("account %d: %w: ours is %s, the account says %s", id, ErrMasterKey, k.id, kekID)
	}
	n := k.kek.NonceSize()
	if len(wrapped) < n {
		return nil, fmt.Errorf("account %d: data key is damaged", id)
	}
	secret, err := k.kek.Open(nil, wrapped[:n], wrapped[n:], k.wrapContext(id))
	if err != nil {
		return nil, fmt.Errorf("account %d: data key does not open: %w", id, err)
	}
	return &dataKey{account: id, secret: secret, codecs: k.codecs}, nil
}

// wrapContext binds a wrapped key to its account and to the name of the key that wraps it.
func (k *keyring) wrapContext(id store.AccountID) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("postern data key:"), uint64(id)), k.id...)
}
