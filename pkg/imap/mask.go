package imap

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"postern/pkg/imap/wire"

	"github.com/emersion/go-imap/v2"
)

// mask is what is not there in a session although this server could: it is not offered, and what belongs to it is as unknown as
// a word that nobody has heard of. Rows of the tables say what they belong to with of; the rest of the code asks conn.offers.
type mask map[imap.Cap]bool

// withoutIt says which capabilities go with another: they are parts of it no longer, or of no use without it.
var withoutIt = map[imap.Cap][]imap.Cap{
	imap.CapLiteralPlus:  {imap.CapLiteralMinus},
	imap.CapLiteralMinus: {imap.CapLiteralPlus, imap.CapIMAP4rev2},
	imap.CapSASLIR:       {imap.CapIMAP4rev2},
	imap.CapEnable:       {imap.CapQResync, imap.CapUTF8Accept, imap.CapUIDOnly, imap.CapIMAP4rev2},
	imap.CapIdle:         {imap.CapIMAP4rev2},
	imap.CapUnselect:     {imap.CapIMAP4rev2},
	imap.CapUIDPlus:      {imap.CapIMAP4rev2},
	imap.CapMove:         {imap.CapIMAP4rev2},
	imap.CapNamespace:    {imap.CapIMAP4rev2},
	imap.CapChildren:     {imap.CapListExtended},
	imap.CapSpecialUse:   {imap.CapCreateSpecialUse, imap.CapIMAP4rev2},
	imap.CapStatusSize:   {imap.CapIMAP4rev2},
	imap.CapBinary:       {imap.CapIMAP4rev2},
	imap.CapListExtended: {imap.CapListStatus, imap.CapListMyRights, imap.CapListMetadata, imap.CapIMAP4rev2},
	imap.CapListStatus:   {imap.CapIMAP4rev2},
	imap.CapESearch:      {imap.CapSearchRes, "PARTIAL", "CONTEXT=SEARCH", "CONTEXT=SORT", imap.CapESort, imap.CapMultiSearch, imap.CapIMAP4rev2},
	imap.CapSearchRes:    {imap.CapIMAP4rev2},
	imap.CapCondStore:    {imap.CapQResync},
	imap.CapCatenate:     {capURLPartial},
	imap.CapSort:         {imap.CapSortDisplay, imap.CapESort, "CONTEXT=SORT"},
	imap.CapESort:        {"CONTEXT=SORT"},
	imap.CapACL:          {"RIGHTS=kxte", imap.CapListMyRights},
	imap.CapMetadata:     {imap.CapMetadataServer, imap.CapListMetadata, imap.CapFilters}, // RFC 5466 §3: what keeps filters
	imap.CapQuota:        {imap.CapQuotaSet, "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE", "QUOTA=RES-MAILBOX"},
}

// newMask masks the capabilities with these names, and what goes with them. Names it does not know are passed over: a newer
// program may have written them down.
func newMask(names []string) mask {
	m := make(mask)
	for _, name := range names {
		if k, ok := maskable(name); ok {
			m.add(k)
		}
	}
	return m
}

func (m mask) add(k imap.Cap) {
	if m[k] {
		return
	}
	m[k] = true
	for _, also := range withoutIt[k] {
		m.add(also)
	}
}

// and returns the mask that is both.
func (m mask) and(n mask) mask {
	if len(n) == 0 {
		return m
	}
	both := maps.Clone(n)
	maps.Copy(both, m)
	return both
}

// maskable finds a capability that can be masked by its name in any case: those that are offered, save IMAP4rev1, which is
// what remains; and mechanisms of authentication.
func maskable(name string) (imap.Cap, bool) {
	if k := imap.Cap(strings.ToUpper(name)); strings.HasPrefix(string(k), "AUTH=") {
		return k, true
	}
	for _, o := range offers {
		if strings.EqualFold(name, string(o.Name)) && o.Name != imap.CapIMAP4rev1 {
			return o.Name, true
		}
	}
	return "", false
}

// CheckDisable returns the names of capabilities as they are spelled, or an error that says which of them cannot be disabled.
func CheckDisable(names []string) ([]string, error) {
	checked := make([]string, len(names))
	for i, name := range names {
		k, ok := maskable(name)
		if !ok {
			return nil, fmt.Errorf("%q is not a capability that can be disabled; those are AUTH=… and %s", name, strings.Join(allMaskable(), ", "))
		}
		checked[i] = string(k)
	}
	slices.Sort(checked)
	return slices.Compact(checked), nil
}

func allMaskable() []string {
	var all []string
	for _, o := range offers {
		if o.Name != imap.CapIMAP4rev1 {
			all = append(all, string(o.Name))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// offers reports whether a capability is there in this session: not masked, and not off for the whole server.
func (c *conn) offers(k imap.Cap) bool { return !c.mask[k] }

// of makes a row one that is there only with one of some capabilities.
func (row command) of(any ...imap.Cap) command {
	row.belongs = any
	return row
}

// of makes a row of a table of the grammar one that is there only with a capability.
func of[T any](k imap.Cap, parse func(*wire.Decoder) T) func(*wire.Decoder) T {
	return func(d *wire.Decoder) (v T) {
		if !d.Knows(k) {
			d.Fail("another word before this")
			return v
		}
		return parse(d)
	}
}

// keyOf is of for the keys of SEARCH.
func keyOf[C any](k imap.Cap, parse func(*wire.Decoder, C)) func(*wire.Decoder, C) {
	return func(d *wire.Decoder, c C) {
		if !d.Knows(k) {
			d.Fail("a search key before this")
			return
		}
		parse(d, c)
	}
}
