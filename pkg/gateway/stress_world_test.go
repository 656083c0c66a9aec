package gateway_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// world is what must be the same for everybody. It is safe for concurrent use.
type world struct {
	mu    sync.Mutex
	boxes map[string]*boxHistory
}

// boxHistory is all that was ever acknowledged or said of a mailbox; guarded by world.mu.
type boxHistory struct {
	arrived  int // messages appended, delivered, copied and moved here
	subjects map[imap.UID]string
	flags    map[flagsAt]string
	leaving  map[imap.UID]bool // marked as \Deleted at some time
	movedOut map[imap.UID]bool
	origins  map[imap.UID]place // of copies: they are marked as \Deleted if that was
}

// place is a message in a mailbox.
type place struct {
	box string
	uid imap.UID
}

type flagsAt struct {
	uid    imap.UID
	modSeq uint64
}

func newWorld(boxes []string) *world {
	w := &world{boxes: make(map[string]*boxHistory)}
	for _, name := range boxes {
		w.boxes[name] = &boxHistory{
			subjects: make(map[imap.UID]string), flags: make(map[flagsAt]string),
			leaving: make(map[imap.UID]bool), movedOut: make(map[imap.UID]bool), origins: make(map[imap.UID]place),
		}
	}
	return w
}

// agreeSubject: a UID stands for one message for ever, whoever asks.
func (w *world) agreeSubject(box string, uid imap.UID, subject string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.boxes[box]
	if had, ok := b.subjects[uid]; ok && had != subject {
		return fmt.Errorf("%s, UID %d is %q, was %q", box, uid, subject, had)
	}
	b.subjects[uid] = subject
	return nil
}

// agreeFlags: a mod-sequence of a message stands for one set of flags.
func (w *world) agreeFlags(box string, uid imap.UID, at uint64, flags string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, key := w.boxes[box], flagsAt{uid, at}
	if had, ok := b.flags[key]; ok && had != flags {
		return fmt.Errorf("%s, UID %d, mod-sequence %d: flags (%s), were (%s)", box, uid, at, flags, had)
	}
	b.flags[key] = flags
	return nil
}

// came counts messages that a mailbox has acknowledged.
func (w *world) came(box string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boxes[box].arrived += n
}

// mayLeave notes messages that somebody is about to mark as \Deleted.
func (w *world) mayLeave(box string, msgs []known) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range msgs {
		w.boxes[box].leaving[m.uid] = true
	}
}

// transferred notes what COPYUID says: copies are the messages they were made of, and what was moved is not there.
func (w *world) transferred(from, to string, uids, copies []imap.UID, moved bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(uids) != len(copies) {
		return fmt.Errorf("COPYUID names %d messages and %d copies", len(uids), len(copies))
	}
	src, dst := w.boxes[from], w.boxes[to]
	dst.arrived += len(copies)
	for i, uid := range uids {
		dst.origins[copies[i]] = place{from, uid}
		if moved && src.movedOut[uid] {
			return fmt.Errorf("%s, UID %d was moved away twice", from, uid)
		}
		if moved {
			src.movedOut[uid] = true
		}
		subject, ok := src.subjects[uid]
		if !ok {
			continue
		}
		if had, ok := dst.subjects[copies[i]]; ok && had != subject {
			return fmt.Errorf("%s, UID %d is %q, copied from %q", to, copies[i], had, subject)
		}
		dst.subjects[copies[i]] = subject
	}
	return nil
}

// account compares what is left of a mailbox with all that was said of it: every message that was acknowledged had a UID of
// its own, and those that are gone had a reason.
func (w *world) account(t *testing.T, box string, next imap.UID, left []known) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.boxes[box]
	if int(next)-1 != b.arrived {
		t.Errorf("%s: %d messages were acknowledged, UIDNEXT is %d", box, b.arrived, next)
	}
	there := make(map[imap.UID]bool, len(left))
	for _, m := range left {
		there[m.uid] = true
		if b.movedOut[m.uid] {
			t.Errorf("%s: UID %d was moved away and is there", box, m.uid)
		}
	}
	for uid := imap.UID(1); uid < next; uid++ {
		if !there[uid] && !b.movedOut[uid] && !w.deleted(place{box, uid}) {
			t.Errorf("%s: UID %d (%s) is gone and nobody removed it; its flags were %v, it came from %v", box, uid, b.subjects[uid], b.flagsOf(uid), b.origins[uid])
		}
	}
}

// deleted reports whether a message can have been marked as \Deleted. The caller holds mu.
func (w *world) deleted(at place) bool {
	for {
		b := w.boxes[at.box]
		if b.leaving[at.uid] {
			return true
		}
		origin, ok := b.origins[at.uid]
		if !ok {
			return false
		}
		at = origin
	}
}

// flagsOf is all that was said of a message's flags.
func (b *boxHistory) flagsOf(uid imap.UID) map[uint64]string {
	flags := make(map[uint64]string)
	for at, text := range b.flags {
		if at.uid == uid {
			flags[at.modSeq] = text
		}
	}
	return flags
}
