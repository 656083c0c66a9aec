package bench

import (
	"math/rand/v2"
	"time"
)

// Corpus makes mails: message n of a seed is always the same, and no two are alike. It may be used concurrently.
type Corpus struct {
	seed  uint64
	small bool
	pool  []byte // lines of base64 that attachments are cut from
}

// NewCorpus makes a corpus. Small mails are a few hundred octets of text beside their header.
func NewCorpus(seed uint64, small bool) *Corpus {
	return &Corpus{seed: seed, small: small, pool: base64Lines(seed)}
}

// kind is what a mail consists of.
type kind int

const (
	plain       kind = iota // text alone
	alternative             // text and HTML
	attached                // text and a file
	inline                  // HTML with its picture
	forwarded               // a message in a message
	report                  // delivery failure
)

// language is what a mail's text is written in, and how that is encoded.
type language int

const (
	english   language = iota // us-ascii
	german                    // iso-8859-1, quoted-printable
	french                    // utf-8, quoted-printable
	jis                       // Japanese as iso-2022-jp, 7bit
	japanese8                 // utf-8, base64
	raw                       // Japanese as utf-8, 8bit
)

// The words that searches look for. No other text contains them.
const (
	rareWord     = "kittiwake"
	commonWord   = "invoice"
	japaneseWord = "見積書"
)

// mail is all that is decided about a message before it is written.
type mail struct {
	n        int
	r        *rand.Rand // for the rest
	kind     kind
	language language
	date     time.Time
	from, to int // people
	parent   int // the message it replies to, or -1
	rare     bool
	common   bool
	estimate bool // it has the Japanese word
}

const (
	people    = 400
	rareEvery = 500  // one message in so many has the rare word
	rareAt    = 7    // the first of them
	mailsAday = 16   // dates advance
	daysInAll = 4000 // and begin anew after these
)

var firstDay = time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC)

// plan decides about message n. It is cheap: what a search must find is counted with it.
func (c *Corpus) plan(n int) mail {
	r := rand.New(rand.NewPCG(c.seed, uint64(n)))
	m := mail{n: n, r: r, parent: -1}
	m.kind, m.language = c.kindOf(r.IntN(1000)), languageOf(r.IntN(100))
	// Between 8 and 15 o'clock UTC a date is the same in most time zones: servers search dates in their own.
	m.date = firstDay.AddDate(0, 0, n/mailsAday%daysInAll).Add(8*time.Hour + time.Duration(r.IntN(7*3600))*time.Second)
	m.from, m.to = skewed(r, people), r.IntN(people)
	if n > 0 && r.IntN(100) < 45 {
		m.parent = n - 1 - r.IntN(min(n, 60))
	}
	m.rare = n%rareEvery == rareAt
	m.common = r.IntN(4) == 0
	m.estimate = r.IntN(3) == 0 && m.language >= jis
	return m
}

func (c *Corpus) kindOf(permille int) kind {
	switch {
	case c.small || permille < 620:
		return plain
	case permille < 880:
		return alternative
	case permille < 950:
		return attached
	case permille < 970:
		return inline
	case permille < 990:
		return forwarded
	}
	return report
}

func languageOf(percent int) language {
	switch {
	case percent < 60:
		return english
	case percent < 72:
		return german
	case percent < 80:
		return french
	case percent < 88:
		return jis
	case percent < 96:
		return japanese8
	}
	return raw
}

// skewed is below n, mostly far below: a few people write most mails, a few words make most of a text.
func skewed(r *rand.Rand, n int) int {
	f := r.Float64()
	return int(f * f * f * float64(n))
}

// root follows replies to the message that began the conversation, and returns those between, nearest first.
func (c *Corpus) root(m mail) (mail, []int) {
	var path []int
	for m.parent >= 0 {
		path = append(path, m.parent)
		m = c.plan(m.parent)
	}
	return m, path
}

// Counts says how many of the first n messages a search must find.
func (c *Corpus) count(n int, found func(mail) bool) int {
	count := 0
	for i := range n {
		if found(c.plan(i)) {
			count++
		}
	}
	return count
}
