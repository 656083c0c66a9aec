// Searches that are kept under a name, as annotations (FILTERS, RFC 5466).

package imap

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"postern/pkg/imap/wire"
	"postern/pkg/store"
)

// Where filters are kept, the user's own before everybody's (RFC 5466 §3.2).
const (
	privateFilters = store.PrivateEntries + "/filters/values/"
	sharedFilters  = store.SharedEntries + "/filters/values/"
)

// What one search may make of filters: one in another so deep (at least 3, RFC 5466 §3.1), and so many in all (rule 11).
const (
	maxFilterDepth = 5
	maxFilterUses  = 50
)

// parseFilter reads the name of a filter (RFC 5466 §4).
func parseFilter(d *wire.Decoder, c *store.Criteria) {
	name := d.SP().Atom()
	if strings.Contains(name, "/") {
		d.Fail("a name without a slash before this")
	}
	c.Filter = append(c.Filter, name)
}

// usesFilters reports whether FILTER is among the keys.
func usesFilters(c *store.Criteria) bool {
	found := len(c.Filter) > 0
	each(c, func(c *store.Criteria) { found = found || usesFilters(c) })
	return found
}

// filters puts filters in the place of their names.
type filters struct {
	c    *conn
	uses int
}

// expandFilters puts what is kept under the names in their place. A filter that is not there, is no search, or leads to
// itself is refused by its name (RFC 5466 §3.1).
func (c *conn) expandFilters(ctx context.Context, r *searchRequest) error {
	if !usesFilters(&r.criteria) {
		return nil
	}
	f := filters{c: c}
	if err := f.expand(ctx, &r.criteria, 0); err != nil {
		return err
	}
	if why := excess(&r.criteria); why != "" {
		return refusal{code: "LIMIT", text: "There may be " + why + "."}
	}
	r.modSeq = searchesModSeq(&r.criteria)
	return nil
}

func (f *filters) expand(ctx context.Context, k *store.Criteria, depth int) error {
	names := k.Filter
	k.Filter = nil
	var err error
	each(k, func(inner *store.Criteria) {
		if err == nil {
			err = f.expand(ctx, inner, depth)
		}
	})
	for _, name := range names {
		if err != nil {
			return err
		}
		var found store.Criteria
		if found, err = f.load(ctx, name, depth); err == nil {
			k.Not = append(k.Not, store.Criteria{Not: []store.Criteria{found}}) // all of it must hold
		}
	}
	return err
}

// load reads a filter.
func (f *filters) load(ctx context.Context, name string, depth int) (store.Criteria, error) {
	undefined := refusal{code: "UNDEFINED-FILTER " + name, text: "There is no such filter."}
	if f.uses++; depth >= maxFilterDepth || f.uses > maxFilterUses {
		return store.Criteria{}, undefined
	}
	value, err := f.c.filterValue(ctx, name)
	if err != nil {
		return store.Criteria{}, err
	}
	k, err := f.c.parseFilterValue(value)
	if value == "" || err != nil {
		return store.Criteria{}, undefined
	}
	return k, f.expand(ctx, &k, depth+1)
}

// filterValue is what is kept under a name, empty if nothing is.
func (c *conn) filterValue(ctx context.Context, name string) (string, error) {
	var entries []string
	for _, prefix := range []string{privateFilters, sharedFilters} {
		if entry, err := store.CanonicalEntry(prefix + name); err == nil { // else there cannot be one
			entries = append(entries, entry)
		}
	}
	if len(entries) == 0 {
		return "", nil
	}
	found, err := c.account.Annotations(ctx, store.AnnotationQuery{Boxes: []store.MailboxID{0}, Entries: entries, MaxSize: maxLine})
	if err != nil {
		return "", fmt.Errorf("filter %q: %w", name, err)
	}
	value := ""
	for i := range found {
		if value == "" || store.IsPrivate(found[i].Entry) {
			value = string(found[i].Value)
		}
	}
	return value, nil
}

// parseFilterValue reads search keys. Their strings are UTF-8.
func (c *conn) parseFilterValue(value string) (store.Criteria, error) {
	d := wire.NewDecoder(bufio.NewReader(strings.NewReader(value+"\r\n")), wire.DecoderOptions{
		Continue: func() error { return badf("A filter holds its literals.") },
	})
	d.Begin(wire.Limits{Line: maxLine, Without: c.mask})
	k := parseProgram(d, "", firstWord(d))
	return k, d.End()
}
