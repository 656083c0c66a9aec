package memory

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// Replace implements store.Account.
func (a *account) Replace(ctx context.Context, r store.Replacement) (uid imap.UID, err error) {
	draft := *r.Draft
	draft.DeliveryKey = nil
	data, err := io.ReadAll(io.NewSectionReader(draft.Spooled, 0, draft.Size()))
	if err != nil {
		return 0, fmt.Errorf("replace: read draft: %w", err)
	}
	data = slices.Concat(draft.Prefix, data)
	err = a.write(ctx, "replace", func() ([]store.MailboxID, error) {
		src, err := a.box(r.From)
		if err != nil {
			return nil, err
		}
		dst, err := a.box(r.To)
		if err != nil {
			return nil, err
		}
		old := src.pick(imap.UIDSetNum(r.UID))
		if len(old) == 0 {
			return nil, store.ErrExpunged
		}
		if err := a.room(int64(len(data))-size(old), 0); err != nil {
			return nil, err
		}
		rows, keywords, err := a.rows(dst, []*store.Draft{&draft}, []int{0})
		if err != nil {
			return nil, err
		}
		dst.keywords = append(dst.keywords, keywords...)
		uid = dst.uidNext
		a.keep(&rows[0], &draft, data)
		dst.insert(rows, a.store.now())
		src.take(old, src == dst)
		return []store.MailboxID{r.From, r.To}, nil
	})
	return uid, err
}
