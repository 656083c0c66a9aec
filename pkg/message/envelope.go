package message

import (
	"strconv"
	"strings"
	"time"
)

// Envelope is the ENVELOPE of RFC 3501 §7.4.2, raw. A nil string is a field that is absent.
type Envelope struct {
	Date, Subject                      *string
	From, Sender, ReplyTo, To, Cc, Bcc []Address // Sender and ReplyTo fall back to From
	InReplyTo, MessageID               *string
}

// Address is one address of an envelope. A group is an Address with nil Host and its name in Mailbox, its members, and an
// Address of nils. Of an address that is not complete the missing Mailbox or Host is empty, never nil.
type Address struct{ Name, Mailbox, Host *string }

// Sent is the time of the Date field, in the zone that it names, or zero. It reads RFC 5322 §3.3 and, because SENTSINCE
// and its like should find the mail all the same, what is written in its place: obsolete years and zones, no seconds, no
// weekday, the order of asctime, dashes between the parts.
func (e *Envelope) Sent() time.Time {
	if e == nil || e.Date == nil {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339, *e.Date); err == nil {
		return t
	}
	var d date
	p := tokenizer{s: *e.Date}
	for p.space(); p.i < len(p.s) && !d.complete(); p.space() {
		d.word(p.dateWord())
	}
	return d.time()
}

// dateWord reads to the next separator. A dash divides only what follows a letter or a digit: "-0500" is a zone.
func (p *tokenizer) dateWord() string {
	start := p.i
	for ; p.i < len(p.s) && strings.IndexByte(" \t,(", p.s[p.i]) < 0; p.i++ {
		if p.s[p.i] == '-' && p.i > start {
			break
		}
	}
	word := p.s[start:p.i]
	if p.i < len(p.s) && p.s[p.i] != '(' {
		p.i++
	}
	return word
}

// date is what has been found of a date so far. Month and zone are found when not nil, the numbers when not negative.
type date struct {
	day, year            int
	month                time.Month
	hour, minute, second int
	hasDay, hasYear      bool
	hasTime              bool
	zone                 *time.Location
}

func (d *date) complete() bool { return d.zone != nil }

// word takes the next word of a date, whatever it is.
func (d *date) word(w string) {
	n, err := strconv.ParseUint(w, 10, 16)
	switch {
	case strings.Contains(w, ":"):
		d.clock(w)
	case d.hasTime && d.hasYear:
		d.zone = parseZone(w)
	case err == nil && !d.hasDay:
		d.day, d.hasDay = int(n), true
	case err == nil && !d.hasYear:
		d.year, d.hasYear = fullYear(int(n), len(w)), true
	case len(w) >= 3 && d.month == 0:
		d.month = parseMonth(w)
	}
}

// fullYear completes years of two and three digits (RFC 5322 §4.3).
func fullYear(n, digits int) int {
	switch {
	case digits <= 2 && n < 50:
		return n + 2000
	case digits <= 3:
		return n + 1900
	}
	return n
}

func parseMonth(w string) time.Month {
	i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", lower(w[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return time.Month(i/3 + 1)
}

func (d *date) clock(w string) {
	var n [3]int
	for i, s := range strings.SplitN(w, ":", 4) {
		v, err := strconv.ParseUint(s, 10, 8)
		if err != nil || i >= len(n) {
			return
		}
		n[i] = int(v)
	}
	if n[0] < 24 && n[1] < 60 && n[2] <= 60 {
		d.hour, d.minute, d.second, d.hasTime = n[0], n[1], n[2], true
	}
}

// zones are those of RFC 5322 §4.3, in hours. All others count as UTC, as it says.
var zones = map[string]int{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "JST": 9}

func parseZone(w string) *time.Location {
	if len(w) == 5 && (w[0] == '+' || w[0] == '-') {
		n, err := strconv.ParseUint(w[1:], 10, 16)
		if err != nil || n%100 > 59 || n > 2359 {
			return time.UTC
		}
		offset := int(n/100*3600 + n%100*60)
		if w[0] == '-' {
			offset = -offset
		}
		return time.FixedZone("", offset)
	}
	if h := zones[upper(w)]; h != 0 {
		return time.FixedZone(upper(w), h*3600)
	}
	return time.UTC
}

// time returns the date, zero if it does not exist.
func (d *date) time() time.Time {
	if !d.hasDay || !d.hasYear || d.month == 0 {
		return time.Time{}
	}
	zone := d.zone
	if zone == nil {
		zone = time.UTC
	}
	if time.Date(d.year, d.month, d.day, 0, 0, 0, 0, time.UTC).Day() != d.day {
		return time.Time{}
	}
	return time.Date(d.year, d.month, d.day, d.hour, d.minute, d.second, 0, zone)
}
