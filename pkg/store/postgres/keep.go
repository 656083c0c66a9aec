package postgres

import (
	"bytes"
	"context"

	"postern/pkg/store"
)

// keptShare is the part of what is kept that one command may add: what reads more would drive out what others have read, and
// in the end what it has read itself.
const keptShare = 2

// mayKeep reports whether messages are asked for that may stay in memory, and whether the large ones among them may do so whole:
// together they are a part of what is kept. Of more nothing is, nor of what is read to look into it, by a search or an index: that
// comes with trees, and goes to nobody.
func (p *pager) mayKeep() (messages, whole bool) {
	if p.want&(store.WithBody|store.WithPart) != store.WithBody || p.a.behind {
		return false, false
	}
	limit := p.a.s.kept.limit / keptShare
	octets, windows := 0, 0
	for _, r := range p.places {
		for i := r[0]; i < r[1] && octets <= limit; i++ {
			octets += p.octets(i) + keptRow
			if row := p.have.Row(i); large(&row) {
				windows += int(row.Size)
			}
		}
	}
	return octets <= limit, windows <= limit-octets
}

// loadKeeping is load for what may stay in memory: only what is not there is read.
func (p *pager) loadKeeping(ctx context.Context, pg *page) error {
	read := make(map[store.MessageID]*loaded, len(pg.places))
	var missing []int
	for _, i := range pg.places {
		if key, l := p.known(i); l != nil {
			read[key.blob] = l
		} else {
			missing = append(missing, i)
		}
	}
	pg.read = read
	if len(missing) == 0 {
		return nil
	}
	return p.readToKeep(ctx, pg, missing)
}

// readToKeep adds to a page what is read at some places, and keeps it, but for messages whose trees have been too large together.
func (p *pager) readToKeep(ctx context.Context, pg *page, places []int) error {
	all := page{places: places}
	keeping := pager{a: p.a, have: p.have, want: p.want &^ store.Passing} // it must not be in memory that is used again
	if err := keeping.load(ctx, &all); err != nil {
		return err
	}
	pg.key = all.key
	for blob, l := range all.read {
		if l.err == nil && l.later == nil {
			p.a.s.kept.add(keptKey{account: p.a.id, blob: blob}, l)
		}
		pg.read[blob] = l
	}
	return nil
}

// keptWindow returns what is kept of a large message.
func (b *body) keptWindow(part int) []byte {
	if l, ok := b.a.s.kept.get(keptKey{b.a.id, b.row.ID, part + 1}); ok {
		return l.data
	}
	return nil
}

// keepWindow keeps the window in data, which is nobody's memory to use again from then on. The caller holds mu.
func (b *body) keepWindow() {
	if long := b.data; cap(long) > len(long) { // the last one is shorter
		b.data = bytes.Clone(long)
		b.a.s.windows.spare(long)
	}
	b.a.s.kept.add(keptKey{b.a.id, b.row.ID, b.part + 1}, &loaded{data: b.data})
	b.big = false
}
