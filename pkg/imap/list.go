// LIST (RFC 3501 §6.3.8; LIST-EXTENDED, RFC 5258; CHILDREN, RFC 3348; SPECIAL-USE, RFC 6154; LIST-STATUS, RFC 5819;
// LIST-MYRIGHTS, RFC 8440; LIST-METADATA, RFC 9590). What comes of a request is in listing.go.

package imap

import (
	"context"
	"slices"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

type listRequest struct {
	patterns []pattern
	root     bool // the pattern was empty: only the delimiter is asked for

	// What is selected.
	subscribed bool     // only these
	specialUse bool     // only those with one
	recursive  bool     // and what is above them
	options    []string // the first two of these, as they came

	// What is told.
	tell     bool           // \Subscribed
	children bool           // \HasChildren, also of what is not there
	status   []string       // items of STATUS; none if it is not asked for
	rights   bool           // MYRIGHTS
	metadata *metadataQuery // nil if it is not asked for
}

const (
	maxPatterns     = 1000     // of one LIST
	maxPatternsSize = 16 << 10 // octets of all its patterns together
)

func parseList(d *wire.Decoder, _ flags) (listRequest, error) {
	var r listRequest
	if d.SP(); d.Peek() == '(' {
		r.parseSelection(d)
		d.SP()
	}
	r.parsePatterns(d)
	if d.TrySP() {
		r.parseReturn(d)
	}
	return r, d.End()
}

// parsePatterns reads a reference and one pattern, or several (RFC 5258 §3). No pattern at all is a question for the
// delimiter (RFC 3501 §6.3.8).
func (r *listRequest) parsePatterns(d *wire.Decoder) {
	ref := d.ListMailbox()
	size := 0
	one := func() {
		want := d.ListMailbox()
		if size += len(ref) + len(want); size > maxPatternsSize || len(r.patterns) == maxPatterns {
			d.Fail("shorter patterns, or fewer, before this")
			return
		}
		r.root = want == ""
		if !r.root {
			r.patterns = append(r.patterns, newPattern(ref, want))
		}
	}
	if d.SP(); d.Peek() != '(' || !d.Knows(imap.CapListExtended) {
		one()
		return
	}
	before := d.At()
	d.List(one)
	if r.root = false; d.At() == before+2 {
		d.Fail("a mailbox pattern before this")
	}
}

// selections are the selection options. RECURSIVEMATCH makes sense only beside one that selects (RFC 5258 §3.1).
var selections = map[string]struct {
	belongs imap.Cap
	set     func(*listRequest)
}{
	"SUBSCRIBED":     {imap.CapListExtended, func(r *listRequest) { r.subscribed, r.tell = true, true }},
	"SPECIAL-USE":    {imap.CapSpecialUse, func(r *listRequest) { r.specialUse = true }},
	"REMOTE":         {imap.CapListExtended, func(*listRequest) {}}, // there are none (RFC 2193)
	"RECURSIVEMATCH": {imap.CapListExtended, func(r *listRequest) { r.recursive = true }},
}

func (r *listRequest) parseSelection(d *wire.Decoder) {
	d.List(func() {
		word := d.Keyword()
		option, ok := selections[word]
		if !ok || !d.Knows(option.belongs) {
			d.Fail("SUBSCRIBED, SPECIAL-USE, REMOTE or RECURSIVEMATCH before this")
			return
		}
		option.set(r)
		if (word == "SUBSCRIBED" || word == "SPECIAL-USE") && !slices.Contains(r.options, word) {
			r.options = append(r.options, word)
		}
	})
	if r.recursive && len(r.options) == 0 {
		d.Fail("SUBSCRIBED or SPECIAL-USE beside RECURSIVEMATCH before this")
	}
}

// returns are the return options.
var returns = map[string]struct {
	belongs imap.Cap
	parse   func(*listRequest, *wire.Decoder)
}{
	"SUBSCRIBED":  {imap.CapListExtended, func(r *listRequest, _ *wire.Decoder) { r.tell = true }},
	"CHILDREN":    {imap.CapChildren, func(r *listRequest, _ *wire.Decoder) { r.children = true }},
	"SPECIAL-USE": {imap.CapSpecialUse, func(*listRequest, *wire.Decoder) {}}, // told in any case
	"STATUS":      {imap.CapListStatus, func(r *listRequest, d *wire.Decoder) { r.status = parseStatusItems(d.SP()) }},
	"MYRIGHTS":    {imap.CapListMyRights, func(r *listRequest, _ *wire.Decoder) { r.rights = true }},
	"METADATA":    {imap.CapListMetadata, (*listRequest).parseMetadata},
}

func (r *listRequest) parseReturn(d *wire.Decoder) {
	if d.Keyword() != "RETURN" {
		d.Fail("RETURN before this")
	}
	d.SP().List(func() {
		option, ok := returns[d.Keyword()]
		if !ok || !d.Knows(option.belongs) {
			d.Fail("a return option before this")
			return
		}
		option.parse(r, d)
	})
}

// parseMetadata reads which entries are asked for (RFC 9590 §5).
func (r *listRequest) parseMetadata(d *wire.Decoder) {
	r.metadata = &metadataQuery{maxSize: -1}
	if d.SP(); r.metadata.parseOptionsOrEntries(d) {
		d.SP()
	}
	if r.metadata.entries == nil {
		r.metadata.parseEntries(d)
	}
}

func (c *conn) list(ctx context.Context, r listRequest) error {
	if r.root {
		c.writeListed("", []imap.MailboxAttr{imap.MailboxAttrNoSelect}, nil)
		return nil
	}
	return c.listIn(ctx, r, r.scope())
}

// listIn answers LIST with what there is in a scope.
func (c *conn) listIn(ctx context.Context, r listRequest, in scope) error {
	names, err := c.tree(ctx, in)
	if err != nil {
		return err
	}
	if r.subscribed {
		if names, err = c.withMissing(ctx, in, names); err != nil {
			return err
		}
	}
	found, err := newListing(&r, names).choose(ctx)
	if err != nil {
		return err
	}
	annotations, err := c.listMetadata(ctx, r.metadata, found)
	if err != nil {
		return err
	}
	if slices.Contains(r.status, "HIGHESTMODSEQ") {
		c.enable(imap.CapCondStore) // RFC 7162 §3.1
	}
	for _, f := range found {
		if f.readable() && f.rights.Has(store.RightRead) {
			if err := c.measure(ctx, &f.target, r.status); err != nil {
				return err
			}
		}
		c.writeName(&r, f)
		c.writeMetadata(f.name, annotations[f.box.ID])
		if err := c.enc.Err(); err != nil {
			return &lost{err}
		}
	}
	return nil
}
