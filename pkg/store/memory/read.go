package memory

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// current returns the Snapshot of the mailbox as it is now.
func (b *mailbox) current() *store.Snapshot {
	if b.snapshot == nil {
		info := store.Mailbox{ID: b.id, UIDValidity: b.validity, UIDNext: b.uidNext, ModSeq: b.modSeq}
		b.snapshot = store.NewSnapshot(info, slices.Clone(b.keywords), b.rows)
	}
	return b.snapshot
}

// Open implements store.Account.
func (a *account) Open(ctx context.Context, name string) (store.Mailbox, *store.Snapshot, error) {
	var (
		info store.Mailbox
		s    *store.Snapshot
	)
	err := a.read(ctx, "open mailbox", func() error {
		b, err := a.find(name)
		if err == nil {
			info, s = a.info(b), b.current()
		}
		return err
	})
	return info, s, err
}

// Refresh implements store.Account.
func (a *account) Refresh(ctx context.Context, have *store.Snapshot) (*store.Snapshot, store.Changes, error) {
	now := have
	err := a.read(ctx, "refresh mailbox", func() error {
		b, err := a.box(have.Mailbox())
		if err == nil && b.modSeq != have.ModSeq() {
			now = b.current()
		}
		return err
	})
	if err != nil {
		return nil, store.Changes{}, err
	}
	return now, now.ChangesFrom(have), nil
}

// RefreshTo implements store.Account.
func (a *account) RefreshTo(ctx context.Context, have *store.Snapshot, _ store.ModSeq) (*store.Snapshot, store.Changes, error) {
	return a.Refresh(ctx, have)
}

// Since implements store.Account.
func (a *account) Since(ctx context.Context, have *store.Snapshot, at store.ModSeq) (store.Changes, error) {
	at = max(at, 1) // the mod-sequence of an empty mailbox; some clients say 0
	ch := have.Since(at)
	if at >= have.ModSeq() {
		ch.Complete = true
		return ch, nil
	}
	err := a.read(ctx, "changes since", func() error {
		b, err := a.box(have.Mailbox())
		if err != nil {
			return err
		}
		for _, e := range b.gone {
			if e.ModSeq > at && e.ModSeq <= have.ModSeq() {
				ch.Removed = append(ch.Removed, e)
			}
		}
		ch.Complete = at >= b.swept
		return nil
	})
	slices.SortFunc(ch.Removed, func(x, y store.Entry) int { return cmp.Compare(x.UID, y.UID) })
	return ch, err
}

// Messages implements store.Account.
func (a *account) Messages(
	ctx context.Context, have *store.Snapshot, uids imap.UIDSet, want store.Fields,
) iter.Seq2[*store.Message, error] {
	return func(yield func(*store.Message, error) bool) {
		for _, r := range have.Indices(uids) {
			for i := r[0]; i < r[1]; i++ {
				if ctx.Err() != nil {
					yield(nil, fmt.Errorf("read messages: %w", store.ErrUnavailable))
					return
				}
				if !yield(a.message(ctx, have, i, want)) {
					return
				}
			}
		}
	}
}

func (a *account) message(ctx context.Context, have *store.Snapshot, i int, want store.Fields) (*store.Message, error) {
	m := have.Message(i)
	m.Body = body{ctx, a, m.ID}
	if want == 0 {
		return m, nil
	}
	o, err := a.load(ctx, m.ID)
	if err != nil {
		return m, fmt.Errorf("read UID %d: %w", m.UID, err)
	}
	m.Part = o.part
	return m, nil
}

// load returns the octets of a message; ErrNotFound when they have been swept.
func (a *account) load(ctx context.Context, id store.MessageID) (octets, error) {
	var o octets
	err := a.read(ctx, "read message", func() error {
		if found := a.octets[id]; found != nil {
			o = *found
			return nil
		}
		return store.ErrNotFound
	})
	return o, err
}

// body reads the octets of a message when asked.
type body struct {
	ctx context.Context // of the call of Messages that made it: store.Message.Body outlives no command
	a   *account
	id  store.MessageID
}

// ReadAt implements io.ReaderAt.
func (b body) ReadAt(p []byte, off int64) (int, error) {
	o, err := b.a.load(b.ctx, b.id)
	if err != nil {
		return 0, err
	}
	return bytes.NewReader(o.data).ReadAt(p, off)
}

// Search implements store.Account, by asking Criteria.Match of each message.
func (a *account) Search(ctx context.Context, have *store.Snapshot, c *store.Criteria) ([]imap.UID, error) {
	var found []imap.UID
	all := imap.UIDSet{{Start: 1, Stop: have.UIDNext()}}
	now, done := a.store.now(), 0
	for m, err := range a.Messages(ctx, have, all, c.Needs()) {
		store.Progress(ctx, done, have.Len())
		done++
		ok := false
		if err == nil {
			ok, err = c.Match(ctx, m, have.Keywords(), now)
		}
		switch {
		case ok:
			found = append(found, m.UID)
		case err != nil && (m == nil || !errors.Is(err, store.ErrNotFound)): // what is gone matches nothing
			return nil, fmt.Errorf("search: %w", err)
		}
	}
	return found, nil
}

// ClaimRecent implements store.Account.
func (a *account) ClaimRecent(ctx context.Context, box store.MailboxID, upTo imap.UID) (imap.UID, error) {
	var from imap.UID
	err := a.read(ctx, "claim recent", func() error {
		b, err := a.box(box)
		if err == nil {
			from = min(b.claimed, upTo)
			b.claimed = max(b.claimed, upTo)
		}
		return err
	})
	return from, err
}
