package postgres

import (
	"slices"

	"postern/pkg/store"
)

// For how many texts it is remembered which messages have them, of how many messages each, and how long such a text may be: 8 MB
// in all at most. Programs that show pages of what was found, and folders that are searches, ask the same again and again.
const (
	verdictsKept  = 64
	verdictsOf    = 16 << 10
	verdictOctets = 256
)

// verdictKey is a text that is looked for in the messages of an account.
type verdictKey struct {
	account store.AccountID
	leaf    store.Leaf
}

// verdicts is what reading has told of a text. It is immutable, and never out of date: a body's octets never change.
type verdicts struct {
	yes, no []store.MessageID // bodies that have the text, and that have it not, ascending
}

func (v *verdicts) of(id store.MessageID) store.Verdict {
	if _, ok := slices.BinarySearch(v.yes, id); ok {
		return store.Yes
	}
	if _, ok := slices.BinarySearch(v.no, id); ok {
		return store.No
	}
	return store.Unknown
}

// and returns v with what is new. Of too many messages only those are kept that have been read last.
func (v *verdicts) and(news *verdicts) *verdicts {
	all := &verdicts{yes: news.yes, no: news.no}
	if len(v.yes)+len(v.no)+len(news.yes)+len(news.no) <= verdictsOf {
		all.yes, all.no = append(all.yes, v.yes...), append(all.no, v.no...)
	}
	for _, ids := range []*[]store.MessageID{&all.yes, &all.no} {
		slices.Sort(*ids)
		*ids = slices.Clip(slices.Compact(*ids)) // two sessions may have learned the same; a copy shares its body
	}
	return all
}

// recall is a search that looks for one text in octets: what was found when that was looked for before is known.
type recall struct {
	key   verdictKey
	known *verdicts
	news  verdicts
}

// recall returns nil if it is not one text that is looked for.
func (a *account) recall(m *store.Matcher) *recall {
	leaves := m.Leaves()
	if len(leaves) != 1 || len(leaves[0].Pattern) > verdictOctets {
		return nil
	}
	r := &recall{key: verdictKey{a.id, leaves[0]}, known: new(verdicts)}
	if known, ok := a.s.verdicts.get(r.key); ok {
		r.known = known
	}
	return r
}

// judge decides about the message at a place that has been read before, if what is known of its octets is enough.
func (r *recall) judge(j *judgement, i int) store.Verdict {
	if r == nil {
		return store.Unknown
	}
	v := r.known.of(j.have.ID(i))
	if v == store.Unknown {
		return v
	}
	return j.suppose(i, v)
}

// learn notes whether the message at a place matched when it was read. What that says of the text is known if the text decides.
func (r *recall) learn(j *judgement, i int, matched bool) {
	if r == nil || len(r.news.yes)+len(r.news.no) == verdictsOf {
		return
	}
	with, without := j.suppose(i, store.Yes), j.suppose(i, store.No)
	switch {
	case with == store.Unknown || without == store.Unknown || with == without:
	case matched == (with == store.Yes):
		r.news.yes = append(r.news.yes, j.have.ID(i))
	default:
		r.news.no = append(r.news.no, j.have.ID(i))
	}
}

// keep remembers what has been learned.
func (r *recall) keep(s *Store) {
	if r != nil && len(r.news.yes)+len(r.news.no) > 0 {
		s.verdicts.put(r.key, r.known.and(&r.news))
	}
}

// suppose judges the message at a place as if what is known of the text in it were v.
func (j *judgement) suppose(i int, v store.Verdict) store.Verdict {
	return j.m.JudgeRow(j.have, i, func(store.Leaf) store.Verdict { return v })
}
