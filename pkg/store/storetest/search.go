package storetest

import (
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var searchTests = []contract{
	{name: "every key", run: testSearchKeys},
	{name: "as Match says", run: testSearchMatch},
	{name: "of an older version", run: testSearchOlder},
	{name: "an empty mailbox", run: testSearchEmpty},
}

// searchMail fills a mailbox for the tables below.
func searchMail(e *env, name string) *store.Snapshot {
	mail := []struct {
		octets string
		flags  []imap.Flag
		day    int
	}{
		{"From: Ann <ann@example.org>\r\nSubject: Lunch\r\nDate: Mon, 02 Mar 2026 10:00:00 +0000\r\n\r\nAt the usual place.\r\n", []imap.Flag{`\Seen`}, 2},
		{"From: Bob <bob@example.org>\r\nSubject: =?utf-8?B?5Lya6K2w?=\r\nDate: Tue, 03 Mar 2026 23:00:00 -0500\r\n" +
			"Content-Type: text/plain; charset=utf-8\r\n\r\n明日の会議について\r\n", []imap.Flag{`\Flagged`, "Work"}, 3},
		{"From: Ann <ann@example.org>\r\nSubject: Re: Lunch\r\nCc: carl@example.org\r\n\r\nCannot come, a meeting.\r\n", []imap.Flag{`\Seen`, `\Answered`}, 4},
		{"Subject: Report\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>caf=C3=A9 <b>lun</b>ch</p>\r\n", nil, 5},
	}
	box := e.box(name).ID
	for _, m := range mail {
		d := e.draft(m.octets, m.flags...)
		d.Received = time.Date(2026, 3, m.day, 23, 30, 0, 0, time.UTC)
		_, err := e.account.Append(e.ctx, box, d)
		e.ok(err)
	}
	return e.open(name)
}

func native(c imap.SearchCriteria) store.Criteria { return store.Criteria{SearchCriteria: c} }

func header(key, value string) store.Criteria {
	return native(imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: key, Value: value}}})
}

func march(day int) time.Time { return time.Date(2026, 3, day, 0, 0, 0, 0, time.UTC) }

var searchTable = []struct {
	name string
	c    store.Criteria
	want string
}{
	{"all", store.Criteria{}, "[1 2 3 4]"},
	{"UIDs", native(imap.SearchCriteria{UID: []imap.UIDSet{{{Start: 9, Stop: 3}, {Start: 1, Stop: 1}}}}), "[1 3 4]"},
	{"seen", native(imap.SearchCriteria{Flag: []imap.Flag{`\Seen`}}), "[1 3]"},
	{"unseen", native(imap.SearchCriteria{NotFlag: []imap.Flag{`\Seen`}}), "[2 4]"},
	{"keyword", native(imap.SearchCriteria{Flag: []imap.Flag{"wORK"}}), "[2]"},
	{"unknown keyword", native(imap.SearchCriteria{Flag: []imap.Flag{"nobody"}}), "[]"},
	{"not unknown keyword", native(imap.SearchCriteria{NotFlag: []imap.Flag{"nobody"}}), "[1 2 3 4]"},
	{"on a day", native(imap.SearchCriteria{Since: march(3), Before: march(4)}), "[2]"},
	{"since", native(imap.SearchCriteria{Since: march(4)}), "[3 4]"},
	{"sent on a day", native(imap.SearchCriteria{SentSince: march(3), SentBefore: march(4)}), "[2]"},
	{"sent before", native(imap.SearchCriteria{SentBefore: march(3)}), "[1]"},
	{"larger", native(imap.SearchCriteria{Larger: 1000}), "[]"},
	{"smaller", native(imap.SearchCriteria{Smaller: 1000}), "[1 2 3 4]"},
	{"from", header("From", "ANN@"), "[1 3]"},
	{"subject", header("Subject", "lunch"), "[1 3]"},
	{"encoded subject", header("Subject", "会議"), "[2]"},
	{"header exists", header("Cc", ""), "[3]"},
	{"body", native(imap.SearchCriteria{Body: []string{"usual"}}), "[1]"},
	{"body in Japanese", native(imap.SearchCriteria{Body: []string{"会議"}}), "[2]"},
	{"body, decoded", native(imap.SearchCriteria{Body: []string{"CAFÉ"}}), "[4]"},
	{"text", native(imap.SearchCriteria{Text: []string{"lunch"}}), "[1 3 4]"},
	{"not body", store.Criteria{Not: []store.Criteria{native(imap.SearchCriteria{Body: []string{"usual"}})}}, "[2 3 4]"},
	{"flag or body", store.Criteria{Or: [][2]store.Criteria{{
		native(imap.SearchCriteria{Flag: []imap.Flag{`\Flagged`}}), native(imap.SearchCriteria{Body: []string{"usual"}}),
	}}}, "[1 2]"},
	{"neither nor", store.Criteria{Not: []store.Criteria{header("From", "bob"), header("From", "ann")}}, "[4]"},
	{"inexactly", store.Criteria{Fuzzy: []store.Criteria{native(imap.SearchCriteria{Body: []string{"cafe"}})}}, "[4]"},
	{"letters wrong", store.Criteria{Fuzzy: []store.Criteria{native(imap.SearchCriteria{Body: []string{"usaul"}})}}, "[1]"},
	{"not inexactly", store.Criteria{Not: []store.Criteria{{Fuzzy: []store.Criteria{header("From", "bop")}}}}, "[1 2 3 4]"},
	{"saved since", store.Criteria{SavedSince: march(1)}, "[1 2 3 4]"},
	{"saved before", store.Criteria{SavedBefore: march(1)}, "[]"},
	{"no such email", store.Criteria{EmailID: []string{"nothing"}}, "[]"},
	{"no such thread", store.Criteria{ThreadID: []string{"Tzzzz"}}, "[]"},
	{"older", store.Criteria{Older: 100 * 365 * 24 * time.Hour}, "[]"},
	{"younger", store.Criteria{Younger: 100 * 365 * 24 * time.Hour}, "[1 2 3 4]"},
	{"later mod-sequence", native(imap.SearchCriteria{ModSeq: &imap.SearchCriteriaModSeq{ModSeq: 1 << 40}}), "[]"},
}

func testSearchKeys(e *env) {
	s := searchMail(e, "INBOX")
	for _, test := range searchTable {
		got, err := e.account.Search(e.ctx, s, &test.c)
		e.ok(err)
		e.equal(got, test.want, "%s", test.name)
	}
	third := s.Row(2)
	got, err := e.account.Search(e.ctx, s, &store.Criteria{EmailID: []string{third.ID.String()}})
	e.ok(err)
	e.equal(got, "[3]", "email id")
	c := native(imap.SearchCriteria{ModSeq: &imap.SearchCriteriaModSeq{ModSeq: uint64(third.ModSeq)}})
	got, err = e.account.Search(e.ctx, s, &c)
	e.ok(err)
	e.equal(got, "[3 4]", "mod-sequence")
}

// testSearchMatch combines the table with itself; Match is the definition.
func testSearchMatch(e *env) {
	s := searchMail(e, "Archive")
	now := time.Now()
	for i := range searchTable {
		a, b := searchTable[i], searchTable[(i*7+3)%len(searchTable)]
		c := store.Criteria{Or: [][2]store.Criteria{{a.c, {Not: []store.Criteria{b.c}}}}}
		var want []imap.UID
		for m, err := range e.account.Messages(e.ctx, s, everything, 7) {
			e.ok(err)
			ok, err := c.Match(e.ctx, m, s.Keywords(), now)
			e.ok(err)
			if ok {
				want = append(want, m.UID)
			}
		}
		got, err := e.account.Search(e.ctx, s, &c)
		e.ok(err)
		e.equal(got, want, "%s or not %s", a.name, b.name)
	}
}

func testSearchOlder(e *env) {
	s := searchMail(e, "INBOX")
	e.expunge("INBOX", 1)
	e.set("INBOX", set(2), imap.StoreFlagsAdd, `\Seen`, "new")
	e.add("INBOX")
	for _, test := range searchTable[:5] {
		got, err := e.account.Search(e.ctx, s, &test.c)
		e.ok(err)
		e.equal(got, test.want, "%s", test.name)
	}
	c := native(imap.SearchCriteria{Flag: []imap.Flag{"new"}})
	got, err := e.account.Search(e.ctx, e.open("INBOX"), &c)
	e.ok(err)
	e.equal(got, "[2]", "a keyword of today")
}

func testSearchEmpty(e *env) {
	for _, test := range searchTable {
		got, err := e.account.Search(e.ctx, e.open("INBOX"), &test.c)
		e.ok(err)
		e.equal(got, "[]", "%s", test.name)
	}
}
