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
func (a *account) SetAnnotations(ctx context.Context, box store.MailboxID, set ...store.Annotation) error {
	return a.write(ctx, "set annotations", func() ([]store.MailboxID, error) {
		if err := store.CheckAnnotations(set); err != nil {
			return nil, err
		}
		next := maps.Clone(a.annotations)
		for _, s := range set {
			if box != 0 && a.boxes[box] == nil && !store.IsPrivate(s.Entry) {
				return nil, fmt.Errorf("mailbox %d: %w", box, store.ErrNotFound)
			}
			key := annotationKey{box, s.Entry}
			if s.Value != nil || next[key] != nil && next[key].value != nil {
				next[key] = &annotation{value: bytes.Clone(s.Value), at: a.annotated + 1}
			}
		}
		if err := useOf(next, box).Check(); err != nil {
			return nil, err
		}
		if len(set) > 0 {
			a.annotated++
		}
		a.annotations = next
		a.forgetAnnotations()
		return tree, nil
	})
}

func useOf(annotations map[annotationKey]*annotation, box store.MailboxID) (use store.AnnotationUse) {
	for key, ann := range annotations {
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
		until = a.annotated
		return nil
	})
	return changed, until, err
}

// dropAnnotations forgets those of a mailbox.
func (a *account) dropAnnotations(box store.MailboxID) {
	maps.DeleteFunc(a.annotations, func(key annotationKey, _ *annotation) bool { return key.box == box })
}
