// MESSAGELIMIT and SAVELIMIT (RFC 9738): how many messages one command handles, and how many it stores.

package imap

import (
	"fmt"
	"slices"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

const (
	capMessageLimit imap.Cap = "MESSAGELIMIT"
	capSaveLimit    imap.Cap = "SAVELIMIT"
)

// limits are those of a server; 0 means none.
type limits struct{ messages, saved int }

// messageLimit is how many messages one command handles, 0 for any number.
func (c *conn) messageLimit() int {
	if !c.offers(capMessageLimit) {
		return 0
	}
	return c.most.messages
}

// saveLimit is how many messages one command stores, 0 for any number.
func (c *conn) saveLimit() int {
	n := c.messageLimit()
	if c.offers(capSaveLimit) && c.most.saved > 0 && (n == 0 || c.most.saved < n) {
		n = c.most.saved
	}
	return n
}

// limited returns those of uids that one command handles: the last ones. If that is not all of them the tagged reply says up
// to which they have been handled, so that the client can go on below (RFC 9738 §3.1).
func (c *conn) limited(uids imap.UIDSet) imap.UIDSet {
	n := c.messageLimit()
	if n == 0 || size(uids) <= n {
		return uids
	}
	few := lastOf(uids, n)
	c.partly = fmt.Sprintf("MESSAGELIMIT %d %d", n, few[0].Start)
	return few
}

// lastOf returns the n last of a set that is ascending and has more.
func lastOf(uids imap.UIDSet, n int) imap.UIDSet {
	for i, r := range slices.Backward(uids) {
		if held := int(r.Stop-r.Start) + 1; held < n {
			n -= held
			continue
		}
		few := slices.Clone(uids[i:])
		few[0].Start = few[0].Stop - imap.UID(n-1)
		return few
	}
	return uids
}

// limitSearch has a search look at no more messages than one command handles.
func (c *conn) limitSearch(k *store.Criteria) {
	if c.messageLimit() == 0 {
		return
	}
	all := imap.UIDSet{{Start: 1, Stop: c.sel.snap.UIDNext()}}
	for _, set := range k.UID {
		all = subtract(all, subtract(all, set))
	}
	if all = held(c.sel.snap, all); size(all) > c.messageLimit() {
		k.UID = append(k.UID, c.limited(all))
	}
}

// checkSave refuses to store more messages than one command stores: it is all or nothing there (RFC 9738 §3.1).
func (c *conn) checkSave(messages int) error {
	if n := c.saveLimit(); n > 0 && messages > n {
		return refusal{code: fmt.Sprintf("MESSAGELIMIT %d", n), text: "Too many messages at once, try fewer."}
	}
	return nil
}

// tellPartly tells in a response of its own what limited has found, where the tagged reply has another code already.
func (c *conn) tellPartly(r *reply) {
	switch {
	case c.partly == "" || r.status != "OK":
	case r.code == "":
		r.code = c.partly
	default:
		c.untagged("OK", c.partly, "There were more messages than one command handles.")
	}
}
