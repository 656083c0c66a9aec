package postgres

import (
	"context"
	"slices"

	"postern/pkg/store"
)

// How many grams of a pattern are asked for in one round after another. What is left over is not worth it.
var gramRounds = []int{2, 4, 8}

const (
	// fewPlaces is how many messages of a segment are too few to ask for more grams.
	fewPlaces = 2
	// provenFrom is how many messages it takes to ask which of them a gram proves to match, rather than to read them.
	provenFrom = 16
	// maxLeaves is how many patterns of a search are looked up; more are read for.
	maxLeaves = 32
	// blocksAtOnce is how many blocks one query asks for.
	blocksAtOnce = 256
)

// gramFinds is what the index knows of the leaves of a search in one mailbox.
type gramFinds struct {
	segs   []*gramSeg
	leaves map[store.Leaf]*leafFind
}

// leafFind is in which messages of each segment a leaf may be found, and in which it certainly is.
type leafFind struct {
	in   []placeSet // of each segment; nil: unknown
	sure []placeSet // of each segment; nil: none is known
}

// hint says what is known of the message at a place of a segment.
func (f *gramFinds) hint(seg, place int, l store.Leaf) store.Verdict {
	find, ok := f.leaves[l]
	switch {
	case !ok || find.in[seg] == nil:
		return store.Unknown
	case !find.in[seg].has(place):
		return store.No
	case find.sure[seg] != nil && find.sure[seg].has(place):
		return store.Yes
	}
	return store.Unknown
}

// bound returns the places of a segment that may match; nil stands for all.
func (f *gramFinds) bound(m *store.Matcher, seg int) placeSet {
	return store.Bound(m, store.Bounds[placeSet]{
		Leaf: func(l store.Leaf) placeSet {
			if find, ok := f.leaves[l]; ok {
				return find.in[seg]
			}
			return nil
		},
		And: func(a, b placeSet) placeSet {
			if a == nil || b == nil {
				return firstSet(a, b)
			}
			both := append(placeSet(nil), a...)
			both.and(b)
			return both
		},
		Or: func(a, b placeSet) placeSet {
			if a == nil || b == nil {
				return nil
			}
			either := append(placeSet(nil), a...)
			either.or(b)
			return either
		},
	})
}

func firstSet(a, b placeSet) placeSet {
	if a != nil {
		return a
	}
	return b
}

// lookup asks the index for all leaves of a search. It returns nil if it knows nothing.
func (a *account) lookup(ctx context.Context, key boxKey, m *store.Matcher) (*gramFinds, error) {
	leaves := m.Leaves()
	f := &gramFinds{leaves: make(map[store.Leaf]*leafFind)}
	for _, l := range leaves[:min(len(leaves), maxLeaves)] {
		if grams, _ := gramsOf(l.Pattern, false); len(grams) > 0 {
			f.leaves[l] = new(leafFind)
		}
	}
	if len(f.leaves) == 0 {
		return nil, nil
	}
	ready, _, err := gramSegs(ctx, a.s.pool, key)
	if err != nil || len(ready) == 0 {
		return nil, err
	}
	if slices.ContainsFunc(ready, renewable) {
		a.s.grams.behind(key)
	}
	f.segs = ready
	k, err := a.s.key(ctx, a.id)
	if err != nil {
		return nil, err
	}
	for l, find := range f.leaves {
		q := &leafQuery{s: a.s, k: k, key: key, segs: ready}
		if err := q.run(ctx, l, find); err != nil {
			return nil, err
		}
		if q.lost {
			return nil, errLostBlocks
		}
	}
	return f, nil
}

// leafQuery looks one leaf up in all segments.
type leafQuery struct {
	s    *Store
	k    *dataKey
	key  boxKey
	segs []*gramSeg
	lost bool // a block was not there
}

// narrowing is a set of places of a segment that becomes smaller with each gram.
type narrowing struct {
	seg   *gramSeg
	set   placeSet // nil before the first gram
	spare placeSet
	few   bool
}

// run fills find.
func (q *leafQuery) run(ctx context.Context, l store.Leaf, find *leafFind) error {
	find.in, find.sure = make([]placeSet, len(q.segs)), make([]placeSet, len(q.segs))
	anywhere := l.In == store.LeafBody || l.In == store.LeafText // else it must be in the right field too
	headers := map[store.LeafIn][]bool{
		store.LeafBody: {false}, store.LeafText: {false, true}, store.LeafField: {true}, store.LeafName: {true},
	}[l.In]
	for _, header := range headers {
		grams, exact := gramsOf(l.Pattern, header)
		sets, err := q.places(ctx, grams)
		if err != nil || q.lost {
			return err
		}
		join(find.in, sets)
		proof, provable := proofOf(l.Pattern, header)
		switch {
		case !anywhere:
		case exact:
			join(find.sure, sets)
		case provable && count(sets) >= provenFrom:
			if sets, err = q.places(ctx, []gram{proof}); err != nil || q.lost {
				return err
			}
			join(find.sure, sets)
		}
	}
	return nil
}

// join adds the messages of each segment.
func join(to []placeSet, sets []*narrowing) {
	for i, n := range sets {
		if to[i] == nil {
			to[i] = newPlaceSet(n.seg.cover.n)
		}
		to[i].or(n.set)
	}
}

func count(sets []*narrowing) (n int) {
	for _, set := range sets {
		n += set.set.count()
	}
	return n
}

// places asks in which messages of each segment some grams are.
func (q *leafQuery) places(ctx context.Context, grams []gram) ([]*narrowing, error) {
	sets := make([]*narrowing, len(q.segs))
	for i, seg := range q.segs {
		sets[i] = &narrowing{seg: seg}
	}
	return sets, q.narrow(ctx, sets, grams)
}

// narrow asks for some grams at a time, and no more of a segment that has few messages left.
func (q *leafQuery) narrow(ctx context.Context, sets []*narrowing, grams []gram) error {
	for _, n := range gramRounds {
		n = min(n, len(grams))
		asked := make(map[blockKey][]ask)
		var order []blockKey
		for _, set := range sets {
			if set.few {
				continue
			}
			for _, g := range grams[:n] {
				at := blockKey{set.seg.seg, blockOf(g, set.seg.bits)}
				if asked[at] == nil {
					order = append(order, at)
				}
				asked[at] = append(asked[at], ask{set, g})
			}
		}
		for len(order) > 0 && !q.lost {
			page := order[:min(len(order), blocksAtOnce)]
			order = order[len(page):]
			seen := 0
			err := readBlocks(ctx, q.s.pool, q.k, q.key, page, func(at blockKey, raw []byte) error {
				seen++
				return narrowBy(asked[at], at, raw)
			})
			if err != nil {
				return err
			}
			q.lost = seen < len(page)
		}
		for _, set := range sets {
			set.few = set.set != nil && set.set.count() <= fewPlaces
		}
		if grams = grams[n:]; len(grams) == 0 || q.lost {
			return nil
		}
	}
	return nil
}

// ask is a gram that a set waits for.
type ask struct {
	set  *narrowing
	gram gram
}

// narrowBy gives those who wait for grams of a block what it has.
func narrowBy(asks []ask, at blockKey, raw []byte) error {
	seg := asks[0].set.seg
	r := newBlockReader(raw, seg.cover.n, seg.bits, at.block)
	met := 0
	for r.next() {
		for i := range asks {
			if asks[i].gram != r.gram {
				continue
			}
			asks[i].set.meet(r)
			asks[i].gram = gramMask + 1 // no gram
			met++
		}
		if met == len(asks) {
			break
		}
	}
	for _, a := range asks {
		if a.gram <= gramMask { // no message has it
			a.set.set = newPlaceSet(seg.cover.n)
		}
	}
	return r.err
}

// meet leaves those places that the current gram of r has too.
func (n *narrowing) meet(r *blockReader) {
	if n.set == nil {
		n.set = newPlaceSet(r.n)
		r.into(n.set)
		return
	}
	if n.spare == nil {
		n.spare = newPlaceSet(r.n)
	}
	r.into(n.spare)
	n.set.and(n.spare)
}
