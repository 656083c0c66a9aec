package order

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"postern/pkg/message"
)

// parsed makes the keys of a message as stores do.
func parsed(t testing.TB, octets string) Fields {
	t.Helper()
	s, err := message.Spool(strings.NewReader(octets), message.SpoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	refs, err := s.Part().Field(s, "References")
	if err != nil {
		t.Fatal(err)
	}
	return Of(s.Part(), refs)
}

func TestOf(t *testing.T) {
	t.Parallel()
	f := parsed(t, "Date: Mon, 2 Feb 2026 23:30:00 +0900\nFrom: =?utf-8?q?Zo=C3=AB?= <zoe@example.org>, b@example.org\n"+
		"To: friends: a@example.org;\nCc: \"q q\"@example.org\nSubject: Re: =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=\n trip\n"+
		"Message-ID: <1@x>\nIn-Reply-To: <0@x>\nreferences: <a@x>\n\t<b@x>\n\nText.\n")
	want := Fields{Sent: 1770042600, Reply: true, ID: hash("1@x"), Refs: []uint64{hash("a@x"), hash("b@x")}}
	want.Text = [texts]string{"日本 TRIP", "ZOE", "FRIENDS", "Q Q", "ZOE\u0308", "FRIENDS"}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("%+v, want %+v", f, want)
	}
	f = parsed(t, "From: bob@example.org\nDate: nonsense\nIn-Reply-To: your mail <x> of <c@x> and <d@x>\nReferences: none\n\nText.\n")
	want = Fields{Sent: NoDate, Refs: []uint64{hash("c@x")}}
	want.Text[From], want.Text[DisplayFrom] = "BOB", "BOB@EXAMPLE.ORG"
	if !reflect.DeepEqual(f, want) {
		t.Errorf("%+v, want %+v", f, want)
	}
	if f := parsed(t, "X: y\n\n"); !reflect.DeepEqual(f, Fields{Sent: NoDate}) {
		t.Errorf("of nothing: %+v", f)
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1000)
	a, b := bounded(long+"a"), bounded(long+"b")
	if len(a) != maxText || a == b || a != bounded(long+"a") || !strings.HasPrefix(a, long[:100]) {
		t.Errorf("%q, %q", a, b)
	}
}

// randomFields makes keys with much in common.
func randomFields(r *rand.Rand) Fields {
	f := Fields{Sent: int64(r.IntN(5)), Reply: r.IntN(2) == 0, ID: r.Uint64()}
	if r.IntN(4) == 0 {
		f.Sent = NoDate
	}
	for t := range f.Text {
		f.Text[t] = []string{"", "A", "B", "ABCDEFGHI", "ABCDEFGHJ", "日本", "ABCDEFGH", "A\x00"}[r.IntN(8)]
	}
	for range r.IntN(4) {
		f.Refs = append(f.Refs, r.Uint64())
	}
	return f
}

func randomBlock(r *rand.Rand, n int) ([]Fields, *Block) {
	rows := make([]Fields, n)
	for i := range rows {
		rows[i] = randomFields(r)
	}
	return rows, NewBlock(rows)
}

// TestBlock: a block holds what it was made of, stored and read again too.
func TestBlock(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		rows, b := randomBlock(r, r.IntN(60))
		raw, _ := b.AppendBinary([]byte("x"))
		var again Block
		if err := again.UnmarshalBinary(raw[1:]); err != nil {
			t.Fatal(err)
		}
		for _, b := range []*Block{b, &again} {
			if b.Len() != len(rows) {
				t.Fatalf("%d rows, want %d", b.Len(), len(rows))
			}
			for i, want := range rows {
				if got := b.Key(i).Fields(); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("row %d: %+v, want %+v", i, got, want)
				}
			}
		}
	}
	if got := (Key{}).Fields(); !reflect.DeepEqual(got, Fields{Sent: NoDate}) {
		t.Errorf("the zero Key has %+v", got)
	}
}

func FuzzBlock(f *testing.F) {
	_, b := randomBlock(rand.New(rand.NewPCG(1, 1)), 5)
	raw, _ := b.AppendBinary(nil)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b Block
		if b.UnmarshalBinary(raw) != nil {
			return
		}
		for i := range b.Len() {
			b.Key(i).Fields()
		}
		if again, _ := b.AppendBinary(nil); len(again) > len(raw) {
			t.Errorf("%d octets became %d", len(raw), len(again))
		}
	})
}

func randomMessages(r *rand.Rand, n int) []Message {
	rows, b := randomBlock(r, n)
	msgs := make([]Message, len(rows))
	for i := range msgs {
		msgs[i] = Message{Key: b.Key(i), Received: int64(r.IntN(8000)) - 4000, Size: int64(r.IntN(5))}
		if r.IntN(20) == 0 {
			msgs[i].Key = Key{}
		}
	}
	return msgs
}

// naiveLess compares by one criterion, from RFC 5256 §3.
func naiveCompare(a, b *Message, by By) int {
	seconds := func(m *Message) int64 { return (m.Received + 1e6) / 1000 }
	sent := func(m *Message) int64 {
		if m.Sent() == NoDate {
			return seconds(m) - 1000
		}
		return m.Sent()
	}
	switch by {
	case Arrival:
		return cmp.Compare(seconds(a), seconds(b))
	case Date:
		return cmp.Compare(sent(a), sent(b))
	case Size:
		return cmp.Compare(a.Size, b.Size)
	}
	return strings.Compare(a.Text(textOf[by]), b.Text(textOf[by]))
}

func TestSort(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		n := r.IntN(50)
		if seed%50 == 0 {
			n += 2 * many
		}
		msgs := randomMessages(r, n)
		by := make([]Criterion, r.IntN(4))
		for i := range by {
			by[i] = Criterion{By(r.IntN(int(ByDisplayTo) + 1)), r.IntN(2) == 0}
		}
		want := make([]int32, len(msgs))
		for i := range want {
			want[i] = int32(i)
		}
		slices.SortStableFunc(want, func(a, b int32) int {
			for _, c := range by {
				if d := naiveCompare(&msgs[a], &msgs[b], c.By); d != 0 && c.Reverse {
					return -d
				} else if d != 0 {
					return d
				}
			}
			return 0
		})
		if got := Sort(msgs, by); !slices.Equal(got, want) {
			t.Fatalf("seed %d, by %v: %v, want %v", seed, by, got, want)
		}
	}
}

// bench makes messages as a mailing list has them.
func bench(n int) []Message {
	r := rand.New(rand.NewPCG(7, 8))
	mails := make([]mail, n)
	for i := range mails {
		mails[i] = mail{date: int64(i + r.IntN(1000)), id: fmt.Sprintf("<%d.%d@example.org>", i, i*7), subject: fmt.Sprintf("question %d about x", r.IntN(n))}
		if i > 0 && r.IntN(10) < 7 {
			p := max(0, i-1-r.IntN(50))
			mails[i].refs = mails[max(0, p-20)].id + mails[p].id
			mails[i].subject = "Re: " + mails[p].subject
		}
	}
	return block(mails)
}

// BenchmarkOrder is what SORT and THREAD of 100,000 messages take once their keys are at hand.
func BenchmarkOrder(b *testing.B) {
	msgs := bench(100_000)
	for name, run := range map[string]func(){
		"SUBJECT":        func() { Sort(msgs, []Criterion{{By: BySubject}}) },
		"REVERSE-DATE":   func() { Sort(msgs, []Criterion{{By: Date, Reverse: true}}) },
		"ORDEREDSUBJECT": func() { OrderedSubject(msgs) },
		"REFERENCES":     func() { References(msgs) },
		"REFS":           func() { Refs(msgs) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
