package imap

import (
	"time"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// recentFlag stands for \Recent until the session's own set takes its place.
const recentFlag imap.Flag = `\Recent`

// searchKeys are the keys of RFC 3501 §6.4.4 that contain no others, and MODSEQ (RFC 7162 §3.1.5). Each adds a condition
// to criteria, all of which must hold.
var searchKeys = map[string]func(*wire.Decoder, *store.Criteria){
	"ALL":        func(*wire.Decoder, *store.Criteria) {},
	"ANSWERED":   hasFlag(imap.FlagAnswered),
	"DELETED":    hasFlag(imap.FlagDeleted),
	"DRAFT":      hasFlag(imap.FlagDraft),
	"FLAGGED":    hasFlag(imap.FlagFlagged),
	"RECENT":     keyOf(capObsolete, hasFlag(recentFlag)),
	"SEEN":       hasFlag(imap.FlagSeen),
	"UNANSWERED": lacksFlag(imap.FlagAnswered),
	"UNDELETED":  lacksFlag(imap.FlagDeleted),
	"UNDRAFT":    lacksFlag(imap.FlagDraft),
	"UNFLAGGED":  lacksFlag(imap.FlagFlagged),
	"UNSEEN":     lacksFlag(imap.FlagSeen),
	"OLD":        keyOf(capObsolete, lacksFlag(recentFlag)),
	"NEW":        keyOf(capObsolete, isNew),
	"KEYWORD":    func(d *wire.Decoder, c *store.Criteria) { c.Flag = append(c.Flag, d.SP().Flag()) },
	"UNKEYWORD":  func(d *wire.Decoder, c *store.Criteria) { c.NotFlag = append(c.NotFlag, d.SP().Flag()) },

	"BCC":     inHeader("Bcc"),
	"CC":      inHeader("Cc"),
	"FROM":    inHeader("From"),
	"SUBJECT": inHeader("Subject"),
	"TO":      inHeader("To"),
	"HEADER":  func(d *wire.Decoder, c *store.Criteria) { inHeader(searchText(d.SP()))(d, c) },
	"BODY":    func(d *wire.Decoder, c *store.Criteria) { c.Body = append(c.Body, searchText(d.SP())) },
	"TEXT":    func(d *wire.Decoder, c *store.Criteria) { c.Text = append(c.Text, searchText(d.SP())) },

	"FILTER": keyOf(imap.CapFilters, parseFilter),

	"YOUNGER": keyOf(imap.CapWithin, parseYounger),
	"OLDER":   keyOf(imap.CapWithin, parseOlder),

	"BEFORE":     func(d *wire.Decoder, c *store.Criteria) { before(&c.Before, searchDay(d)) },
	"SINCE":      func(d *wire.Decoder, c *store.Criteria) { since(&c.Since, searchDay(d)) },
	"ON":         func(d *wire.Decoder, c *store.Criteria) { on(&c.Since, &c.Before, searchDay(d)) },
	"SENTBEFORE": func(d *wire.Decoder, c *store.Criteria) { before(&c.SentBefore, searchDay(d)) },
	"SENTSINCE":  func(d *wire.Decoder, c *store.Criteria) { since(&c.SentSince, searchDay(d)) },
	"SENTON":     func(d *wire.Decoder, c *store.Criteria) { on(&c.SentSince, &c.SentBefore, searchDay(d)) },

	"SAVEDBEFORE":       keyOf(imap.CapSaveDate, func(d *wire.Decoder, c *store.Criteria) { before(&c.SavedBefore, searchDay(d)) }),
	"SAVEDSINCE":        keyOf(imap.CapSaveDate, func(d *wire.Decoder, c *store.Criteria) { since(&c.SavedSince, searchDay(d)) }),
	"SAVEDON":           keyOf(imap.CapSaveDate, func(d *wire.Decoder, c *store.Criteria) { on(&c.SavedSince, &c.SavedBefore, searchDay(d)) }),
	"SAVEDATESUPPORTED": keyOf(imap.CapSaveDate, func(*wire.Decoder, *store.Criteria) {}), // RFC 8514 §4.3: true of all
	"EMAILID":           keyOf(imap.CapObjectID, func(d *wire.Decoder, c *store.Criteria) { c.EmailID = append(c.EmailID, objectID(d)) }),
	"THREADID":          keyOf(imap.CapObjectID, func(d *wire.Decoder, c *store.Criteria) { c.ThreadID = append(c.ThreadID, objectID(d)) }),

	"LARGER":  parseLarger,
	"SMALLER": parseSmaller,
	"UID":     func(d *wire.Decoder, c *store.Criteria) { c.UID = append(c.UID, d.SP().UIDSet()) },
	"MODSEQ":  keyOf(imap.CapCondStore, parseModSeqKey),
}

// firstWord reads the word a key begins with: empty if it begins with a parenthesis or a number.
func firstWord(d *wire.Decoder) string {
	if b := d.Peek(); b == '(' || b == '*' || b == '$' || b >= '0' && b <= '9' {
		return ""
	}
	return d.Keyword()
}

// keyReader reads search keys.
type keyReader struct {
	d *wire.Decoder
	n int
}

// key adds the key that begins with word to c.
func (r *keyReader) key(c *store.Criteria, word string, depth int) {
	d := r.d
	r.n++
	switch {
	case depth > maxSearchDepth:
		d.Fail("at most %d nested search keys", maxSearchDepth)
		return
	case r.n > maxSearchKeys:
		d.Fail("at most %d search keys", maxSearchKeys)
		return
	}
	next := func(c *store.Criteria) { r.key(c, firstWord(d), depth+1) }
	parse, known := searchKeys[word]
	switch {
	case known:
		parse(d, c)
	case word == "NOT":
		c.Not = append(c.Not, nested(d, next))
	case word == "OR":
		c.Or = append(c.Or, [2]store.Criteria{nested(d, next), nested(d, next)})
	case word == "FUZZY" && d.Knows(imap.CapSearchFuzzy):
		c.Fuzzy = append(c.Fuzzy, nested(d, next))
	case word == "" && d.Peek() == '(':
		parseGroup(d, func() { next(c) })
	case word == "" && d.Peek() == '$':
		c.UID = append(c.UID, d.UIDSet())
	case word == "" && d.Err() == nil:
		c.SeqNum = append(c.SeqNum, numbers(d))
	default:
		d.Fail("a search key before this")
	}
}

// nested reads a key of its own.
func nested(d *wire.Decoder, next func(*store.Criteria)) store.Criteria {
	var c store.Criteria
	d.SP()
	next(&c)
	return c
}

// parseGroup reads keys in parentheses, at least one.
func parseGroup(d *wire.Decoder, key func()) {
	n := 0
	d.List(func() { n++; key() })
	if n == 0 {
		d.Fail("a search key")
	}
}

func hasFlag(f imap.Flag) func(*wire.Decoder, *store.Criteria) {
	return func(_ *wire.Decoder, c *store.Criteria) { c.Flag = append(c.Flag, f) }
}

func lacksFlag(f imap.Flag) func(*wire.Decoder, *store.Criteria) {
	return func(_ *wire.Decoder, c *store.Criteria) { c.NotFlag = append(c.NotFlag, f) }
}

// isNew is NEW, which is RECENT UNSEEN.
func isNew(d *wire.Decoder, c *store.Criteria) {
	hasFlag(recentFlag)(d, c)
	lacksFlag(imap.FlagSeen)(d, c)
}

func inHeader(name string) func(*wire.Decoder, *store.Criteria) {
	return func(d *wire.Decoder, c *store.Criteria) {
		c.Header = append(c.Header, imap.SearchCriteriaHeaderField{Key: name, Value: searchText(d.SP())})
	}
}

// searchText reads what to search for, in whatever charset: see parseProgram.
func searchText(d *wire.Decoder) string { return d.AString() }

// searchDay reads a day. The zero time, which stands for no condition, is not one.
func searchDay(d *wire.Decoder) time.Time {
	t := d.SP().Date()
	if t.IsZero() {
		t = t.Add(time.Nanosecond)
	}
	return t
}

func since(at *time.Time, day time.Time) {
	if at.IsZero() || day.After(*at) {
		*at = day
	}
}

func before(at *time.Time, day time.Time) {
	if at.IsZero() || day.Before(*at) {
		*at = day
	}
}

func on(from, to *time.Time, day time.Time) {
	since(from, day)
	before(to, day.AddDate(0, 0, 1))
}

// parseYounger reads an interval in seconds (RFC 5032 §2). The shortest of several counts.
func parseYounger(d *wire.Decoder, c *store.Criteria) {
	if t := interval(d); c.Younger == 0 || t < c.Younger {
		c.Younger = t
	}
}

// parseOlder reads an interval in seconds (RFC 5032 §2). The longest of several counts.
func parseOlder(d *wire.Decoder, c *store.Criteria) { c.Older = max(c.Older, interval(d)) }

func interval(d *wire.Decoder) time.Duration {
	n := d.SP().Number()
	if n == 0 {
		d.Fail("seconds above 0 before this") // RFC 5032 §4: nz-number
	}
	return time.Duration(n) * time.Second
}

// maxSize is beyond the size of any message.
const maxSize = 1 << 60

// parseLarger adds a lower bound. Zero, which stands for no condition, is said in another way.
func parseLarger(d *wire.Decoder, c *store.Criteria) {
	n := int64(d.SP().Number64())
	if n == 0 {
		c.Not = append(c.Not, store.Criteria{SearchCriteria: imap.SearchCriteria{Smaller: 1}})
		return
	}
	c.Larger = max(c.Larger, min(n, maxSize))
}

// parseSmaller adds an upper bound. Nothing is smaller than nothing.
func parseSmaller(d *wire.Decoder, c *store.Criteria) {
	n := int64(d.SP().Number64())
	switch {
	case n == 0:
		c.UID = append(c.UID, imap.UIDSet{})
	case c.Smaller == 0 || n < c.Smaller:
		c.Smaller = n
	}
}

// parseModSeqKey reads MODSEQ. Mod-sequences are kept for whole messages, so that the name of a flag says nothing more.
func parseModSeqKey(d *wire.Decoder, c *store.Criteria) {
	if d.SP(); d.Peek() == '"' {
		d.Text()
		if kind := d.SP().Keyword(); kind != "ALL" && kind != "PRIV" && kind != "SHARED" {
			d.Fail("all, priv or shared before this")
		}
		d.SP()
	}
	at := d.Number64()
	if c.ModSeq == nil || c.ModSeq.ModSeq < at {
		c.ModSeq = &imap.SearchCriteriaModSeq{ModSeq: at}
	}
}

// searchesModSeq reports whether MODSEQ is among the keys, which changes the reply.
func searchesModSeq(c *store.Criteria) bool {
	if c.ModSeq != nil {
		return true
	}
	found := false
	each(c, func(c *store.Criteria) { found = found || searchesModSeq(c) })
	return found
}
