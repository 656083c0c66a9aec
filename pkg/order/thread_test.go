package order

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// mail is a message of a test: date (in seconds), id, references, subject.
type mail struct {
	date    int64
	id      string
	refs    string
	subject string
}

func block(mails []mail) []Message {
	var rows []Fields
	msgs := make([]Message, len(mails))
	for _, m := range mails {
		base, reply := BaseSubject(m.subject)
		f := Fields{Sent: m.date, Reply: reply, Refs: messageIDs(m.refs), ID: firstMessageID(m.id)}
		f.Text[Subject] = Collate(base)
		rows = append(rows, f)
	}
	for from := 0; from < len(rows); from += MaxRows {
		part := rows[from:min(from+MaxRows, len(rows))]
		b := NewBlock(part)
		for i := range part {
			msgs[from+i] = Message{Key: b.Key(i)}
		}
	}
	return msgs
}

// spell writes threads as THREAD does, with numbers from 1. It recurses.
func spell(t *Threads) string {
	var b strings.Builder
	for v := t.Root(); v != None; v = t.Next(v) {
		b.WriteString(spellThread(t, v))
	}
	return b.String()
}

func spellThread(t *Threads, v int32) string {
	var words []string
	for ; v != None; v = t.First(v) {
		if t.Message(v) {
			words = append(words, fmt.Sprint(v+1))
		}
		if c := t.First(v); c != None && t.Next(c) != None {
			nested := ""
			for ; c != None; c = t.Next(c) {
				nested += spellThread(t, c)
			}
			words = append(words, nested)
			break
		}
	}
	return "(" + strings.Join(words, " ") + ")"
}

// TestThread has the trees that RFC 5256 shows and describes.
func TestThread(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                  string
		mails                 []mail
		subject, refs, merged string
	}{
		{"none", nil, "", "", ""},
		{"one", []mail{{1, "<a@x>", "", "s"}}, "(1)", "(1)", "(1)"},
		{
			"a chain, in any order",
			[]mail{{3, "<c@x>", "<a@x> <b@x>", "Re: s"}, {1, "<a@x>", "", "s"}, {2, "<b@x>", "<a@x>", "Re: s"}},
			"(2 (3)(1))", "(2 3 1)", "(2 3 1)",
		},
		{ // RFC 5256 §4, THREAD response: (2)(3 6 (4 23)(44 7 96)), the numbers made dense
			"the RFC's response",
			[]mail{
				{1, "<2@x>", "", "a"},
				{2, "<3@x>", "", "b"},
				{4, "<4@x>", "<3@x> <6@x>", "Re: b"},
				{3, "<6@x>", "<3@x>", "Re: b"},
				{7, "<7@x>", "<44@x>", "Re: b"},
				{5, "<23@x>", "<4@x>", "Re: b"},
				{6, "<44@x>", "<6@x>", "Re: b"},
				{8, "<96@x>", "<7@x>", "Re: b"},
			},
			"(1)(2 (4)(3)(6)(7)(5)(8))", "(1)(2 4 (3 6)(7 5 8))", "(1)(2 4 (3 6)(7 5 8))",
		},
		{
			"a parent that is not there",
			[]mail{{1, "<a@x>", "<gone@x>", "s"}, {2, "<b@x>", "<gone@x>", "t"}},
			"(1)(2)", "((1)(2))", "((1)(2))",
		},
		{
			"an only child of one that is not there", []mail{{1, "<a@x>", "<gone@x>", "s"}}, "(1)", "(1)", "(1)",
		},
		{
			"In the middle one is not there",
			[]mail{{1, "<a@x>", "", "s"}, {2, "<c@x>", "<a@x> <gone@x>", "u"}, {3, "<d@x>", "<gone@x>", "v"}},
			"(1)(2)(3)", "(1 (2)(3))", "(1 (2)(3))",
		},
		{
			"one subject: a reply to a message",
			[]mail{{1, "<a@x>", "", "s"}, {2, "<b@x>", "", "Re: s"}, {3, "<c@x>", "", "S (fwd)"}},
			"(1 (2)(3))", "(1)(2)(3)", "(1 (2)(3))",
		},
		{
			"one subject: two messages",
			[]mail{{1, "<a@x>", "", "s"}, {2, "<b@x>", "", "s"}, {3, "<c@x>", "", "s"}},
			"(1 (2)(3))", "(1)(2)(3)", "((1)(2)(3))",
		},
		{
			"one subject: the reply is older",
			[]mail{{1, "<a@x>", "", "Re: s"}, {2, "<b@x>", "", "s"}},
			"(1 2)", "(1)(2)", "(2 1)",
		},
		{
			"one subject: two dummies",
			[]mail{
				{1, "<a@x>", "<p@x>", "s"}, {4, "<b@x>", "<p@x>", "t"}, {2, "<c@x>", "<q@x>", "Re: s"}, {3, "<d@x>", "<q@x>", "u"},
			},
			"(1 3)(4)(2)", "((3)(4))((1)(2))", "((1)(3)(4)(2))",
		},
		{
			"one subject: a dummy and a message",
			[]mail{{2, "<a@x>", "<p@x>", "s"}, {4, "<b@x>", "<p@x>", "t"}, {1, "<c@x>", "", "s"}},
			"(3 1)(2)", "(3)((1)(2))", "((3)(1)(2))",
		},
		{"empty subjects are not one", []mail{{1, "<a@x>", "", ""}, {2, "<b@x>", "", "Re:"}}, "(1 2)", "(1)(2)", "(1)(2)"},
		{
			"two with one id",
			[]mail{{1, "<a@x>", "", "s"}, {2, "<a@x>", "", "t"}, {3, "<b@x>", "<a@x>", "u"}},
			"(1)(2)(3)", "(2)(1 3)", "(1 3)(2)",
		},
		{
			"a loop",
			[]mail{{1, "<a@x>", "<b@x>", "s"}, {2, "<b@x>", "<a@x>", "t"}},
			"(1)(2)", "(2 1)", "(2 1)",
		},
		{"its own parent", []mail{{1, "<a@x>", "<a@x> <a@x>", "s"}}, "(1)", "(1)", "(1)"},
		{
			"the message knows its parent best",
			[]mail{{1, "<c@x>", "<b@x> <a@x>", "u"}, {2, "<b@x>", "", "t"}, {3, "<a@x>", "", "s"}},
			"(1)(2)(3)", "(2)(3 1)", "(2)(3 1)",
		},
		{"no ids at all", []mail{{2, "", "", "s"}, {1, "", "", "t"}}, "(2)(1)", "(2)(1)", "(2)(1)"},
		{
			"the latest message decides",
			[]mail{{1, "<a@x>", "", "s"}, {2, "<b@x>", "", "t"}, {9, "<c@x>", "<a@x>", "u"}},
			"(1)(2)(3)", "(2)(1 3)", "(1 3)(2)",
		},
	} {
		msgs := block(tt.mails)
		for _, alg := range []struct {
			name string
			run  func([]Message) *Threads
			want string
		}{{"ORDEREDSUBJECT", OrderedSubject, tt.subject}, {"REFS", Refs, tt.refs}, {"REFERENCES", References, tt.merged}} {
			if got := spell(alg.run(msgs)); got != alg.want {
				t.Errorf("%s, %s: %s, want %s", tt.name, alg.name, got, alg.want)
			}
		}
	}
}

// randomMails makes mail with much in common: few ids, few subjects, few dates.
func randomMails(r *rand.Rand) []mail {
	mails := make([]mail, r.IntN(14))
	ids := 1 + r.IntN(16)
	subjects := []string{"", "a", "Re: a", "b", "Re: b", "a (fwd)", "c"}
	for i := range mails {
		m := &mails[i]
		m.date = int64(r.IntN(6))
		m.subject = subjects[r.IntN(1+r.IntN(len(subjects)))]
		if r.IntN(8) > 0 {
			m.id = fmt.Sprintf("<%d@x>", r.IntN(ids))
		}
		for range r.IntN(5) {
			m.refs += fmt.Sprintf("<%d@x> ", r.IntN(ids))
		}
	}
	return mails
}

func TestThreadNaive(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6000) {
		mails := randomMails(rand.New(rand.NewPCG(seed, 1)))
		msgs := block(mails)
		if got, want := spell(References(msgs)), naiveReferences(msgs); got != want {
			t.Fatalf("seed %d, REFERENCES of %+v:\n%s, want\n%s", seed, mails, got, want)
		}
		if got, want := spell(Refs(msgs)), naiveRefs(msgs); got != want {
			t.Fatalf("seed %d, REFS of %+v:\n%s, want\n%s", seed, mails, got, want)
		}
	}
}

// count is how many messages there are in threads, and how deep they go.
func count(t *Threads) (n, deepest int) {
	type level struct {
		v     int32
		depth int
	}
	for stack := []level{{t.Root(), 1}}; len(stack) > 0; {
		l := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if l.v == None {
			continue
		}
		if t.Message(l.v) {
			n++
		}
		deepest = max(deepest, l.depth)
		stack = append(stack, level{t.Next(l.v), l.depth}, level{t.First(l.v), l.depth + 1})
	}
	return n, deepest
}

// TestThreadHostile: what a sender can do with references costs no more than any other mail. Walking up to find loops, or
// recursion, would make this test take minutes, or crash.
func TestThreadHostile(t *testing.T) {
	t.Parallel()
	const n = 100_000
	id := func(i int) string { return fmt.Sprintf("<%d@x>", i) }
	for name, refs := range map[string]func(i int) string{
		"a chain":               func(i int) string { return id(i - 1) },
		"a chain, backwards":    func(i int) string { return id(i + 1) },
		"all under one":         func(int) string { return id(-1) },
		"a ring":                func(i int) string { return id((i + 1) % n) },
		"the tip over its root": func(i int) string { return id(i-1) + id(0) + id(i-1) },
		"loops everywhere":      func(i int) string { return id(i-1) + id(i/2) + id(n-i) + id(i*7919%n) },
		"many that are not":     func(i int) string { return id(-10*i) + id(-10*i-1) + id(-10*i-2) + id(i/3) },
	} {
		mails := make([]mail, n)
		for i := range mails {
			mails[i] = mail{int64(i), id(i), refs(i), fmt.Sprintf("s%d", i)}
		}
		msgs := block(mails)
		for alg, run := range map[string]func([]Message) *Threads{"REFERENCES": References, "REFS": Refs} {
			got, deepest := count(run(msgs))
			if got != n {
				t.Errorf("%s, %s: %d messages of %d", name, alg, got, n)
			}
			if strings.HasPrefix(name, "a chain") && deepest != n {
				t.Errorf("%s, %s: %d deep, want %d", name, alg, deepest, n)
			}
		}
	}
}

// TestForest holds the link-cut trees to plain parents.
func TestForest(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	const n = 60
	var f forest
	f.grow(n)
	parent := make([]int32, n+1)
	root := func(v int32) int32 {
		for parent[v] != 0 {
			v = parent[v]
		}
		return v
	}
	for range 100_000 {
		v, p := int32(1+r.IntN(n)), int32(1+r.IntN(n))
		switch {
		case parent[v] != 0 && r.IntN(2) == 0:
			f.cut(v)
			parent[v] = 0
		case parent[v] == 0 && root(p) != v:
			f.link(v, p)
			parent[v] = p
		}
		if got, want := f.root(p), root(p); got != want {
			t.Fatalf("the root of %d is %d, want %d", p, got, want)
		}
	}
}
