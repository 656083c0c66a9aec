package imap

import (
	"time"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// selected is the mailbox a session has selected, as far as the session knows it.
type selected struct {
	location
	box      store.Mailbox // as it was when it was selected; only ID and UIDValidity stay true
	snap     *store.Snapshot
	view     *store.View
	readOnly bool        // EXAMINE
	recent   imap.UIDSet // messages that are \Recent for this session
	watch    *store.Watch

	news     bool        // the watch has fired since the last query
	checked  time.Time   // when the store was last asked for changes
	told     uint32      // RECENT, as last reported
	keywords []imap.Flag // those the client knows of
	place    place       // in the content of a part that is fetched in fragments
	saved    imap.UIDSet // "$": the result of the latest search that was to be saved, see saveResult
}

// is reports whether t is the selected mailbox.
func (s *selected) is(t target) bool { return s.box.ID == t.box.ID && s.account.ID() == t.account.ID() }

// resolve turns what a client wrote into the UIDs of messages it knows. UIDs it does not know are dropped; a message number
// it does not know is store.ErrNoSuchNumber.
func (s *selected) resolve(set imap.NumSet) (imap.UIDSet, error) {
	if imap.IsSearchRes(set) {
		return s.result(), nil
	}
	return s.view.Resolve(set)
}

// learn takes over a longer list of keywords and reports whether the client must be told.
func (s *selected) learn(keywords []imap.Flag) bool {
	if len(keywords) <= len(s.keywords) {
		return false
	}
	s.keywords = keywords
	return true
}

// recentCount is the number of messages that are \Recent for this session.
func (s *selected) recentCount() uint32 {
	n := 0
	for _, r := range s.snap.Indices(s.recent) {
		n += r[1] - r[0]
	}
	return uint32(n)
}

// hears notes that the watch has fired.
func (s *selected) hears() {
	for _, id := range s.watch.Take() {
		if id == 0 || id == s.box.ID {
			s.news = true
		}
	}
}

// writable returns store.ErrReadOnly when the mailbox was opened by EXAMINE.
func (c *conn) writable() error {
	if c.sel.readOnly {
		return store.ErrReadOnly
	}
	return nil
}

// deselect leaves the selected mailbox, if there is one. Nothing is expunged.
func (c *conn) deselect() {
	if c.sel == nil {
		return
	}
	c.sel.watch.Close()
	c.sel, c.state = nil, authenticated
}
