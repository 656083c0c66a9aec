package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/message"
)

const letter = "From: Ann <ann@example.org>\r\n" +
	"To: bob@example.org\r\n" +
	"Subject: Lunch on Friday\r\n" +
	"Date: Tue, 03 Mar 2026 23:30:00 -0500\r\n" +
	"\r\n" +
	"See you at the usual place.\r\n"

var (
	noon     = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	keywords = []imap.Flag{"$Junk", "work"}
)

// newMessage makes a message of octets.
func newMessage(t *testing.T, octets string) *Message {
	t.Helper()
	s, err := message.Spool(strings.NewReader(octets), message.SpoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &Message{
		ID: 40, Thread: 9, UID: 7, ModSeq: 20, Flags: FlagSet{System: FlagSeen, Keywords: 2},
		Received: time.Date(2026, 3, 4, 23, 59, 0, 0, time.UTC), Saved: noon.Add(-time.Hour),
		Size: s.Size(), Part: s.Part(), Body: s,
	}
}

func date(y, m, d int) time.Time {
	return time.Date(y, time.Month(m), d, 22, 0, 0, 0, time.FixedZone("", -10*60*60)) // the time and zone do not count
}

func native(c imap.SearchCriteria) Criteria { return Criteria{SearchCriteria: c} }

var matchTests = []struct {
	name string
	c    Criteria
	want bool
}{
	{"nothing asked", Criteria{}, true},
	{"UID", native(imap.SearchCriteria{UID: []imap.UIDSet{{{Start: 9, Stop: 5}}}}), true},
	{"other UID", native(imap.SearchCriteria{UID: []imap.UIDSet{{{Start: 1, Stop: 6}, {Start: 8, Stop: 8}}}}), false},
	{"both UID sets", native(imap.SearchCriteria{UID: []imap.UIDSet{{{Start: 7, Stop: 7}}, {{Start: 8, Stop: 8}}}}), false},
	{"flag", native(imap.SearchCriteria{Flag: []imap.Flag{`\seen`}}), true},
	{"flag not set", native(imap.SearchCriteria{Flag: []imap.Flag{`\Seen`, `\Flagged`}}), false},
	{"keyword in another case", native(imap.SearchCriteria{Flag: []imap.Flag{"WORK"}}), true},
	{"keyword not set", native(imap.SearchCriteria{Flag: []imap.Flag{"$junk"}}), false},
	{"keyword unknown", native(imap.SearchCriteria{Flag: []imap.Flag{"other"}}), false},
	{"not keyword unknown", native(imap.SearchCriteria{NotFlag: []imap.Flag{"other", "$Junk"}}), true},
	{"not flag", native(imap.SearchCriteria{NotFlag: []imap.Flag{`\Seen`}}), false},
	{"since its day", native(imap.SearchCriteria{Since: date(2026, 3, 4)}), true},
	{"since the next day", native(imap.SearchCriteria{Since: date(2026, 3, 5)}), false},
	{"before its day", native(imap.SearchCriteria{Before: date(2026, 3, 4)}), false},
	{"before the next day", native(imap.SearchCriteria{Before: date(2026, 3, 5)}), true},
	{"sent since the day written", native(imap.SearchCriteria{SentSince: date(2026, 3, 3)}), true},
	{"sent since the day in UTC", native(imap.SearchCriteria{SentSince: date(2026, 3, 4)}), false},
	{"sent before", native(imap.SearchCriteria{SentBefore: date(2026, 3, 4)}), true},
	{"larger", native(imap.SearchCriteria{Larger: int64(len(letter)) - 1}), true},
	{"larger than itself", native(imap.SearchCriteria{Larger: int64(len(letter))}), false},
	{"smaller", native(imap.SearchCriteria{Smaller: int64(len(letter)) + 1}), true},
	{"smaller than itself", native(imap.SearchCriteria{Smaller: int64(len(letter))}), false},
	{"mod-sequence", native(imap.SearchCriteria{ModSeq: &imap.SearchCriteriaModSeq{ModSeq: 20}}), true},
	{"later mod-sequence", native(imap.SearchCriteria{ModSeq: &imap.SearchCriteriaModSeq{ModSeq: 21}}), false},
	{"header", header("subject", "lunch ON"), true},
	{"header exists", header("Date", ""), true},
	{"header does not exist", header("Cc", ""), false},
	{"header without it", header("Subject", "dinner"), false},
	{"body", native(imap.SearchCriteria{Body: []string{"USUAL", "see you"}}), true},
	{"body, one missing", native(imap.SearchCriteria{Body: []string{"usual", "nowhere"}}), false},
	{"body is not header", native(imap.SearchCriteria{Body: []string{"lunch"}}), false},
	{"text is both", native(imap.SearchCriteria{Text: []string{"lunch", "place"}}), true},
	{"empty text", native(imap.SearchCriteria{Text: []string{""}, Body: []string{""}}), true},
	{"younger", Criteria{Younger: time.Hour}, true},
	{"older, exactly", Criteria{Older: -time.Date(2026, 3, 4, 23, 59, 0, 0, time.UTC).Sub(noon.Add(24 * time.Hour))}, true},
	{"older, not quite", Criteria{Older: 12*time.Hour + 2*time.Minute}, false},
	{"saved since", Criteria{SavedSince: date(2026, 3, 4)}, true},
	{"saved before", Criteria{SavedBefore: date(2026, 3, 4)}, false},
	{"email id", Criteria{EmailID: []string{MessageID(40).String()}}, true},
	{"other email id", Criteria{EmailID: []string{"M1", MessageID(40).String()}}, false},
	{"no email id", Criteria{EmailID: []string{"?"}}, false},
	{"thread id", Criteria{ThreadID: []string{ThreadID(9)}}, true},
	{"other thread id", Criteria{ThreadID: []string{ThreadID(8)}}, false},
	{"not", Criteria{Not: []Criteria{native(imap.SearchCriteria{Flag: []imap.Flag{`\Flagged`}})}}, true},
	{"not body", Criteria{Not: []Criteria{native(imap.SearchCriteria{Body: []string{"usual"}})}}, false},
	{"or, the second", Criteria{Or: [][2]Criteria{{header("Cc", ""), header("To", "bob")}}}, true},
	{"or, neither", Criteria{Or: [][2]Criteria{{header("Cc", ""), {EmailID: []string{"?"}}}}}, false},
	{"nested", Criteria{Not: []Criteria{{Or: [][2]Criteria{{header("Cc", ""), {Not: []Criteria{header("To", "bob")}}}}}}}, true},
}

func header(key, value string) Criteria {
	return native(imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: key, Value: value}}})
}

func TestMatch(t *testing.T) {
	t.Parallel()
	m := newMessage(t, letter)
	for _, test := range matchTests {
		now := noon.Add(24 * time.Hour)
		if test.c.Younger > 0 {
			now = m.Received.Add(test.c.Younger)
		}
		got, err := test.c.Match(context.Background(), m, keywords, now)
		if got != test.want || err != nil {
			t.Errorf("%s: %v, %v", test.name, got, err)
		}
	}
}

func TestMatchWithoutDate(t *testing.T) {
	t.Parallel()
	m := newMessage(t, "Subject: x\r\n\r\ny\r\n")
	for _, c := range []imap.SearchCriteria{{SentSince: date(1970, 1, 1)}, {SentBefore: date(2100, 1, 1)}} {
		if got, err := (&Criteria{SearchCriteria: c}).Match(context.Background(), m, nil, noon); got || err != nil {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
	}
}

func TestMatchNeedsThePart(t *testing.T) {
	t.Parallel()
	m := newMessage(t, letter)
	m.Part = nil
	c := header("To", "bob")
	if _, err := c.Match(context.Background(), m, nil, noon); err == nil {
		t.Error("no error")
	}
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		c    Criteria
		want Fields
	}{
		{native(imap.SearchCriteria{Flag: []imap.Flag{"x"}, Larger: 3, Since: noon}), 0},
		{native(imap.SearchCriteria{SentSince: noon}), WithPart},
		{Criteria{Not: []Criteria{header("a", "b")}}, WithPart | WithHeader},
		{Criteria{Or: [][2]Criteria{{{}, native(imap.SearchCriteria{Body: []string{"x"}})}}}, WithPart | WithBody},
		{native(imap.SearchCriteria{Text: []string{"x"}}), WithPart | WithHeader | WithBody},
	} {
		if got := test.c.Needs(); got != test.want {
			t.Errorf("Needs(%+v) = %b, want %b", test.c, got, test.want)
		}
	}
}

// TestMatchStops: nothing more is read once nobody waits for the answer.
func TestMatchStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := newMessage(t, letter)
	for _, c := range []Criteria{
		header("Subject", ""),
		{Not: []Criteria{header("a", "b")}},
		native(imap.SearchCriteria{Body: []string{"x"}}),
		native(imap.SearchCriteria{Text: []string{"x"}}),
	} {
		if _, err := c.Match(ctx, m, keywords, noon); !errors.Is(err, context.Canceled) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestMatchRowAgrees combines the criteria above at random: what a Snapshot alone can tell is what Match says, and
// criteria that need nothing are always known.
func TestMatchRowAgrees(t *testing.T) {
	t.Parallel()
	m := newMessage(t, letter)
	s := NewSnapshot(Mailbox{ID: 1, UIDNext: 8, ModSeq: 30}, keywords, []Row{{
		UID: m.UID, ModSeq: m.ModSeq, Flags: m.Flags, ID: m.ID, Thread: m.Thread, Size: m.Size,
		Received: m.Received.UnixMilli(), Saved: m.Saved.UnixMilli(),
	}})
	known := 0
	for seed := range uint64(3000) {
		c := randomCriteria(rand.New(rand.NewPCG(seed, 4)), 3)
		want, err := c.Match(context.Background(), m, keywords, noon)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := c.MatchRow(s, 0, noon)
		if ok {
			known++
		}
		if (ok && got != want) || (c.Needs() == 0 && !ok) {
			t.Fatalf("seed %d: MatchRow = %v, %v, Match = %v", seed, got, ok, want)
		}
	}
	if known == 0 || known == 3000 {
		t.Errorf("known %d times of 3000", known)
	}
}

func randomCriteria(r *rand.Rand, depth int) Criteria {
	c := matchTests[r.IntN(len(matchTests))].c
	c.Not, c.Or = slices.Clone(c.Not), slices.Clone(c.Or)
	if depth == 0 {
		return c
	}
	switch r.IntN(4) {
	case 0:
		c.Not = append(c.Not, randomCriteria(r, depth-1))
	case 1:
		c.Or = append(c.Or, [2]Criteria{randomCriteria(r, depth-1), randomCriteria(r, depth-1)})
	case 2:
		return Criteria{Not: []Criteria{randomCriteria(r, depth-1), randomCriteria(r, depth-1)}}
	}
	return c
}

func BenchmarkMatchRow(b *testing.B) {
	s := snapshotOf(rowsOf(1_000_000, 1))
	for _, c := range []Criteria{
		native(imap.SearchCriteria{NotFlag: []imap.Flag{`\Seen`}}),
		native(imap.SearchCriteria{Since: noon, Larger: 10_000}),
	} {
		b.Run(fmt.Sprint(c.Since.IsZero()), func(b *testing.B) {
			for range b.N {
				m, found := c.Matcher(nil, noon), 0
				for i := range s.Len() {
					if ok, _ := m.MatchRow(s, i); ok {
						found++
					}
				}
			}
		})
	}
}
