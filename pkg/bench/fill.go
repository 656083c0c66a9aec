package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// What a Bench makes in an account.
const (
	markBox    = "bench-was-here" // the account is for measuring: what is in it may be removed
	archiveBox = "bench-archive"  // all messages of the corpus, in order; never changed but for flags
	workBox    = "bench-work"     // copies to write to; gone after the step
	otherBox   = "bench-other"    // where they are moved
	largeBox   = "bench-large"    // one large message
	resyncBox  = "bench-resync"   // what changes while a client is away
)

// Parts of the accounts, by their place.
const (
	archiveUser = iota // whose archive is read
	hotUser            // whose INBOX everybody delivers to
	idleUser           // who waits for mail
	spreadFrom         // deliveries are spread over this one and all that follow
)

// archivist is the account with the archive.
func (b *Bench) archivist() Login { return b.target.Logins[archiveUser] }

// prepare looks at all accounts and fills the archive.
func (b *Bench) prepare(ctx context.Context, archive bool) error {
	for i, l := range b.target.Logins {
		b.o.Progress("looking at the accounts", i, len(b.target.Logins))
		if err := b.claim(ctx, l, i != archiveUser); err != nil {
			return err
		}
	}
	b.o.Progress("looking at the accounts", len(b.target.Logins), len(b.target.Logins))
	if !archive {
		return nil
	}
	c, err := b.imap(ctx, b.archivist())
	if err != nil {
		return err
	}
	defer c.close()
	if err := b.measureCorpus(ctx); err != nil {
		return err
	}
	if b.archived(c) {
		return nil
	}
	// What was copied from the old one goes with it.
	if err := errors.Join(c.remake(archiveBox), c.drop(resyncBox), c.empty("INBOX")); err != nil {
		return fmt.Errorf("making the archive: %w", err)
	}
	if err := b.fill(ctx, c); err != nil {
		return fmt.Errorf("filling the archive: %w", err)
	}
	if !b.archived(c) {
		return errors.New("the archive does not hold what was put into it: sizes differ")
	}
	return nil
}

// claim makes sure that an account has no mail of its own and marks it. What an interrupted Bench has left is removed.
func (b *Bench) claim(ctx context.Context, l Login, clean bool) error {
	c, err := b.imap(ctx, l)
	if err != nil {
		return err
	}
	defer c.close()
	marked, err := c.claim(l.Address)
	if err != nil || !marked || !clean {
		return err
	}
	return c.empty("INBOX")
}

// claim says whether the account has been marked before.
func (c *imapConn) claim(address string) (marked bool, err error) {
	err = c.do(`LIST "" `+markBox, func(r response) error {
		marked = marked || strings.HasPrefix(string(r.line), "LIST ")
		return nil
	})
	if err != nil || marked {
		return marked, err
	}
	n, err := c.count("INBOX")
	if err != nil {
		return false, err
	}
	if n > 0 {
		return false, fmt.Errorf("%s has %d messages: measuring removes mail, so it needs accounts that have none", address, n)
	}
	return false, c.do("CREATE "+markBox, nil)
}

// measureCorpus learns the sizes of all messages.
func (b *Bench) measureCorpus(ctx context.Context) error {
	b.sizes, b.total = make([]int32, b.o.Messages), 0
	for i := range b.sizes {
		if i%1000 == 0 {
			b.o.Progress("making the corpus", i, b.o.Messages)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		b.sizes[i] = int32(len(b.corpus.Mail(i)))
		b.total += int64(b.sizes[i])
	}
	b.o.Progress("making the corpus", b.o.Messages, b.o.Messages)
	return nil
}

// archived says whether the archive is there and holds the corpus.
func (b *Bench) archived(c *imapConn) bool {
	n, err := c.selectBox(archiveBox, nil)
	if err != nil || n != b.o.Messages {
		return false
	}
	right := 0
	err = c.do("FETCH 1:* RFC822.SIZE", func(r response) error {
		if i, rest, ok := r.numbered("FETCH"); ok && i <= n && after(rest, "RFC822.SIZE ") == uint64(b.sizes[i-1]) {
			right++
		}
		return nil
	})
	return err == nil && right == n
}

// batch is how many messages one APPEND carries while the archive is filled.
const batch = 50

// fill puts the corpus into the archive, in order.
func (b *Bench) fill(ctx context.Context, c *imapConn) error {
	several := c.caps["MULTIAPPEND"] && c.caps["LITERAL+"]
	for i := 0; i < b.o.Messages; {
		b.o.Progress("filling the archive", i, b.o.Messages)
		if err := ctx.Err(); err != nil {
			return err
		}
		c.begin()
		c.write("APPEND ", archiveBox)
		for end := min(i+batch, b.o.Messages); i < end; i++ {
			c.write(b.flagsOf(i), b.corpus.plan(i).date.Format(` "02-Jan-2006 15:04:05 -0700" `))
			c.literal(b.corpus.Mail(i))
			if !several {
				i++
				break
			}
		}
		if _, err := c.await(c.end(), nil); err != nil {
			return err
		}
	}
	b.o.Progress("filling the archive", b.o.Messages, b.o.Messages)
	return nil
}

// flagsOf are those of a message of the archive: most have been read, some answered, few flagged.
func (b *Bench) flagsOf(n int) string {
	switch {
	case isFlagged(n):
		return ` (\Seen \Flagged)`
	case n%7 == 1:
		return ` (\Seen \Answered)`
	case n%10 < 8:
		return ` (\Seen)`
	}
	return " ()"
}

// isFlagged says which messages of the archive are flagged.
func isFlagged(n int) bool { return n%20 == 5 }

// selectBox selects a mailbox and returns how many messages it has.
func (c *imapConn) selectBox(name string, each func(response) error) (int, error) {
	exists := -1
	c.selected = name
	err := c.do("SELECT "+name, func(r response) error {
		if n, _, ok := r.numbered("EXISTS"); ok {
			exists = n
		}
		if each != nil {
			return each(r)
		}
		return nil
	})
	return exists, err
}

// count is how many messages a mailbox has.
func (c *imapConn) count(name string) (int, error) {
	n := -1
	err := c.do("STATUS "+name+" (MESSAGES)", func(r response) error {
		if strings.HasPrefix(string(r.line), "STATUS ") {
			n = int(after(r.line, "MESSAGES "))
		}
		return nil
	})
	return n, err
}

// drop deletes a mailbox, if it is there. It must not be selected then: some servers end the session.
func (c *imapConn) drop(name string) error {
	if c.selected == name {
		if err := c.leave(); err != nil {
			return err
		}
	}
	err := c.do("DELETE "+name, nil)
	if no := new(refusal); errors.As(err, &no) && strings.HasPrefix(no.text, "NO") {
		return nil
	}
	return err
}

// expect does a command that must get n responses of a kind.
func (c *imapConn) expect(command, kind string, n int) (time.Duration, error) {
	got := 0
	spent, err := timed(func() error {
		return c.do(command, func(r response) error {
			if _, _, ok := r.numbered(kind); ok {
				got++
			}
			return nil
		})
	})
	if err == nil && got != n {
		err = wrong("responses to "+command, got, n)
	}
	return spent, err
}

// empty removes all messages of an INBOX.
func (c *imapConn) empty(name string) error {
	n, err := c.selectBox(name, nil)
	if err != nil || n == 0 {
		return err
	}
	return c.remove("1:*", n)
}

// everySo are n places of total, evenly spread, counted from 1.
func everySo(n, total int) []int {
	at := make([]int, n)
	for i := range at {
		at[i] = 1 + i*total/n
	}
	return at
}

// inOrder is the newest n of so many messages.
func inOrder(n, total int) []int {
	at := make([]int, n)
	for i := range at {
		at[i] = total - n + 1 + i
	}
	return at
}

// hereAndThere is n of so many messages from everywhere, in no order.
func hereAndThere(n, total int) []int {
	at := everySo(n, total)
	rand.New(rand.NewPCG(uint64(n), uint64(total))).Shuffle(n, func(i, j int) { at[i], at[j] = at[j], at[i] })
	return at
}
