package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/message"
)

// Matcher is Criteria made ready for one mailbox: flags as bits, dates as numbers, patterns folded. It is immutable.
type Matcher struct {
	never      bool // asks for something no message here can have
	uids       []imap.UIDSet
	set, unset FlagSet
	received   span
	saved      span
	size       span
	modSeq     ModSeq
	id         MessageID // 0: any
	thread     int64     // 0: any

	sent       span // days
	hasSent    bool
	header     []imap.SearchCriteriaHeaderField
	body, text []string

	not   []*Matcher
	or    [][2]*Matcher
	fuzzy []*Matcher
	loose []loose
}

// span is from <= x < to.
type span struct{ from, to int64 }

func all() span { return span{math.MinInt64, math.MaxInt64} }

func (s span) has(x int64) bool { return x >= s.from && x < s.to }

func (s *span) above(x int64) { s.from = max(s.from, x) }
func (s *span) below(x int64) { s.to = min(s.to, x) }

// Matcher compiles c. keywords are the mailbox's; now is for Younger and Older. It is good for as long as no keyword is
// added.
func (c *Criteria) Matcher(keywords []imap.Flag, now time.Time) *Matcher {
	return c.compile(keywords, now, false)
}

// compile is Matcher, for inexact searches too.
func (c *Criteria) compile(keywords []imap.Flag, now time.Time, inexact bool) *Matcher {
	m := &Matcher{received: all(), saved: all(), size: all(), sent: all()}
	for _, uids := range c.UID {
		m.uids = append(m.uids, Normalize(uids))
	}
	m.flags(c, keywords)
	m.dates(c, now)
	m.numbers(c)
	if inexact {
		m.loose = looseTexts(c)
	} else {
		m.octets(c)
	}
	for i := range c.Not {
		m.not = append(m.not, c.Not[i].compile(keywords, now, inexact))
	}
	for i := range c.Or {
		m.or = append(m.or, [2]*Matcher{c.Or[i][0].compile(keywords, now, inexact), c.Or[i][1].compile(keywords, now, inexact)})
	}
	for i := range c.Fuzzy {
		m.fuzzy = append(m.fuzzy, c.Fuzzy[i].compile(keywords, now, true))
	}
	return m
}

func (m *Matcher) flags(c *Criteria, keywords []imap.Flag) {
	for _, flag := range c.Flag {
		f, ok := lookup(flag, keywords)
		if !ok {
			m.never = true
		}
		m.set = m.set.union(f)
	}
	for _, flag := range c.NotFlag {
		f, _ := lookup(flag, keywords) // one that nobody has is not set anywhere
		m.unset = m.unset.union(f)
	}
}

func (m *Matcher) dates(c *Criteria, now time.Time) {
	since(&m.received, c.Since, dayStart)
	before(&m.received, c.Before, dayStart)
	since(&m.saved, c.SavedSince, dayStart)
	before(&m.saved, c.SavedBefore, dayStart)
	since(&m.sent, c.SentSince, day)
	before(&m.sent, c.SentBefore, day)
	m.hasSent = m.sent != all()
	if c.Younger > 0 {
		m.received.above(now.Add(-c.Younger).UnixMilli()) // RFC 5032 §2: both ends are inclusive
	}
	if c.Older > 0 {
		m.received.below(now.Add(-c.Older).UnixMilli() + 1)
	}
}

func since(s *span, t time.Time, unit func(time.Time) int64) {
	if !t.IsZero() {
		s.above(unit(t))
	}
}

func before(s *span, t time.Time, unit func(time.Time) int64) {
	if !t.IsZero() {
		s.below(unit(t))
	}
}

// dayStart is the start, in UTC, of the day that t shows in its own zone, in milliseconds.
func dayStart(t time.Time) int64 { return day(t) * 24 * 60 * 60 * 1000 }

// day numbers the day that t shows in its own zone.
func day(t time.Time) int64 {
	y, mon, d := t.Date()
	return time.Date(y, mon, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
}

func (m *Matcher) numbers(c *Criteria) {
	if c.Larger > 0 {
		m.size.above(c.Larger + 1)
	}
	if c.Smaller > 0 {
		m.size.below(c.Smaller)
	}
	if c.ModSeq != nil { // RFC 7162 §3.1.5; one mod-sequence serves all metadata items
		m.modSeq = ModSeq(c.ModSeq.ModSeq)
	}
	for _, s := range c.EmailID {
		id, ok := ParseMessageID(s)
		m.never = m.never || !ok || (m.id != 0 && m.id != id)
		m.id = id
	}
	for _, s := range c.ThreadID {
		id, ok := ParseThreadID(s)
		m.never = m.never || !ok || (m.thread != 0 && m.thread != id)
		m.thread = id
	}
}

func (m *Matcher) octets(c *Criteria) {
	for _, h := range c.Header {
		m.header = append(m.header, imap.SearchCriteriaHeaderField{Key: h.Key, Value: message.Fold(h.Value)})
	}
	m.body = fold(c.Body)
	m.text = fold(c.Text)
}

// fold folds patterns and drops empty ones, which occur in every text.
func fold(patterns []string) []string {
	var folded []string
	for _, p := range patterns {
		if f := message.Fold(p); f != "" {
			folded = append(folded, f)
		}
	}
	return folded
}

// MatchRow decides from a snapshot alone whether the message at place i matches. known is false when it takes the
// message itself to tell.
func (m *Matcher) MatchRow(s *Snapshot, i int) (match, known bool) {
	r := s.Row(i)
	v := m.judge(&r, nil)
	return v == yes, v != unknown
}

// Match decides about a message. Its Body is read only if nothing else tells, its Part is needed when Criteria.Needs
// says so.
func (m *Matcher) Match(ctx context.Context, msg *Message) (bool, error) {
	r := Row{
		UID: msg.UID, ModSeq: msg.ModSeq, Flags: msg.Flags, ID: msg.ID, Thread: msg.Thread,
		Received: msg.Received.UnixMilli(), Saved: msg.Saved.UnixMilli(), Size: msg.Size,
	}
	ok, err := m.match(ctx, &r, msg)
	if err != nil {
		return false, fmt.Errorf("match UID %d: %w", msg.UID, err)
	}
	return ok, nil
}

// verdict is a truth value of Kleene's logic: "and" is min, "or" is max, "not" is 2-v.
type verdict int

const (
	no verdict = iota
	unknown
	yes
)

// judge decides by columns, and what an index knows if there is one.
func (m *Matcher) judge(r *Row, hint Hint) verdict {
	if !m.columns(r) {
		return no
	}
	v := m.hinted(hint)
	for _, n := range m.not {
		v = min(v, yes-n.judge(r, hint))
	}
	for _, or := range m.or {
		v = min(v, max(or[0].judge(r, hint), or[1].judge(r, hint)))
	}
	for _, f := range m.fuzzy {
		v = min(v, f.judge(r, hint))
	}
	return v
}

func (m *Matcher) columns(r *Row) bool {
	if m.never || !r.Flags.has(m.set) || r.Flags.any(m.unset) || r.ModSeq < m.modSeq {
		return false
	}
	if !m.received.has(r.Received) || !m.saved.has(r.Saved) || !m.size.has(r.Size) {
		return false
	}
	if (m.id != 0 && m.id != r.ID) || (m.thread != 0 && m.thread != r.Thread) {
		return false
	}
	for _, uids := range m.uids {
		if !uids.Contains(r.UID) {
			return false
		}
	}
	return true
}

func (m *Matcher) needsOctets() bool {
	return m.hasSent || len(m.header) > 0 || len(m.body) > 0 || len(m.text) > 0 || len(m.loose) > 0
}

// match decides by whatever it takes.
func (m *Matcher) match(ctx context.Context, r *Row, msg *Message) (bool, error) {
	if v := m.judge(r, nil); v != unknown {
		return v == yes, nil
	}
	for _, n := range m.not {
		if ok, err := n.match(ctx, r, msg); ok || err != nil {
			return false, err
		}
	}
	for _, or := range m.or {
		ok, err := or[0].match(ctx, r, msg)
		if err == nil && !ok {
			ok, err = or[1].match(ctx, r, msg)
		}
		if !ok || err != nil {
			return false, err
		}
	}
	for _, f := range m.fuzzy {
		if ok, err := f.match(ctx, r, msg); !ok || err != nil {
			return false, err
		}
	}
	return m.matchOctets(ctx, msg)
}

var errNoPart = errors.New("the message was read without its MIME tree")

// matchOctets looks into the message, the cheapest first.
func (m *Matcher) matchOctets(ctx context.Context, msg *Message) (bool, error) {
	if !m.needsOctets() {
		return true, nil
	}
	if msg.Part == nil {
		return false, errNoPart
	}
	if m.hasSent && !m.matchSent(msg.Part.Envelope) {
		return false, nil
	}
	for _, h := range m.header {
		if err := ctx.Err(); err != nil { // there may be many thousands of keys
			return false, err
		}
		if ok, err := msg.Part.SearchHeader(msg.Body, h.Key, h.Value); !ok || err != nil {
			return false, err
		}
	}
	for i := range m.loose {
		if n, err := m.loose[i].score(ctx, msg); n == 0 || err != nil {
			return false, err
		}
	}
	if ok, err := search(ctx, msg, message.InBody, m.body); !ok || err != nil {
		return false, err
	}
	return search(ctx, msg, message.InText, m.text)
}

// matchSent reports whether the Date field is in range. A message without one was sent on no day.
func (m *Matcher) matchSent(e *message.Envelope) bool {
	if e == nil {
		return false
	}
	sent := e.Sent()
	return !sent.IsZero() && m.sent.has(day(sent))
}

func search(ctx context.Context, msg *Message, in message.Scope, patterns []string) (bool, error) {
	if len(patterns) == 0 {
		return true, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return msg.Part.Search(msg.Body, in, patterns...)
}
