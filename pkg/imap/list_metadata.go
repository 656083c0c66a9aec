package imap

import (
	"context"
	"slices"

	"postern/pkg/store"
)

// listMetadata reads the annotations that LIST is to tell (RFC 9590), in one query for all mailboxes of the user's own and one
// for each other owner of some.
func (c *conn) listMetadata(ctx context.Context, q *metadataQuery, names []found) (map[store.MailboxID][]store.Annotation, error) {
	if q == nil {
		return map[store.MailboxID][]store.Annotation{}, nil
	}
	boxes := make(map[store.MailboxID]*found)
	all := make([]store.MailboxID, 0, len(names)) // not nil, which would be every mailbox
	foreign := make(map[store.AccountID][]*found)
	for i := range names {
		f := &names[i]
		if !f.readable() || f.rights&annotationRights == 0 {
			continue
		}
		boxes[f.box.ID] = f
		all = append(all, f.box.ID)
		if f.account.ID() != c.account.ID() {
			foreign[f.account.ID()] = append(foreign[f.account.ID()], f)
		}
	}
	read, err := c.account.Annotations(ctx, q.of(all))
	if err != nil {
		return nil, err
	}
	read = slices.DeleteFunc(read, func(a store.Annotation) bool {
		return !store.IsPrivate(a.Entry) && boxes[a.Box].account.ID() != c.account.ID()
	})
	for _, theirs := range foreign {
		shared, err := theirs[0].account.Annotations(ctx, q.of(idsOf(theirs)))
		if err != nil {
			return nil, err
		}
		read = append(read, slices.DeleteFunc(shared, func(a store.Annotation) bool { return store.IsPrivate(a.Entry) })...)
	}
	byBox := make(map[store.MailboxID][]store.Annotation, len(boxes))
	for _, a := range read {
		byBox[a.Box] = append(byBox[a.Box], a)
	}
	for id, f := range boxes {
		byBox[id], _ = q.choose(append(byBox[id], c.builtIn(f.target, q.of(nil))...))
	}
	return byBox, nil
}

func idsOf(names []*found) []store.MailboxID {
	ids := make([]store.MailboxID, len(names))
	for i := range names {
		ids[i] = names[i].box.ID
	}
	return ids
}

// of is what is asked of the store for some mailboxes.
func (r *metadataQuery) of(boxes []store.MailboxID) store.AnnotationQuery {
	return store.AnnotationQuery{Boxes: boxes, Entries: r.entries, Depth: r.depth, MaxSize: r.maxSize}
}
