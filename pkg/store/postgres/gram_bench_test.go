package postgres

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

var searched = flag.Int("searched", 20_000, "messages in the mailbox that BenchmarkSearch searches")

// kanji are the characters of the words that benchmarks make up: a vocabulary of 20,000 words, used as words are, a few
// very often and most hardly ever.
const kanji = "日一国会人年大十二本中長出三同時政事自行社見月分議後前民生連五発間対上部東者党地合市業内相方四定今回新場金員九入選立開手米力学問高代明実円関決子動京全目表戦経通外最言氏現理調体化田当八六約主題下首意法不来作性的要用制治度務強気小七成期公野"

func madeUpWord(n int) string { return madeUp(kanji, n, 2) }

// madeUp is the nth word of so many characters.
func madeUp(of string, n, length int) string {
	runes, word := []rune(of), make([]rune, length)
	for i := range word {
		word[i] = runes[n%len(runes)]
		n /= len(runes)
	}
	return string(word)
}

// longWord is longer than those the rest is made of: three ideographs, or three to six katakana.
func longWord(n int, foreign bool) string {
	if foreign {
		return madeUp("アイウエカキクコサシスソタチツトナネノハフプホマムメモラリルレロンー", n*7919, 3+n%4)
	}
	return madeUp(kanji, n*104_729, 3)
}

// letterOf makes a mail of about 6 KB, Japanese with some English, and header fields as they are.
func letterOf(r *rand.Rand, i int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Received: from mx%d.example.net (mx.example.net [192.0.2.%d]) by mail.example.org with ESMTPS id %x;\r\n\tMon, 13 May 2024 %02d:%02d:00 +0900\r\n",
		r.IntN(9), r.IntN(250), r.Uint64(), r.IntN(24), r.IntN(60))
	fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=mail; bh=%x%x; b=%x%x%x%x\r\n", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
	fmt.Fprintf(&b, "From: user%d@example.net\r\nTo: ann@example.org\r\nMessage-ID: <%s>\r\nSubject: number %d\r\n", r.IntN(500), messageIDOf(i), i)
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	zipf := rand.NewZipf(r, 1.1, 8, 19_999)
	for b.Len() < 6<<10 {
		for range 12 {
			b.WriteString(madeUpWord(int(zipf.Uint64())))
			b.WriteString([]string{"の", "を", "は", "します。", "で"}[r.IntN(5)])
		}
		for _, foreign := range []bool{true, r.IntN(2) == 0} {
			b.WriteString(longWord(int(zipf.Uint64()), foreign) + "と")
		}
		fmt.Fprintf(&b, " report %d of week %d\r\n", r.IntN(10_000), r.IntN(52))
	}
	if i%4000 == 7 {
		b.WriteString("稀語\r\n")
	}
	return b.String()
}

func messageIDOf(i int) string {
	return fmt.Sprintf("%08x.%d@mail.example.net", uint32(i)*2654435761, i)
}

func (f *fixture) letters(n int) {
	r := rand.New(rand.NewPCG(11, 12))
	for at := 0; at < n; {
		texts := make([]string, min(100, n-at))
		for i := range texts {
			texts[i] = letterOf(r, at+i)
		}
		f.mail(texts...)
		at += len(texts)
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSearch searches one large mailbox (-searched) for words that are rare, common and absent, and for a
// Message-ID, and compares with reading every message, in the same run (xreading). First it prints what indexing took for
// each message: CPU of this process, WAL, octets stored.
func BenchmarkSearch(b *testing.B) {
	f := newFixture(b, func(o *Options) { o.IndexFrom, o.IndexLoad = -1, 100 })
	f.letters(*searched)
	snap := f.openInbox(f.a)
	wal := func() int64 { return f.number(`select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint`) }
	used, written := cpu(), wal()
	if err := f.s.indexBox(f.Context(), boxKey{f.a.id, f.inbox}, false); err != nil {
		b.Fatal(err)
	}
	n := float64(*searched)
	b.Logf("indexing, for each message: %.2f ms of CPU, %.0f octets of WAL, %.0f octets stored in %d segments", 1000*(cpu()-used).Seconds()/n,
		float64(wal()-written)/n, float64(f.number(`select coalesce(sum(length(data)), 0) from fts_block`))/n,
		f.number(`select count(*) from fts_seg where state = 0`))
	reading := f.open(func(o *Options) {
		o.IndexFrom, o.sizes = -1, gramSizes{docs: segmentDocs, merge: mergeCount, read: 1 << 30, batch: batchOctets}
	})
	for _, s := range []struct {
		name string
		c    store.Criteria
	}{
		{"rare word", native(imap.SearchCriteria{Body: []string{"稀語"}})},
		{"word", native(imap.SearchCriteria{Body: []string{madeUpWord(9000)}})},
		{"common word", native(imap.SearchCriteria{Body: []string{madeUpWord(40)}})},
		{"common word, text", native(imap.SearchCriteria{Text: []string{madeUpWord(40)}})},
		{"word of three", native(imap.SearchCriteria{Body: []string{longWord(9, false)}})},
		{"foreign word", native(imap.SearchCriteria{Body: []string{longWord(6, true)}})},
		{"absent word", native(imap.SearchCriteria{Body: []string{"猫熊"}})},
		{"long phrase", native(imap.SearchCriteria{Text: []string{madeUpWord(700) + "を" + madeUpWord(3)}})},
		{"not a word", store.Criteria{Not: []store.Criteria{native(imap.SearchCriteria{Body: []string{madeUpWord(3)}})}}},
		{"Message-ID", native(imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: messageIDOf(*searched / 2)}}})},
	} {
		b.Run(s.name, func(b *testing.B) {
			began := time.Now()
			want, err := f.on(reading).Search(b.Context(), snap, &s.c)
			if err != nil {
				b.Fatal(err)
			}
			bare, used := time.Since(began), cpu()
			b.ResetTimer()
			for b.Loop() {
				f.s.verdicts.clear() // as if it were asked for the first time
				got, err := f.a.Search(b.Context(), snap, &s.c)
				if err != nil || len(got) != len(want) {
					b.Fatalf("%d found, want %d, %v", len(got), len(want), err)
				}
			}
			b.ReportMetric(bare.Seconds()*float64(b.N)/b.Elapsed().Seconds(), "xreading")
			b.ReportMetric(float64(len(want)), "found")
			b.ReportMetric(1000*(cpu()-used).Seconds()/float64(b.N), "msCPU/op") // of this process, whatever else is at work
		})
	}
}
