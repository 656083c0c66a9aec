package postgres

import "sync"

const (
	arenaFrom = 32 << 10  // octets for which an arena is worth it
	arenaStep = 128 << 10 // arenas come in multiples, so that one fits the next page too
)

// arena is the memory for the octets of one page, to be used again for another. A mailbox that is downloaded is in memory
// once, a little at a time; without arenas the garbage collector takes longer than the decoding.
type arena struct {
	home *sync.Pool
	buf  []byte
	used int
}

// arena lends memory for n octets. It may be nil, which is an arena too: of nothing.
func (s *Store) arena(n int) *arena {
	if n < arenaFrom {
		return nil
	}
	a, ok := s.arenas.Get().(*arena)
	if !ok {
		a = &arena{home: &s.arenas}
	}
	if a.used = 0; len(a.buf) < n {
		a.buf = make([]byte, (n+arenaStep-1)/arenaStep*arenaStep)
	}
	return a
}

// take returns n octets of the arena, or, when there are not so many left, memory of their own.
func (a *arena) take(n int64) []byte {
	if a == nil || n > int64(len(a.buf)-a.used) {
		return make([]byte, n)
	}
	from := a.used
	a.used += int(n)
	return a.buf[from:a.used:a.used]
}

// release gives the arena back. Nobody may hold octets of it.
func (a *arena) release() {
	if a != nil {
		a.home.Put(a)
	}
}
