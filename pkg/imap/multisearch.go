// ESEARCH, a search in several mailboxes (MULTISEARCH, RFC 7377).

package imap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// maxSources bounds what IN may list (rule 11).
const maxSources = 100

type multiSearchRequest struct {
	searchRequest
	in []mailboxFilter // nil means the selected mailbox
}

func parseMultiSearch(d *wire.Decoder, _ flags) (multiSearchRequest, error) {
	var r multiSearchRequest
	word := firstWord(d.SP())
	if word == "IN" {
		r.in = parseSources(d.SP())
		word = firstWord(d.SP())
	}
	var err error
	r.searchRequest, err = parseSearchFrom(d, word)
	r.byUID = true // RFC 7377 §2.1
	if r.ret == nil {
		r.ret = &searchReturn{SearchOptions: imap.SearchOptions{ReturnAll: true}}
	}
	return r, err
}

// parseSources reads which mailboxes to search. There are no scope options yet that could follow (RFC 7377 §3).
func parseSources(d *wire.Decoder) []mailboxFilter {
	var in []mailboxFilter
	d.List(func() {
		f := parseMailboxFilter(d)
		if f.kind == filterSelectedDelayed {
			d.Fail("a source of a search before this") // RFC 7377 §2.2
		}
		if in = append(in, f); len(in) > maxSources {
			d.Fail("at most %d sources", maxSources)
		}
	})
	if len(in) == 0 {
		d.Fail("a source of the search before this")
	}
	if len(namedBy(in)) > maxFilterNames {
		d.Fail("at most %d mailboxes", maxFilterNames)
	}
	return in
}

// multiSearch answers ESEARCH: a response for each mailbox in which something was found. Mailboxes that are not there, or
// not for this user to read, are as if nothing was found in them (RFC 7377 §2.2).
func (c *conn) multiSearch(ctx context.Context, r multiSearchRequest) error {
	sources, err := c.sources(ctx, r.in)
	if err != nil {
		return err
	}
	here := len(sources) == 1 && sources[0].selected
	switch {
	case r.ret.ReturnSave && !here:
		return badf("SAVE is for a search in the selected mailbox.") // RFC 7377 §2.1
	case r.ret.update:
		return badf("UPDATE is for SEARCH.")
	}
	if err = r.refusal; err == nil {
		err = c.expandFilters(ctx, &r.searchRequest)
	}
	if err != nil {
		if here {
			c.sel.beginSave(r.ret)
		}
		return err
	}
	if r.modSeq {
		c.enable(imap.CapCondStore) // RFC 7162 §3.1
	}
	for i, from := range sources {
		if err := c.searchSource(ctx, from, r.searchRequest); err != nil {
			return err
		}
		c.progress(i+1, len(sources))
	}
	c.answer("", "Searched.")
	return nil
}

// haystack is a mailbox to be searched.
type haystack struct {
	name     string // as this user says it
	selected bool
}

// sources are the mailboxes meant, each once, in name order, the selected one first. They may be gone by the time they are
// searched.
func (c *conn) sources(ctx context.Context, in []mailboxFilter) ([]haystack, error) {
	inSelected := in == nil
	for _, f := range in {
		inSelected = inSelected || f.kind == filterSelected
	}
	if inSelected && c.sel == nil {
		return nil, badf("Select a mailbox first.")
	}
	boxes, err := c.account.Mailboxes(ctx)
	if err != nil {
		return nil, fmt.Errorf("sources of a search: %w", err)
	}
	subscribed, err := c.account.Subscriptions(ctx)
	if err != nil {
		return nil, fmt.Errorf("sources of a search: %w", err)
	}
	names := make(map[string]bool)
	for i := range boxes {
		if b := &boxes[i]; anySelects(in, b.Name, b.Subscribed) {
			names[b.Name] = true
		}
	}
	shared := slices.DeleteFunc(slices.Clone(in), func(f mailboxFilter) bool { // what may mean mailboxes of others too
		return f.kind == filterPersonal || f.kind == filterInboxes
	})
	for _, name := range subscribed {
		if anySelects(shared, name, true) {
			names[name] = true
		}
	}
	for _, name := range namedBy(shared) {
		names[name] = true
	}
	theirs, err := c.sharedBelow(ctx, shared)
	if err != nil {
		return nil, fmt.Errorf("sources of a search: %w", err)
	}
	for _, name := range theirs {
		names[name] = true
	}
	return c.withSelected(names, boxes, inSelected), nil
}

// sharedBelow are the mailboxes of others in the subtrees that are meant (RFC 5465 §6.6).
func (c *conn) sharedBelow(ctx context.Context, in []mailboxFilter) ([]string, error) {
	if !c.offers(imap.CapACL) || !slices.ContainsFunc(in, mailboxFilter.reachesOthers) {
		return nil, nil
	}
	list, err := c.account.SharedMailboxes(ctx, "")
	var names []string
	for _, s := range list {
		if name := ownerPrefix(s.Address) + s.Name; anySelects(in, name, false) {
			names = append(names, name)
		}
	}
	return names, err
}

// withSelected makes a list of the names, with the selected mailbox as itself if it is among them.
func (c *conn) withSelected(names map[string]bool, boxes []store.Mailbox, inSelected bool) []haystack {
	var list []haystack
	if c.sel != nil {
		title := c.sel.title(c.sel.nameNow(boxes))
		if inSelected || names[title] {
			list = append(list, haystack{name: title, selected: true})
		}
		delete(names, title)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		list = append(list, haystack{name: name})
	}
	return list
}

// nameNow is the name of the selected mailbox, which may have been renamed. boxes are the user's own.
func (s *selected) nameNow(boxes []store.Mailbox) string {
	for i := range boxes {
		if s.prefix == "" && boxes[i].ID == s.box.ID {
			return boxes[i].Name
		}
	}
	return s.box.Name
}

func anySelects(in []mailboxFilter, name string, subscribed bool) bool {
	return slices.ContainsFunc(in, func(f mailboxFilter) bool { return f.selects(name, subscribed) })
}

// namedBy are the names that filters mention.
func namedBy(in []mailboxFilter) []string {
	var names []string
	for _, f := range in {
		names = append(names, f.names...)
	}
	return names
}

// searchSource searches one mailbox and tells what was found, if anything.
func (c *conn) searchSource(ctx context.Context, from haystack, r searchRequest) error {
	s := c.sel
	if !from.selected {
		var err error
		if s, err = c.peek(ctx, from.name); err != nil || s == nil {
			return err
		}
	}
	k := cloneCriteria(&r.criteria)
	s.resolveCriteria(&k)
	s.beginSave(r.ret) // "$" has been read
	var uids []imap.UID
	err := c.asking(func() (err error) {
		if uids, err = s.account.Search(ctx, s.snap, &k); err == nil && r.wantsScores() {
			r.scores, err = s.scores(ctx, &k, uids)
		}
		return err
	})
	switch {
	case absent(err) && !from.selected:
		return nil
	case err != nil:
		return fmt.Errorf("search %q: %w", from.name, err)
	}
	s.save(r.ret, uids)
	if len(uids) == 0 || !r.ret.tells() {
		return nil
	}
	c.enc.Atom("* ESEARCH (TAG ").String(c.running).Atom(" MAILBOX ").Mailbox(from.name)
	c.enc.Atom(" UIDVALIDITY ").Number(s.snap.UIDValidity()).Byte(')')
	c.writeResult(s.snap, numbersOf(uids), uids, r)
	return nil
}

// peek looks at a mailbox without selecting it, nil if there is none for this user to read.
func (c *conn) peek(ctx context.Context, name string) (*selected, error) {
	at, err := c.locate(ctx, name, store.RightRead)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at %q: %w", name, err)
	}
	box, snap, err := at.open(ctx)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at %q: %w", name, err)
	}
	s := &selected{location: at, box: box, snap: snap, view: snap.View()}
	if n := snap.Len(); box.Recent > 0 && n > 0 { // to look is not to claim
		s.recent.AddRange(snap.UID(max(0, n-int(box.Recent))), snap.UIDNext()-1)
	}
	return s, nil
}

// absent reports whether a mailbox is not there, or as good as that for this user.
func absent(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNoPermission) || errors.Is(err, store.ErrName)
}

// numbersOf are the UIDs as numbers.
func numbersOf(uids []imap.UID) []uint32 {
	nums := make([]uint32, len(uids))
	for i, uid := range uids {
		nums[i] = uint32(uid)
	}
	return nums
}

// cloneCriteria copies what resolveCriteria changes.
func cloneCriteria(c *store.Criteria) store.Criteria {
	k := *c
	k.UID = slices.Clone(c.UID)
	k.Not, k.Or, k.Fuzzy = slices.Clone(c.Not), slices.Clone(c.Or), slices.Clone(c.Fuzzy)
	each(&k, func(inner *store.Criteria) { *inner = cloneCriteria(inner) })
	return k
}
