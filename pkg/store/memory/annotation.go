package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"postern/pkg/store"
)

// annotationKey names an annotation of an account.
type annotationKey struct {
	box   store.MailboxID
	entry string
}

// annotation is a value, nil for one that was removed, and when it was last changed.
type annotation struct {
	value []byte
	at    int64
}

type annotations map[annotationKey]*annotation

// Annotations implements store.Account.
func (a *account) Annotations(ctx context.Context, q store.AnnotationQuery) ([]store.Annotation, error) {
	var found []store.Annotation
	err := a.read(ctx, "read annotations", func() error {
		for key, ann := range a.annotations {
			if ann.value == nil || q.Boxes != nil && !slices.Contains(q.Boxes, key.box) || !q.Selects(key.entry) {
				continue
			}
			f := store.Annotation{Box: key.box, Entry: key.entry, Size: len(ann.value)}
			if q.MaxSize < 0 || f.Size <= q.MaxSize {
				f.Value = bytes.Clone(ann.value)
			}
			found = append(found, f)
		}
		slices.SortFunc(found, func(x, y store.Annotation) int {
			return cmp.Or(cmp.Compare(x.Box, y.Box), cmp.Compare(x.Entry, y.Entry))
		})
		return nil
	})
	return found, err
}

// SetAnnotations implements store.Account.
func (a *account) SetAnnotations(ctx context.Context, at store.Place, set ...store.Annotation) error {
	return a.write(ctx, "set annotations", func() ([]store.MailboxID, error) {
		if err := store.CheckAnnotations(a.id, at, set); err != nil || len(set) == 0 {
			return nil, err
		}
		owner, box, err := a.annotated(at)
		if err != nil {
			return nil, err
		}
		parts, next := make(map[*account][]store.Annotation), make(map[*account]annotations)
		for _, s := range set {
			keeper := owner
			if store.IsPrivate(s.Entry) {
				keeper = a
			}
			parts[keeper] = append(parts[keeper], s)
		}
		for keeper, part := range parts {
			next[keeper] = keeper.annotate(at.Mailbox, part)
			if err := useOf(next[keeper], at.Mailbox).Check(); err != nil {
				return nil, err
			}
		}
		if i := slices.IndexFunc(set, func(s store.Annotation) bool { return s.Entry == store.SpecialUseEntry }); i >= 0 {
			if err := a.setUse(box, set[i].Value); err != nil {
				return nil, err
			}
		}
		for keeper := range parts {
			keeper.annotations = next[keeper]
			keeper.annotatedAt++
			keeper.forgetAnnotations()
			a.store.hub.Wake(keeper.id, tree...)
		}
		return nil, nil
	})
}

// annotated finds the mailbox that entries are about; none for the account as a whole.
func (a *account) annotated(at store.Place) (owner *account, box *mailbox, err error) {
	if at.Mailbox == 0 {
		return a, nil, nil
	}
	if owner = a.store.accounts[at.Account]; owner == nil {
		return nil, nil, fmt.Errorf("account %d: %w", at.Account, store.ErrNotFound)
	}
	box, err = owner.box(at.Mailbox)
	return owner, box, err
}

// annotate returns the account's annotations as they will be.
func (a *account) annotate(box store.MailboxID, set []store.Annotation) annotations {
	next := maps.Clone(a.annotations)
	for _, s := range set {
		key := annotationKey{box, s.Entry}
		switch {
		case s.Entry == store.SpecialUseEntry:
			next[key] = &annotation{at: a.annotatedAt + 1}
		case s.Value != nil, next[key] != nil && next[key].value != nil:
			next[key] = &annotation{value: bytes.Clone(s.Value), at: a.annotatedAt + 1}
		}
	}
	return next
}

// setUse gives a mailbox its special uses.
func (a *account) setUse(b *mailbox, value []byte) error {
	use, err := store.ParseUse(value)
	if err == nil {
		use, err = a.freeUse(use, b)
	}
	if err == nil {
		b.use = use
	}
	return err
}

func useOf(all annotations, box store.MailboxID) (use store.AnnotationUse) {
	for key, ann := range all {
		if ann.value == nil {
			continue
		}
		if use.All++; key.box == box {
			use.Box++
		}
		use.Octets += int64(len(ann.value))
	}
	return use
}

// forgetAnnotations forgets the oldest of too many that were removed.
func (a *account) forgetAnnotations() {
	var gone []annotationKey
	for key, ann := range a.annotations {
		if ann.value == nil {
			gone = append(gone, key)
		}
	}
	slices.SortFunc(gone, func(x, y annotationKey) int { return cmp.Compare(a.annotations[y].at, a.annotations[x].at) })
	for _, key := range gone[min(len(gone), store.AnnotationsGone):] {
		delete(a.annotations, key)
	}
}

// AnnotationChanges implements store.Account.
func (a *account) AnnotationChanges(ctx context.Context, since int64) ([]store.Annotation, int64, error) {
	var changed []store.Annotation
	var until int64
	err := a.read(ctx, "changes of annotations", func() error {
		var keys []annotationKey
		for key, ann := range a.annotations {
			if since >= 0 && ann.at > since {
				keys = append(keys, key)
			}
		}
		slices.SortFunc(keys, func(x, y annotationKey) int {
			return cmp.Or(cmp.Compare(a.annotations[x].at, a.annotations[y].at), cmp.Compare(x.box, y.box), cmp.Compare(x.entry, y.entry))
		})
		for _, key := range keys {
			changed = append(changed, store.Annotation{Box: key.box, Entry: key.entry, Size: len(a.annotations[key].value)})
		}
		until = a.annotatedAt
		return nil
	})
	return changed, until, err
}

// dropAnnotations forgets those of a mailbox, whoever has them.
func (s *Store) dropAnnotations(box store.MailboxID) {
	for _, a := range s.accounts {
		maps.DeleteFunc(a.annotations, func(key annotationKey, _ *annotation) bool { return key.box == box })
	}
}
