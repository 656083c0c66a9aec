package imap

import (
	"sync"

	"postern/pkg/store"
)

// DefaultAnswers is how many octets of memory Server.Answers is by default.
const DefaultAnswers = 64 << 20

const (
	maxAnswer      = 16 << 10 // octets of a text that is kept
	answerOverhead = 200      // octets that one takes beside its text: the entry and its place in the map
)

// answers keeps what items of FETCH have written that are made of a message's octets alone: its envelope, its structure, some
// fields of its header. Octets never change, so neither does what was written, and a client that looks at a mailbox which it, or
// another of the account's, has looked at before is answered without reading, opening and parsing a single message. Who
// may see a message is decided before it is looked for here. The text used longest ago makes room for another. It is safe for
// concurrent use.
type answers struct {
	room int64

	mu    sync.Mutex
	byKey map[answerKey]*answer // guarded by mu
	ring  answer                // guarded by mu; ring.next was used last, ring.prev longest ago
	taken int64                 // guarded by mu
}

// answerKey names a text: which item wrote it about which message. IDs of messages are never used again.
type answerKey struct {
	account store.AccountID
	message store.MessageID
	item    string
	utf8    bool // the same strings are written in another way
}

type answer struct {
	key        answerKey
	text       string
	prev, next *answer
}

func newAnswers(room int64) *answers {
	r := &answers{room: room, byKey: make(map[answerKey]*answer)}
	r.ring.prev, r.ring.next = &r.ring, &r.ring
	return r
}

// get appends the texts of several items about one message, all or none.
func (r *answers) get(texts []string, key answerKey, items []string) ([]string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(texts)
	for _, key.item = range items {
		e, ok := r.byKey[key]
		if !ok {
			return texts[:before], false
		}
		e.unlink()
		e.linkAfter(&r.ring)
		texts = append(texts, e.text)
	}
	return texts, true
}

// put keeps a text, if it is not too long.
func (r *answers) put(key answerKey, text string) {
	e := &answer{key: key, text: text}
	if len(text) > maxAnswer || e.size() > r.room {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.byKey[key]; ok {
		r.drop(old)
	}
	r.byKey[key] = e
	e.linkAfter(&r.ring)
	for r.taken += e.size(); r.taken > r.room; {
		r.drop(r.ring.prev)
	}
}

// drop forgets a text. The caller holds mu.
func (r *answers) drop(e *answer) {
	e.unlink()
	delete(r.byKey, e.key)
	r.taken -= e.size()
}

// size is how much memory the text takes.
func (e *answer) size() int64 { return int64(len(e.text) + len(e.key.item) + answerOverhead) }

func (e *answer) unlink() { e.prev.next, e.next.prev = e.next, e.prev }

func (e *answer) linkAfter(p *answer) {
	e.prev, e.next = p, p.next
	p.next.prev, p.next = e, e
}
