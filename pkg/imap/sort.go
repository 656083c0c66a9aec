// SORT and UID SORT (RFC 5256; SORT=DISPLAY RFC 5957; ESORT RFC 5267 §3; MODSEQ RFC 7162 §3.1.5).

package imap

import (
	"context"
	"fmt"
	"slices"

	"postern/pkg/imap/wire"
	"postern/pkg/order"

	"github.com/emersion/go-imap/v2"
)

type sortRequest struct {
	searchRequest
}

func parseSort(d *wire.Decoder, fl flags) (sortRequest, error) {
	r := sortRequest{searchRequest: searchRequest{byUID: fl.has(byUID)}}
	if d.SP(); d.Peek() != '(' {
		if d.Keyword() != "RETURN" || !d.Knows(imap.CapESort) {
			d.Fail("sort criteria in parentheses")
		}
		r.ret = parseReturn(d.SP(), capContextSort)
		d.SP()
	}
	if r.by = parseCriteria(d); len(r.by) == 0 {
		d.Fail("a sort key")
	}
	r.byScore = slices.ContainsFunc(r.by, func(k order.Criterion) bool { return k.By == order.Relevancy })
	return r, r.parseRest(d)
}

// parseRest reads the charset, which SORT and THREAD ask for, and the keys.
func (r *searchRequest) parseRest(d *wire.Decoder) error {
	charset := ""
	if charset, r.refusal = parseCharset(d.SP()); r.refusal != nil {
		return nil // what follows cannot be read, and need not be
	}
	r.criteria = parseProgram(d, charset, firstWord(d.SP()))
	r.modSeq = searchesModSeq(&r.criteria)
	return d.End()
}

// sortKeys are the sort keys of RFC 5256 §3 and RFC 5957 §4.
var sortKeys = map[string]struct {
	by   order.By
	need imap.Cap
}{
	"ARRIVAL": {by: order.Arrival}, "CC": {by: order.ByCc}, "DATE": {by: order.Date}, "FROM": {by: order.ByFrom},
	"SIZE": {by: order.Size}, "SUBJECT": {by: order.BySubject}, "TO": {by: order.ByTo},

	"RELEVANCY": {order.Relevancy, imap.CapSearchFuzzy},

	"DISPLAYFROM": {order.ByDisplayFrom, imap.CapSortDisplay}, "DISPLAYTO": {order.ByDisplayTo, imap.CapSortDisplay},
}

// parseCriteria reads a list of sort keys. REVERSE concerns the next one only.
func parseCriteria(d *wire.Decoder) []order.Criterion {
	var by []order.Criterion
	seen := make(map[order.By]bool, len(sortKeys))
	d.List(func() {
		word, reverse := d.Keyword(), false
		if word == "REVERSE" {
			word, reverse = d.SP().Keyword(), true
		}
		key, ok := sortKeys[word]
		if !ok || key.need != "" && !d.Knows(key.need) {
			d.Fail("a sort key before this")
			return
		}
		if !seen[key.by] {
			by = append(by, order.Criterion{By: key.by, Reverse: reverse})
		}
		seen[key.by] = true
	})
	return by
}

func (c *conn) sort(ctx context.Context, r sortRequest) error {
	uids, err := c.find(ctx, &r.searchRequest, func(uids []imap.UID) ([]imap.UID, error) { return c.sorted(ctx, uids, &r) })
	if err != nil {
		return err
	}
	if nums := c.found(uids, r.byUID); r.ret == nil {
		c.writeFound("* SORT", nums, uids, r.modSeq)
	} else if r.ret.tells() {
		c.writeESearch(nums, uids, r.searchRequest)
	}
	c.answer("", "Sorted.")
	return nil
}

// sorted puts UIDs, which are ascending, in the order of the criteria.
func (c *conn) sorted(ctx context.Context, uids []imap.UID, r *sortRequest) ([]imap.UID, error) {
	needsKeys := false
	for _, k := range r.by {
		needsKeys = needsKeys || k.By.NeedsKeys()
	}
	msgs, err := c.orderable(ctx, uids, needsKeys)
	if err != nil {
		return nil, err
	}
	for i, uid := range uids {
		msgs[i].Score = r.scores[uid]
	}
	sorted := make([]imap.UID, len(uids))
	for i, at := range order.Sort(msgs, r.by) {
		sorted[i] = uids[at]
	}
	return sorted, nil
}

// orderable makes messages, by their UIDs, ready to be put in order. Without keys it asks nothing of the store.
func (c *conn) orderable(ctx context.Context, uids []imap.UID, needsKeys bool) ([]order.Message, error) {
	keys := make([]order.Key, len(uids))
	if needsKeys {
		var err error
		if keys, err = c.sel.account.Keys(ctx, c.sel.snap, uids); err != nil {
			return nil, fmt.Errorf("sort keys: %w", err)
		}
	}
	msgs := make([]order.Message, len(uids))
	for i, uid := range uids {
		msgs[i].Key = keys[i]
		if at, ok := c.sel.snap.Find(uid); ok {
			msgs[i].Received, msgs[i].Size = c.sel.snap.Received(at).UnixMilli(), c.sel.snap.Size(at)
		}
	}
	return msgs, nil
}
