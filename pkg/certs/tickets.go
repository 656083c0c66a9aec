package certs

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// A session ticket is sealed with the newest key that is a few minutes old, so that every process has read it by then, and
// opened with any: for a day a client that comes back need not do all of the handshake again (RFC 8446 §4.6.1, RFC 5077),
// whichever process it meets. A key that is found out later opens no more than that.
const (
	ticketEvery = time.Hour
	ticketAhead = 5 * time.Minute // between the making of a key and its use
	ticketKept  = 24 * time.Hour
	ticketCheck = time.Minute
	ticketName  = "tickets/keys" // in the storage, and as the name of the lock
)

// ticketKey is a key as it is stored.
type ticketKey struct {
	Key  []byte    `json:"key"`
	Made time.Time `json:"made"`
}

// tickets keeps the keys of a configuration those in the storage.
type tickets struct {
	storage certmagic.Storage
	config  *tls.Config
	now     func() time.Time
	log     *zap.Logger
	faulty  bool
}

// run keeps the keys fresh until ctx ends. While the storage is away those there are go on.
func (t *tickets) run(ctx context.Context) {
	tick := time.NewTicker(ticketCheck)
	defer tick.Stop()
	for {
		err := t.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !t.faulty {
			t.log.Warn("the keys of session tickets stay as they are", zap.Error(err))
		}
		t.faulty = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// refresh reads the keys, makes the next one when it is due, and uses them.
func (t *tickets) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ticketCheck)
	defer cancel()
	keys, err := t.load(ctx)
	if err == nil && t.due(keys) {
		keys, err = t.rotate(ctx)
	}
	if err != nil {
		return fmt.Errorf("session tickets: %w", err)
	}
	t.config.SetSessionTicketKeys(t.order(keys))
	return nil
}

// load returns the keys there are, the newest first.
func (t *tickets) load(ctx context.Context) (keys []ticketKey, err error) {
	text, err := t.storage.Load(ctx, ticketName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(keys, func(k ticketKey) bool { return len(k.Key) != 32 }), nil
}

func (t *tickets) due(keys []ticketKey) bool {
	return len(keys) == 0 || t.now().Sub(keys[0].Made) >= ticketEvery
}

// rotate makes a key, unless another process has just done so.
func (t *tickets) rotate(ctx context.Context) (keys []ticketKey, err error) {
	if err := t.storage.Lock(ctx, ticketName); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.storage.Unlock(ctx, ticketName)) }()
	keys, err = t.load(ctx)
	if err != nil || !t.due(keys) {
		return keys, err
	}
	now := t.now()
	next := ticketKey{Key: make([]byte, 32), Made: now}
	rand.Read(next.Key) // it ends the program rather than fail
	keys = slices.DeleteFunc(keys, func(k ticketKey) bool { return now.Sub(k.Made) > ticketKept })
	keys = slices.Insert(keys, 0, next)
	text, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	return keys, t.storage.Store(ctx, ticketName, text)
}

// order is the keys as crypto/tls wants them: that which seals, then the others.
func (t *tickets) order(keys []ticketKey) [][32]byte {
	seals := 0
	for seals < len(keys)-1 && t.now().Sub(keys[seals].Made) < ticketAhead {
		seals++
	}
	list := [][32]byte{[32]byte(keys[seals].Key)}
	for i, k := range keys {
		if i != seals {
			list = append(list, [32]byte(k.Key))
		}
	}
	return list
}
