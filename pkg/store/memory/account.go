package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/message"
	"postern/pkg/store"
)

// account is an account, and the handle on it.
type account struct {
	store    *Store
	id       store.AccountID
	address  string
	secret   string
	disabled bool
	disable  string // capabilities of IMAP, with commas between
	limits   store.Limits

	boxes        map[store.MailboxID]*mailbox
	subscribed   map[string]bool
	octets       map[store.MessageID]*octets
	delivered    map[string]time.Time // by DeliveryKey
	annotations  annotations
	annotatedAt  int64 // the last change of annotations
	lastValidity uint32
	locked       bool // the maildrop
}

// octets is what copies of a message share.
type octets struct {
	data []byte
	part *message.Part
}

// mailbox is a mailbox. Its counts are counted when asked for.
type mailbox struct {
	id       store.MailboxID
	name     string
	validity uint32
	uidNext  imap.UID
	modSeq   store.ModSeq
	use      []imap.MailboxAttr
	keywords []imap.Flag
	acl      []store.ACLEntry // in order; never changed in place
	rows     []store.Row      // ascending UID
	gone     []store.Entry    // tombstones, in the order of removal
	swept    store.ModSeq     // tombstones up to here are lost
	claimed  imap.UID         // messages from here on are \Recent for whoever asks first
	snapshot *store.Snapshot
}

// ID implements store.Account.
func (a *account) ID() store.AccountID { return a.id }

// read runs a reading operation.
func (a *account) read(ctx context.Context, op string, f func() error) error {
	return a.store.do(ctx, op, f)
}

// write runs a writing operation and wakes who watches the mailboxes it names. f must not change anything if it fails.
func (a *account) write(ctx context.Context, op string, f func() ([]store.MailboxID, error)) error {
	return a.store.do(ctx, op, func() error {
		boxes, err := f()
		if err == nil && len(boxes) > 0 {
			a.store.hub.Wake(a.id, boxes...)
		}
		return err
	})
}

// tree is what a change of the tree itself touches.
var tree = []store.MailboxID{0}

// Quota implements store.Account.
func (a *account) Quota(ctx context.Context) (store.Quota, error) {
	var q store.Quota
	err := a.read(ctx, "quota", func() error {
		q = store.Quota{
			Limit: a.limits.Octets, Used: a.used(), MessageLimit: a.limits.Messages, Messages: a.messages(),
			Mailboxes: int64(len(a.boxes)), MailboxLimit: a.limits.Mailboxes,
		}
		return nil
	})
	return q, err
}

func (a *account) used() int64 {
	var used int64
	for _, b := range a.boxes {
		used += size(b.rows)
	}
	return used
}

func (a *account) messages() int64 {
	var n int64
	for _, b := range a.boxes {
		n += int64(len(b.rows))
	}
	return n
}

// room reports whether more messages fit.
func (a *account) room(octets int64, messages int) error {
	if a.limits.Octets > 0 && octets > 0 && a.used()+octets > a.limits.Octets {
		return store.ErrOverQuota
	}
	if a.limits.Messages > 0 && messages > 0 && a.messages()+int64(messages) > a.limits.Messages {
		return store.ErrOverQuota
	}
	return nil
}

// full reports whether no message fits.
func (a *account) full() bool {
	return a.limits.Octets > 0 && a.used() >= a.limits.Octets || a.limits.Messages > 0 && a.messages() >= a.limits.Messages
}

func size(rows []store.Row) int64 {
	var n int64
	for i := range rows {
		n += rows[i].Size
	}
	return n
}

// LockMaildrop implements store.Account.
func (a *account) LockMaildrop(ctx context.Context) (*store.Lease, error) {
	err := a.read(ctx, "lock maildrop", func() error {
		if a.locked {
			return store.ErrInUse
		}
		a.locked = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &store.Lease{
		Lost: make(chan struct{}),
		Release: sync.OnceFunc(func() {
			a.store.mu.Lock()
			defer a.store.mu.Unlock()
			a.locked = false
		}),
	}, nil
}

// sweep forgets tombstones, octets that no mailbox holds, and deliveries.
func (a *account) sweep() {
	clear(a.delivered)
	held := make(map[store.MessageID]bool)
	for _, b := range a.boxes {
		for _, e := range b.gone {
			b.swept = max(b.swept, e.ModSeq)
		}
		b.gone = nil
		for i := range b.rows {
			held[b.rows[i].ID] = true
		}
	}
	for id := range a.octets {
		if !held[id] {
			delete(a.octets, id)
		}
	}
}

// box returns a mailbox by id.
func (a *account) box(id store.MailboxID) (*mailbox, error) {
	if b := a.boxes[id]; b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("mailbox %d: %w", id, store.ErrNotFound)
}

// named returns a mailbox by canonical name, or nil.
func (a *account) named(name string) *mailbox {
	for _, b := range a.boxes {
		if b.name == name {
			return b
		}
	}
	return nil
}

// find returns a mailbox by a name in any spelling.
func (a *account) find(name string) (*mailbox, error) {
	canonical, err := store.CanonicalName(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	if b := a.named(canonical); b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("mailbox %q: %w", canonical, store.ErrNotFound)
}
