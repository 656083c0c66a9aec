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

	news     bool         // the watch has fired since the last query
	ahead    *ahead       // what the command has seen already, for the news that follow it
	wrote    store.ModSeq // that of the command's own change, if it made one
	checked  time.Time    // when the store was last asked for changes
	told     uint32       // RECENT, as last reported
	untold   bool         // EXISTS has changed, which the client does not want to hear of, see NOTIFY
	keywords []imap.Flag  // those the client knows of
	place    place        // in the content of a part that is fetched in fragments
	live     []*liveSearch
	touched  []imap.UID  // messages that have changed since the live searches were last brought up to date
	saved    imap.UIDSet // "$": the result of the latest search that was to be saved, see saveResult
}

// is reports whether t is the selected mailbox.
func (s *selected) is(t target) bool { return s.box.ID == t.box.ID && s.account.ID() == t.account.ID() }

// access says as a response code what kind of mailbox it is for this session. To write is to have any right to change it
// (RFC 4314 §5.2).
func (s *selected) access() string {
	const change = store.RightInsert | store.RightExpunge | store.RightSeen | store.RightWrite | store.RightDeleteMsgs
	if s.readOnly || s.rights&change == 0 {
		return "READ-ONLY"
	}
	return "READ-WRITE"
}

// claims reports whether messages that nobody has seen are \Recent for this session alone: they are the owner's.
func (s *selected) claims() bool { return !s.readOnly && s.own() }

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

// recentCount is the number of messages that are \Recent for this session: of those that the client knows of, with expunges
// it has not been told of.
func (s *selected) recentCount() uint32 {
	n := 0
	for _, r := range s.snap.Indices(s.recent) {
		n += r[1] - r[0]
	}
	for _, uid := range s.view.Gone() {
		if s.recent.Contains(uid) {
			n++
		}
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

// writable returns store.ErrReadOnly when the mailbox was opened by EXAMINE, and store.ErrNoPermission without the rights that
// are needed.
func (c *conn) writable(need store.Rights) error {
	switch {
	case c.sel.readOnly:
		return store.ErrReadOnly
	case !c.sel.rights.Has(need):
		return store.ErrNoPermission
	}
	return nil
}

// deselect leaves the selected mailbox, if there is one. Nothing is expunged.
func (c *conn) deselect() {
	if c.sel == nil {
		return
	}
	c.sel.watch.Close()
	if c.notified != nil {
		c.notified.leave(c.sel)
	}
	c.sel, c.state = nil, authenticated
}
