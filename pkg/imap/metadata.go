// GETMETADATA and SETMETADATA (RFC 5464).

package imap

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// maxEntries is how many entries a command may name.
const maxEntries = 1000

// metadataQuery is which entries of a mailbox are asked for, in GETMETADATA and in LIST (RFC 9590).
type metadataQuery struct {
	entries []string // canonical
	depth   store.Depth
	maxSize int // octets; negative means any
}

type getMetadataRequest struct {
	metadataQuery
	mailbox string // empty for the server
}

// parseGetMetadata takes the options where the grammar has them, before the mailbox, and where the examples have them,
// behind it (RFC 5464 §4.2, §5).
func parseGetMetadata(d *wire.Decoder, _ flags) (getMetadataRequest, error) {
	r := getMetadataRequest{metadataQuery: metadataQuery{maxSize: -1}}
	options := false
	if d.SP(); d.Peek() == '(' {
		r.parseOptions(d)
		options = true
		d.SP()
	}
	r.mailbox = d.Mailbox()
	d.SP()
	if !options && r.parseOptionsOrEntries(d) {
		d.SP()
	}
	if r.entries == nil {
		r.parseEntries(d)
	}
	return r, d.End()
}

func (r *metadataQuery) parseOptions(d *wire.Decoder) {
	d.List(func() { r.parseOption(d) })
}

func (r *metadataQuery) parseOption(d *wire.Decoder) {
	switch d.Keyword() {
	case "MAXSIZE":
		r.maxSize = int(min(d.SP().Number64(), math.MaxInt32))
	case "DEPTH":
		depth, ok := map[string]store.Depth{"0": store.ThisEntry, "1": store.OneBelow, "INFINITY": store.AllBelow}[d.SP().Keyword()]
		if !ok {
			d.Fail("0, 1 or infinity before this")
		}
		r.depth = depth
	default:
		d.Fail("MAXSIZE or DEPTH before this")
	}
}

// parseOptionsOrEntries reads a list of either, if there is one, and reports that it was of options: no entry begins with a
// letter.
func (r *metadataQuery) parseOptionsOrEntries(d *wire.Decoder) (options bool) {
	if d.Peek() != '(' {
		return false
	}
	d.List(func() {
		switch d.Peek() {
		case '/', '"', '{':
			r.parseEntry(d)
		default:
			options = true
			r.parseOption(d)
		}
	})
	if options == (r.entries != nil) {
		d.Fail("an entry, or options alone, before this")
	}
	return options
}

// parseEntries reads one entry, or several in parentheses.
func (r *metadataQuery) parseEntries(d *wire.Decoder) {
	if d.Peek() != '(' {
		r.parseEntry(d)
		return
	}
	d.List(func() { r.parseEntry(d) })
	if len(r.entries) == 0 {
		d.Fail("an entry before this")
	}
}

func (r *metadataQuery) parseEntry(d *wire.Decoder) {
	entry := parseEntry(d)
	if len(r.entries) == maxEntries {
		d.Fail("at most %d entries", maxEntries)
	}
	if !slices.Contains(r.entries, entry) {
		r.entries = append(r.entries, entry)
	}
}

// parseEntry reads the name of an entry. Besides those that can be, the roots can be asked about, with a depth.
func parseEntry(d *wire.Decoder) string {
	name := d.AString()
	if root := strings.ToLower(name); root == store.PrivateEntries || root == store.SharedEntries {
		return root
	}
	entry, err := store.CanonicalEntry(name)
	if err != nil {
		d.Fail("an entry below /private or /shared before this") // RFC 5464 §3.2
	}
	return entry
}

func (c *conn) getMetadata(ctx context.Context, r getMetadataRequest) error {
	at, err := c.annotated(ctx, r.mailbox)
	if err != nil {
		return err
	}
	found, err := c.readMetadata(ctx, at, r.metadataQuery)
	if err != nil {
		return err
	}
	told, longest := r.choose(found)
	c.writeMetadata(at.title(at.box.Name), told)
	if longest > 0 {
		c.answer(fmt.Sprintf("METADATA LONGENTRIES %d", longest), "Longer ones were left out.") // RFC 5464 §4.2.1
	}
	return nil
}

// annotationRights are those of which one is needed, beside RightLookup, to see and to set annotations (RFC 5464 §3.3).
const annotationRights = store.RightRead | store.RightSeen | store.RightWrite | store.RightInsert | store.RightPost

// annotated finds a mailbox whose annotations are concerned; without a name the result stands for the account, which is what
// a user sees of the server.
func (c *conn) annotated(ctx context.Context, name string) (target, error) {
	if name == "" {
		return target{location: location{account: c.account, rights: store.AllRights}}, nil
	}
	at, err := c.mailbox(ctx, name, store.RightLookup)
	if err == nil && at.rights&annotationRights == 0 {
		err = store.ErrNoPermission
	}
	return at, err
}

// readMetadata returns what there is of what is asked for, in no order. Private entries are this user's, whoever owns the
// mailbox.
func (c *conn) readMetadata(ctx context.Context, at target, r metadataQuery) ([]store.Annotation, error) {
	q := r.of([]store.MailboxID{at.box.ID})
	found, err := c.account.Annotations(ctx, q)
	if err != nil {
		return nil, err
	}
	if own := at.account.ID() == c.account.ID(); !own {
		found = slices.DeleteFunc(found, func(a store.Annotation) bool { return !store.IsPrivate(a.Entry) })
		shared, err := at.account.Annotations(ctx, q)
		if err != nil {
			return nil, err
		}
		found = append(found, slices.DeleteFunc(shared, func(a store.Annotation) bool { return store.IsPrivate(a.Entry) })...)
	}
	found = append(found, c.builtIn(at, q)...)
	return found, nil
}

func byEntry(a, b store.Annotation) int { return cmp.Compare(a.Entry, b.Entry) }

// adminEntry is, beside store.SpecialUseEntry, one that is not kept as an annotation.
const adminEntry = "/shared/admin" // RFC 5464 §6.2.1.2: of the server, and not for users to set

// builtIn returns those of them that there are of what is asked for.
func (c *conn) builtIn(at target, q store.AnnotationQuery) (found []store.Annotation) {
	values := map[string]string{}
	switch {
	case at.box.ID == 0:
		values[adminEntry] = c.srv.Admin
	case at.account.ID() == c.account.ID() && c.offers(imap.CapSpecialUse):
		values[store.SpecialUseEntry] = spellUse(at.box.Use)
	}
	for entry, value := range values {
		if value == "" || !q.Selects(entry) {
			continue
		}
		a := store.Annotation{Box: at.box.ID, Entry: entry, Size: len(value)}
		if q.MaxSize < 0 || a.Size <= q.MaxSize {
			a.Value = []byte(value)
		}
		found = append(found, a)
	}
	return found
}

func spellUse(use []imap.MailboxAttr) string {
	words := make([]string, len(use))
	for i := range use {
		words[i] = string(use[i])
	}
	return strings.Join(words, " ")
}

// choose says what a client is told of what was found: what it asked for by name and is not there as NIL, what is too long
// not at all. longest is the size of the longest of those.
func (r *metadataQuery) choose(found []store.Annotation) (told []store.Annotation, longest int) {
	there := make(map[string]bool, len(found))
	for _, a := range found {
		there[a.Entry] = true
		if a.Value == nil {
			longest = max(longest, a.Size)
			continue
		}
		told = append(told, a)
	}
	for _, entry := range r.entries {
		if r.depth == store.ThisEntry && !there[entry] {
			told = append(told, store.Annotation{Entry: entry})
		}
	}
	slices.SortFunc(told, byEntry)
	return told, longest
}

// writeMetadata writes METADATA with values (RFC 5464 §4.4.1), if there are any. A value with NUL is a literal8.
func (c *conn) writeMetadata(mailbox string, list []store.Annotation) {
	if len(list) == 0 {
		return
	}
	c.enc.Atom("* METADATA ").Mailbox(mailbox).SP().List(len(list), func(i int) {
		c.enc.AString(list[i].Entry).SP()
		switch value := string(list[i].Value); {
		case list[i].Value == nil:
			c.enc.NIL()
		case strings.ContainsRune(value, 0):
			c.enc.Literal8(int64(len(value)), strings.NewReader(value))
		default:
			c.enc.String(value)
		}
	}).CRLF()
}
