package imap

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// describeCriteria spells out what a search asks for, in a fixed order.
func describeCriteria(c *store.Criteria) string {
	var parts []string
	add := func(format string, a ...any) { parts = append(parts, fmt.Sprintf(format, a...)) }
	for _, set := range c.SeqNum {
		add("seq %s", spellSet(set))
	}
	for _, set := range c.UID {
		add("uid %s", spellSet(set))
	}
	for _, d := range []struct {
		name string
		at   time.Time
	}{{"since", c.Since}, {"before", c.Before}, {"sentsince", c.SentSince}, {"sentbefore", c.SentBefore}} {
		if !d.at.IsZero() {
			add("%s %s", d.name, d.at.Format(time.DateOnly))
		}
	}
	for _, h := range c.Header {
		add("%s=%q", h.Key, h.Value)
	}
	for _, s := range c.Body {
		add("body=%q", s)
	}
	for _, s := range c.Text {
		add("text=%q", s)
	}
	for _, f := range c.Flag {
		add("+%s", f)
	}
	for _, f := range c.NotFlag {
		add("-%s", f)
	}
	if c.Larger > 0 {
		add(">%d", c.Larger)
	}
	if c.Smaller > 0 {
		add("<%d", c.Smaller)
	}
	if c.Younger > 0 {
		add("younger %v", c.Younger)
	}
	if c.Older > 0 {
		add("older %v", c.Older)
	}
	if c.ModSeq != nil {
		add("modseq %d", c.ModSeq.ModSeq)
	}
	for _, name := range c.Filter {
		add("filter %s", name)
	}
	for i := range c.Fuzzy {
		add("~(%s)", describeCriteria(&c.Fuzzy[i]))
	}
	for i := range c.Not {
		add("!(%s)", describeCriteria(&c.Not[i]))
	}
	for i := range c.Or {
		add("(%s | %s)", describeCriteria(&c.Or[i][0]), describeCriteria(&c.Or[i][1]))
	}
	return strings.Join(parts, " ")
}

func (r searchRequest) describe() string {
	s := describeCriteria(&r.criteria)
	if r.ret != nil {
		s += fmt.Sprintf(" return %+v", r.ret.SearchOptions)
		if r.ret.partial != nil {
			s += fmt.Sprintf(" partial %v", r.ret.partial)
		}
	}
	return s
}

func TestParseSearch(t *testing.T) {
	t.Parallel()
	tests := []struct{ line, want string }{
		{` ALL`, ``},
		{` all seen UNANSWERED`, `+\Seen -\Answered`},
		{` ANSWERED DELETED DRAFT FLAGGED RECENT SEEN`, `+\Answered +\Deleted +\Draft +\Flagged +\Recent +\Seen`},
		{` UNDELETED UNDRAFT UNFLAGGED UNSEEN OLD`, `-\Deleted -\Draft -\Flagged -\Seen -\Recent`},
		{` NEW`, `+\Recent -\Seen`},
		{` KEYWORD $Forwarded UNKEYWORD x`, `+$Forwarded -x`},
		{` FROM smith`, `From="smith"`},
		{` BCC a CC b TO "c d" SUBJECT {1}` + "\r\ne", `Bcc="a" Cc="b" To="c d" Subject="e"`},
		{` HEADER Message-ID "<1@x>"`, `Message-ID="<1@x>"`},
		{` HEADER X ""`, `X=""`},
		{` BODY a TEXT b`, `body="a" text="b"`},
		{` SUBJECT "日本"`, `Subject="日本"`},
		{` CHARSET UTF-8 SUBJECT {6}` + "\r\n日本", `Subject="日本"`},
		{` CHARSET us-ascii TEXT x`, `text="x"`},
		{` SINCE 1-Feb-1994`, `since 1994-02-01`},
		{` BEFORE "01-Feb-1994"`, `before 1994-02-01`},
		{` ON 31-Dec-2025`, `since 2025-12-31 before 2026-01-01`},
		{` SENTON 28-Feb-2024`, `sentsince 2024-02-28 sentbefore 2024-02-29`},
		{` SENTSINCE 1-Jan-2020 SENTBEFORE 1-Jan-2021`, `sentsince 2020-01-01 sentbefore 2021-01-01`},
		{` SINCE 1-Jan-2020 SINCE 1-Jan-2021 SINCE 1-Jan-2019`, `since 2021-01-01`},
		{` BEFORE 1-Jan-2020 BEFORE 1-Jan-2021 BEFORE 1-Jan-2019`, `before 2019-01-01`},
		{` LARGER 100 SMALLER 200`, `>100 <200`},
		{` LARGER 100 LARGER 50 SMALLER 200 SMALLER 300`, `>100 <200`},
		{` LARGER 0`, `!(<1)`},
		{` SMALLER 0`, `uid `},
		{` SMALLER 0 SMALLER 5`, `uid  <5`},
		{` 1:3,5 2:*`, `seq 1:3,5:5 seq 2:*`},
		{` *`, `seq *:*`},
		{` UID 5,1:2`, `uid 5:5,1:2`},
		{` NOT SEEN`, `!(+\Seen)`},
		{` NOT NOT SEEN`, `!(!(+\Seen))`},
		{` NOT (SEEN FLAGGED)`, `!(+\Seen +\Flagged)`},
		{` OR SEEN FLAGGED`, `(+\Seen | +\Flagged)`},
		{` OR (1 SEEN) OR FROM a NOT TO b UNSEEN`, `-\Seen (seq 1:1 +\Seen | (From="a" | !(To="b")))`},
		{` (ALL)`, ``},
		{` ((SEEN) (FLAGGED UID 1))`, `uid 1:1 +\Seen +\Flagged`},
		{` YOUNGER 60 OLDER 3600`, `younger 1m0s older 1h0m0s`},
		{` YOUNGER 60 YOUNGER 5 OLDER 2 OLDER 3`, `younger 5s older 3s`},
		{` RETURN (PARTIAL 1:500) ALL`, ` return {ReturnMin:false ReturnMax:false ReturnAll:false ReturnCount:false ReturnSave:false} partial 1:500`},
		{` RETURN (MIN partial -5:-1) ALL`, ` return {ReturnMin:true ReturnMax:false ReturnAll:false ReturnCount:false ReturnSave:false} partial -5:-1`},
		{` FUZZY SUBJECT x SEEN`, `+\Seen ~(Subject="x")`},
		{` NOT FUZZY (TEXT x FUZZY OR BODY y ALL)`, `!(~(text="x" ~((body="y" | ))))`},
		{` FILTER on-vacation NOT FILTER x`, `filter on-vacation !(filter x)`},
		{` CHARSET UTF-8 FILTER x`, `filter x`},
		{` $`, `uid $`},
		{` UID $ NOT ($ SEEN)`, `uid $ !(uid $ +\Seen)`},
		{` RETURN (SAVE) $`, `uid $ return {ReturnMin:false ReturnMax:false ReturnAll:false ReturnCount:false ReturnSave:true}`},
		{` MODSEQ 620162338`, `modseq 620162338`},
		{` MODSEQ 0`, `modseq 0`},
		{` MODSEQ "/flags/\\draft" all 620162338`, `modseq 620162338`},
		{` MODSEQ 5 MODSEQ 3`, `modseq 5`},
		{` RETURN () ALL`, ` return {ReturnMin:false ReturnMax:false ReturnAll:true ReturnCount:false ReturnSave:false}`},
		{` RETURN (MIN max COUNT) UNSEEN`, `-\Seen return {ReturnMin:true ReturnMax:true ReturnAll:false ReturnCount:true ReturnSave:false}`},
		{` RETURN (ALL) CHARSET UTF-8 SEEN`, `+\Seen return {ReturnMin:false ReturnMax:false ReturnAll:true ReturnCount:false ReturnSave:false}`},
	}
	for _, tt := range tests {
		r, err := parseSearch(decoderOf(tt.line), 0)
		if err != nil {
			t.Errorf("SEARCH%s: %v", tt.line, err)
		} else if r.describe() != tt.want {
			t.Errorf("SEARCH%s: %s, want %s", tt.line, r.describe(), tt.want)
		}
	}
}

func TestParseSearchBad(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		``, ` `, ` NOSUCH`, ` ALL `, ` ALL  SEEN`, ` ()`, ` (ALL`, ` ALL)`, ` NOT`, ` NOT `, ` OR SEEN`, ` OR`, ` FROM`, ` FROM `,
		` HEADER X`, ` SINCE 31-Foo-2020`, ` SINCE 2020-01-01`, ` SINCE 30-Feb-2020`, ` LARGER x`, ` LARGER -1`, ` SMALLER`,
		` UID`, ` UID x`, ` 0`, ` 1,`, ` KEYWORD`, ` KEYWORD \Foo`, ` MODSEQ`, ` MODSEQ x`, ` MODSEQ "/flags/x" 1`,
		` MODSEQ "/flags/x" some 1`, ` RETURN (MIN)`, ` RETURN MIN ALL`, ` RETURN (LEAST) ALL`, ` $5`, ` $,1`,
		` FILTER`, ` FILTER a/b`, ` FILTER "a"`, ` CHARSET EUC-JP FILTER x`,
		` RETURN (PARTIAL) ALL`, ` RETURN (PARTIAL 1:*) ALL`, ` RETURN (PARTIAL 0:1) ALL`, ` RETURN (PARTIAL -1:5) ALL`, ` RETURN (PARTIAL 1:-5) ALL`,
		` RETURN (PARTIAL 5) ALL`, ` RETURN (PARTIAL 1:2 ALL) ALL`, ` RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL`, ` YOUNGER 0`, ` OLDER -1`, ` OLDER`, ` RETURN (MIN`,
		` CHARSET`, ` CHARSET UTF-8`, ` CHARSET UTF-8 RETURN (MIN) ALL`, ` "x"`, " SUBJECT \"\xff\"", " SUBJECT \"a\x00\"",
		` ` + strings.Repeat("NOT ", 60) + `SEEN`,
		` ` + strings.Repeat("(", 60) + `SEEN` + strings.Repeat(")", 60),
		` ` + strings.Repeat("OR SEEN ", 60) + `SEEN`,
		` ALL` + strings.Repeat(" NOT TEXT x", maxTextKeys+1),
		` ALL` + strings.Repeat(" FUZZY TEXT x", maxFuzzyKeys+1),
		` ALL` + strings.Repeat(" NOT SEEN", maxSearchKeys),
		` ALL` + strings.Repeat(" UID 1", maxSearchKeys),
		` BODY "` + strings.Repeat("x", maxSearchOctets+1) + `"`,
	} {
		if r, err := parseSearch(decoderOf(line), 0); err == nil {
			t.Errorf("SEARCH%s: %s, want an error", line, r.describe())
		}
	}
}

func FuzzParseSearch(f *testing.F) {
	f.Add(` RETURN (MIN COUNT) CHARSET UTF-8 OR (1:* SEEN) NOT UID 5 HEADER X "y"`)
	f.Add(` SINCE 1-Feb-1994 LARGER 0 SMALLER 0 MODSEQ "/flags/x" all 5`)
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseSearch(decoderOf(line), byUID)
		if err == nil && depthOf(&r.criteria) > maxSearchDepth+1 {
			t.Fatalf("%q nests too deep", line)
		}
	})
}

func depthOf(c *store.Criteria) int {
	deepest := 0
	for i := range c.Not {
		deepest = max(deepest, depthOf(&c.Not[i]))
	}
	for i := range c.Fuzzy {
		deepest = max(deepest, depthOf(&c.Fuzzy[i]))
	}
	for i := range c.Or {
		deepest = max(deepest, depthOf(&c.Or[i][0]), depthOf(&c.Or[i][1]))
	}
	return deepest + 1
}

func TestChosen(t *testing.T) {
	t.Parallel()
	uids := []imap.UID{2, 3, 5, 8}
	tests := []struct {
		o    imap.SearchOptions
		p    *partial
		want string
	}{
		{imap.SearchOptions{}, nil, "[2 3 5 8]"}, // SAVE alone
		{imap.SearchOptions{ReturnMin: true}, nil, "[2]"},
		{imap.SearchOptions{ReturnMax: true}, nil, "[8]"},
		{imap.SearchOptions{ReturnMin: true, ReturnMax: true}, nil, "[2 8]"},
		{imap.SearchOptions{ReturnMin: true, ReturnCount: true}, nil, "[2 3 5 8]"},
		{imap.SearchOptions{ReturnAll: true}, nil, "[2 3 5 8]"},
		{imap.SearchOptions{}, &partial{a: 3, b: 2}, "[3 5]"},
		{imap.SearchOptions{}, &partial{a: 9, b: 7}, "[]"},
		{imap.SearchOptions{ReturnMin: true, ReturnMax: true}, &partial{a: 2, b: 2, fromEnd: true}, "[2 5 8]"},
		{imap.SearchOptions{ReturnMin: true}, &partial{a: 1, b: 2}, "[2 3]"},
		{imap.SearchOptions{ReturnCount: true}, &partial{a: 1, b: 1}, "[2 3 5 8]"},
	}
	for _, tt := range tests {
		o := searchReturn{SearchOptions: tt.o, partial: tt.p}
		if got := fmt.Sprint(o.chosen(uids)); got != tt.want {
			t.Errorf("%+v: %s, want %s", o, got, tt.want)
		}
	}
}

// TestResolveCriteria: the UIDs of a mailbox with many gaps take no more room than what the client wrote.
func TestResolveCriteria(t *testing.T) {
	t.Parallel()
	rows := make([]store.Row, 1000)
	for i := range rows {
		rows[i].UID = imap.UID(2*i + 2)
	}
	snap := store.NewSnapshot(store.Mailbox{ID: 1, UIDNext: 3000, ModSeq: 1}, nil, rows)
	c := &conn{sel: &selected{snap: snap, view: snap.View()}}
	for keys, want := range map[string]string{
		"1:*":                          "uid 2:2000",
		"UID 1:*":                      "uid 1:2000",
		"UID *:2500,3":                 "uid 3:3,2000:2500",
		"3,5:4,2000":                   "uid 6:6,8:10",
		"999:1500 *":                   "uid 1998:2000 uid 2000:2000",
		"NOT 1:* OR 2 UID 7:*":         "!(uid 2:2000) (uid 4:4 | uid 7:2000)",
		"1500":                         "uid ",
		"(1:2 NOT (UID 5 NOT 1000:*))": "uid 2:4 !(uid 5:5 !(uid 2000:2000))",
	} {
		r, err := parseSearch(decoderOf(" "+keys), 0)
		if err != nil {
			t.Fatalf("%s: %v", keys, err)
		}
		if c.resolveCriteria(&r.criteria); describeCriteria(&r.criteria) != want {
			t.Errorf("%s: %s, want %s", keys, describeCriteria(&r.criteria), want)
		}
	}
}
