// SEARCH and UID SEARCH (RFC 3501 §6.4.4; ESEARCH RFC 4731; MODSEQ RFC 7162 §3.1.5).

package imap

import (
	"context"
	"fmt"
	"slices"
	"time"

	"postern/pkg/imap/wire"
	"postern/pkg/order"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

type searchRequest struct {
	criteria store.Criteria // numbers as the client wrote them, see resolveCriteria
	ret      *searchReturn  // nil asks for the untagged SEARCH of RFC 3501
	modSeq   bool           // MODSEQ is among the keys
	byUID    bool
	refusal  error             // why it cannot be carried out
	by       []order.Criterion // of SORT; each key once: a second time it decides nothing
	byScore  bool              // SORT puts the best first
	scores   map[imap.UID]int  // of what was found, if they are asked for
}

func parseSearch(d *wire.Decoder, fl flags) (searchRequest, error) {
	r, err := parseSearchFrom(d, firstWord(d.SP()))
	r.byUID = fl.has(byUID)
	return r, err
}

// parseSearchFrom reads a search from the word on that has been read.
func parseSearchFrom(d *wire.Decoder, word string) (searchRequest, error) {
	var r searchRequest
	if word == "RETURN" && d.Knows(imap.CapESearch) {
		r.ret = parseReturn(d.SP(), capContextSearch)
		word = firstWord(d.SP())
	}
	charset := ""
	if word == "CHARSET" && d.Knows(capCharset) {
		if charset, r.refusal = parseCharset(d.SP()); r.refusal != nil {
			return r, nil // what follows cannot be read, and need not be
		}
		word = firstWord(d.SP())
	}
	r.criteria = parseProgram(d, charset, word)
	r.modSeq = searchesModSeq(&r.criteria)
	return r, d.End()
}

func (c *conn) search(ctx context.Context, r searchRequest) error {
	if r.ret == nil && c.rev2() { // RFC 9051 §6.4.4: there is no SEARCH response
		r.ret = &searchReturn{SearchOptions: imap.SearchOptions{ReturnAll: true}}
	}
	uids, err := c.find(ctx, &r, nil)
	if err != nil {
		return err
	}
	switch nums := c.found(uids, r.byUID); {
	case r.ret == nil:
		c.writeFound("* SEARCH", nums, uids, r.modSeq)
	case r.ret.tells():
		c.writeESearch(nums, uids, r)
	}
	c.answer("", "Searched.")
	return nil
}

// find returns the messages that a search asks for, in the order that arrange, if there is one, puts them in.
func (c *conn) find(ctx context.Context, r *searchRequest, arrange func([]imap.UID) ([]imap.UID, error)) ([]imap.UID, error) {
	if err := c.sel.mayFollow(c.running, r.ret); err != nil {
		return nil, err
	}
	if err := c.expandFilters(ctx, r); err != nil {
		c.sel.beginSave(r.ret)
		return nil, err
	}
	if r.modSeq {
		c.enable(imap.CapCondStore) // RFC 7162 §3.1
	}
	live := liveSearch{tag: c.running, byUID: r.byUID, criteria: cloneCriteria(&r.criteria), checked: time.Now()}
	c.resolveCriteria(&r.criteria)
	c.limitSearch(&r.criteria)
	c.sel.beginSave(r.ret)
	if r.refusal != nil {
		return nil, r.refusal
	}
	var uids []imap.UID
	err := c.asking(func() (err error) {
		uids, err = c.sel.account.Search(ctx, c.sel.snap, &r.criteria)
		if err == nil && r.wantsScores() {
			r.scores, err = c.sel.scores(ctx, &r.criteria, uids)
		}
		if err == nil && arrange != nil {
			uids, err = arrange(uids)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	c.sel.save(r.ret, uids)
	if r.ret != nil && r.ret.update {
		live.members, live.describe = store.UIDSetOf(slices.Sorted(slices.Values(uids))), r.ret.describe
		if live.by = r.by; live.by != nil {
			live.sorted = slices.Clone(uids)
		}
		c.follow(&live)
	}
	return uids, nil
}

// found turns UIDs into the numbers of the reply, in place: message numbers unless it is UID SEARCH. The snapshot holds
// no message the client does not know.
func (c *conn) found(uids []imap.UID, byUID bool) []uint32 {
	nums := make([]uint32, len(uids))
	for i, uid := range uids {
		nums[i] = uint32(uid)
		if !byUID {
			nums[i], _ = c.sel.view.Seq(uid)
		}
	}
	return nums
}

// writeFound writes the reply of RFC 3501 §7.2.5 or that of RFC 5256 §4, with the highest mod-sequence found if that was
// searched for (RFC 7162 §3.1.5).
func (c *conn) writeFound(response string, nums []uint32, uids []imap.UID, modSeq bool) {
	c.enc.Atom(response)
	for _, n := range nums {
		c.enc.SP().Number(n)
	}
	if modSeq && len(nums) > 0 {
		c.enc.Atom(" (MODSEQ ").Number64(int64(highest(c.sel.snap, uids))).Byte(')')
	}
	c.enc.CRLF()
}

// writeESearch writes the reply of RFC 4731 §3.1, or of RFC 5267 §3 when the messages are in another order: MIN is the first of
// them.
func (c *conn) writeESearch(nums []uint32, uids []imap.UID, r searchRequest) {
	c.enc.Atom("* ESEARCH (TAG ").String(c.running).Byte(')')
	c.writeResult(c.sel.snap, nums, uids, r)
}

// writeResult writes what RETURN asks for. Nothing found leaves MIN, MAX and ALL out.
func (c *conn) writeResult(snap *store.Snapshot, nums []uint32, uids []imap.UID, r searchRequest) {
	if r.byUID {
		c.enc.Atom(" UID")
	}
	n := len(nums)
	if r.ret.ReturnMin && n > 0 {
		c.enc.Atom(" MIN ").Number(nums[0])
	}
	if r.ret.ReturnMax && n > 0 {
		c.enc.Atom(" MAX ").Number(nums[n-1])
	}
	if r.ret.ReturnCount {
		c.enc.Atom(" COUNT ").Number(uint32(n))
	}
	if r.ret.ReturnAll && n > 0 {
		c.enc.Atom(" ALL ").NumSet(setOf(nums))
	}
	if p := r.ret.partial; p != nil {
		c.enc.Atom(" PARTIAL (").Atom(p.String()).SP()
		from, to := p.places(n)
		writePart(c.enc, setOf(nums[from:to]))
		c.enc.Byte(')')
	}
	if r.ret.relevancy {
		c.writeScores(&r, uids)
	}
	if r.modSeq && n > 0 {
		c.enc.Atom(" MODSEQ ").Number64(int64(highest(snap, r.ret.chosen(uids))))
	}
	c.enc.CRLF()
}

// highest returns the highest mod-sequence of the messages.
func highest(snap *store.Snapshot, uids []imap.UID) store.ModSeq {
	var at store.ModSeq
	for _, uid := range uids {
		if i, ok := snap.Find(uid); ok {
			at = max(at, snap.Entry(i).ModSeq)
		}
	}
	return at
}

// setOf makes ranges of numbers that follow each other, in the order they are in.
func setOf(nums []uint32) imap.SeqSet {
	var set imap.SeqSet
	for _, n := range nums {
		if last := len(set) - 1; last >= 0 && set[last].Stop == n-1 {
			set[last].Stop = n
			continue
		}
		set = append(set, imap.SeqRange{Start: n, Stop: n})
	}
	return set
}

func (c *conn) resolveCriteria(k *store.Criteria) { c.sel.resolveCriteria(k) }

// resolveCriteria puts UIDs in the place of what only the session knows: message numbers, "*" and \Recent. A range stays a
// range, whatever gaps there are between its UIDs: a line has room for many thousands of them (rule 11).
func (s *selected) resolveCriteria(k *store.Criteria) {
	last, _ := s.view.UID(s.view.Len())
	for i, set := range k.UID {
		if k.UID[i] = s.saved; !imap.IsSearchRes(set) {
			k.UID[i] = static(set, last)
		}
	}
	for _, set := range k.SeqNum {
		k.UID = append(k.UID, s.between(set))
	}
	k.SeqNum = nil
	s.resolveRecent(k)
	each(k, s.resolveCriteria)
}

// between turns message numbers into UIDs: from that of the first of a range to that of its last, because the snapshot holds
// no message between them that the client does not know. Numbers beyond those there are find nothing; unlike in FETCH they
// are no error, as SEARCH 1:* of an empty mailbox is what many clients begin with.
func (s *selected) between(set imap.SeqSet) imap.UIDSet {
	var uids imap.UIDSet
	n := s.view.Len()
	for _, r := range set {
		if r.Start == 0 {
			r.Start = n
		}
		if r.Stop == 0 {
			r.Stop = n
		}
		first, ok := s.view.UID(min(r.Start, r.Stop))
		last, _ := s.view.UID(min(max(r.Start, r.Stop), n))
		if ok {
			uids = append(uids, imap.UIDRange{Start: first, Stop: last})
		}
	}
	return store.Normalize(uids)
}

// resolveRecent replaces the flag that is no flag of a message but of a session (RFC 3501 §2.3.2).
func (s *selected) resolveRecent(k *store.Criteria) {
	if without, ok := cutRecent(k.Flag); ok {
		k.Flag = without
		k.UID = append(k.UID, store.Normalize(s.recent))
	}
	if without, ok := cutRecent(k.NotFlag); ok {
		k.NotFlag = without
		recent := store.Criteria{}
		recent.UID = []imap.UIDSet{store.Normalize(s.recent)}
		k.Not = append(k.Not, recent)
	}
}

func cutRecent(fs []imap.Flag) (without []imap.Flag, found bool) {
	for _, f := range fs {
		if f == recentFlag {
			found = true
			continue
		}
		without = append(without, f)
	}
	return without, found
}
