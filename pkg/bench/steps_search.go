package bench

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"time"
)

// sought is a search, and which messages it must find.
type sought struct {
	criteria string
	text     string // sent as UTF-8 in a literal, after the criteria
	again    bool   // the same each time: what a server remembers of a search for a text is measured too
	found    func(mail) bool
}

func searchSteps() []Step {
	step := func(name, title string, run func(context.Context, *Bench) (float64, error)) Step {
		return Step{Name: name, Title: title, Group: "Finding", Unit: "ms", needs: needArchive, run: run}
	}
	search := func(name, title string, what func(b *Bench) sought) Step {
		return step(name, title, func(ctx context.Context, b *Bench) (float64, error) { return b.search(ctx, what(b)) })
	}
	word := func(w string, again bool, found func(mail) bool) func(*Bench) sought {
		return func(*Bench) sought { return sought{criteria: "BODY ", text: w, again: again, found: found} }
	}
	common := func(m mail) bool { return m.common }
	return []Step{
		search("search-flags", "SEARCH for flags", func(*Bench) sought {
			return sought{criteria: "FLAGGED UNDELETED", found: func(m mail) bool { return isFlagged(m.n) }}
		}),
		search("search-date", "SEARCH for the newest tenth by date", func(b *Bench) sought {
			day := b.corpus.plan(b.o.Messages - b.o.Messages/10 - 1).date.Truncate(24 * time.Hour)
			return sought{criteria: "SINCE " + day.Format("2-Jan-2006"), found: func(m mail) bool { return !m.date.Before(day) }}
		}),
		search("search-from", "SEARCH for a sender", func(*Bench) sought {
			return sought{criteria: "FROM " + address(soughtPerson), found: func(m mail) bool { return m.from == soughtPerson }}
		}),
		search("search-message-id", "SEARCH for a Message-ID", func(b *Bench) sought {
			n := b.o.Messages / 2
			return sought{criteria: "HEADER MESSAGE-ID " + messageID(n, ""), found: func(m mail) bool { return m.n == n }}
		}),
		search("search-body-rare", "SEARCH for a rare word in bodies", word(rareWord, false, func(m mail) bool { return m.rare })),
		search("search-body-common", "SEARCH for a common word in bodies", word(commonWord, false, common)),
		search("search-body-again", "The same SEARCH for a common word again", word(commonWord, true, common)),
		search("search-body-japanese", "SEARCH for a Japanese word in bodies", word(japaneseWord, false, func(m mail) bool { return m.estimate })),
		step("sort-subject", "SORT by subject", arrange("SORT", "SORT (SUBJECT)", "SORT")),
		step("sort-date", "SORT by date, newest first", arrange("SORT", "SORT (REVERSE DATE)", "SORT")),
		step("thread", "THREAD by references", arrange("THREAD=REFERENCES", "THREAD REFERENCES", "THREAD")),
	}
}

// soughtPerson writes one mail in six hundred.
const soughtPerson = 150

// search repeats a search, which must find what it must. Searches for texts differ by a word that no subject has.
func (b *Bench) search(ctx context.Context, what sought) (float64, error) {
	want := b.corpus.count(b.o.Messages, what.found)
	return b.numbers(ctx, "SEARCH", want, func(c *imapConn) int {
		c.begin()
		if what.text == "" {
			c.write("SEARCH ", what.criteria)
			return c.end()
		}
		c.write("SEARCH CHARSET UTF-8 ", what.criteria)
		c.literal([]byte(what.text))
		if !what.again {
			b.asked++
			c.write(" NOT SUBJECT zq", strconv.Itoa(b.asked), "qz")
		}
		return c.end()
	})
}

// arrange orders all messages of the archive.
func arrange(capability, command, response string) func(context.Context, *Bench) (float64, error) {
	return func(ctx context.Context, b *Bench) (float64, error) {
		return b.numbers(ctx, response, b.o.Messages, func(c *imapConn) int {
			if err := c.can(capability); err != nil {
				c.err = err
			}
			return c.send(command, " UTF-8 ALL")
		})
	}
}

// numbers repeats a command whose one response must hold so many numbers, and returns how long it takes.
func (b *Bench) numbers(ctx context.Context, name string, want int, send func(*imapConn) int) (float64, error) {
	c, err := b.archive(ctx)
	if err != nil {
		return 0, err
	}
	defer c.close()
	rate, err := b.rate(func() (float64, time.Duration, error) {
		got := 0
		spent, err := timed(func() error {
			_, err := c.await(send(c), func(r response) error {
				if list, ok := bytes.CutPrefix(r.line, []byte(name)); ok {
					got += countNumbers(list)
				}
				return nil
			})
			return err
		})
		if err == nil && got != want {
			err = wrong("messages in the answer to "+strings.ToUpper(name), got, want)
		}
		return 1, spent, err
	})
	if err != nil {
		return 0, err
	}
	return 1000 / rate, nil
}

// countNumbers is how many numbers stand in a list.
func countNumbers(list []byte) int {
	n, in := 0, false
	for _, b := range list {
		digit := b >= '0' && b <= '9'
		if digit && !in {
			n++
		}
		in = digit
	}
	return n
}
