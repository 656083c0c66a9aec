package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	opens   = 10 // how often one run opens a mailbox
	changed = 80 // messages with other flags when a client comes back
	removed = 10 // messages that are gone by then, and as many that are new
)

func selectSteps() []Step {
	open := func(name, title string, needs needs, run func(context.Context, *Bench) (float64, error)) Step {
		return Step{Name: name, Title: title, Group: "Opening", Unit: "ms", needs: needs | needArchive, run: run}
	}
	return []Step{
		open("select-cold", "SELECT after the server was restarted", needRestart, selectCold),
		open("select-changed", "SELECT after another session's APPEND", 0, selectChanged),
		open("select-warm", "SELECT of what has been open before", 0, selectWarm),
		open("resync", "SELECT with QRESYNC after 100 changes", 0, resync),
	}
}

func selectCold(ctx context.Context, b *Bench) (float64, error) {
	if err := b.target.Restart(ctx); err != nil {
		return 0, fmt.Errorf("restarting: %w", err)
	}
	c, err := b.imap(ctx, b.archivist())
	if err != nil {
		return 0, err
	}
	defer c.close()
	return latency(1, func() (time.Duration, error) { return b.timedSelect(c, archiveBox, b.o.Messages) })
}

func selectWarm(ctx context.Context, b *Bench) (float64, error) {
	c, err := b.archive(ctx)
	if err != nil {
		return 0, err
	}
	defer c.close()
	return latency(opens, func() (time.Duration, error) { return b.timedSelect(c, archiveBox, b.o.Messages) })
}

// timedSelect opens a mailbox that must have n messages.
func (b *Bench) timedSelect(c *imapConn, name string, n int) (time.Duration, error) {
	got := 0
	spent, err := timed(func() (err error) {
		got, err = c.selectBox(name, nil)
		return err
	})
	if err == nil && got != n {
		err = wrong("messages are in "+name, got, n)
	}
	return spent, err
}

// selectChanged opens a mailbox as a mail program does that is started after mail has come.
func selectChanged(ctx context.Context, b *Bench) (float64, error) {
	c, err := b.resyncBox(ctx)
	if err != nil {
		return 0, err
	}
	defer c.close()
	other, err := b.imap(ctx, b.archivist())
	if err != nil {
		return 0, err
	}
	defer other.close()
	n := b.o.Messages
	spent, err := latency(opens, func() (time.Duration, error) {
		n++
		if err := other.appendTo(resyncBox, b.fresh(1, false)[0]); err != nil {
			return 0, err
		}
		return b.timedSelect(c, resyncBox, n)
	})
	if err != nil {
		return 0, err
	}
	return spent, c.remove(strconv.Itoa(b.o.Messages+1)+":*", n-b.o.Messages)
}

// appendTo appends one message.
func (c *imapConn) appendTo(name string, mail []byte) error {
	c.begin()
	c.write("APPEND ", name, " ")
	c.literal(mail)
	_, err := c.await(c.end(), nil)
	return err
}

// remove expunges n messages of the selected mailbox.
func (c *imapConn) remove(set string, n int) error {
	if err := c.do("STORE "+set+` +FLAGS.SILENT (\Deleted)`, nil); err != nil {
		return err
	}
	_, err := c.expect("EXPUNGE", "EXPUNGE", n)
	return err
}

// resyncBox opens a session with the mailbox selected that changes. It holds as many messages as the archive.
func (b *Bench) resyncBox(ctx context.Context) (*imapConn, error) {
	c, err := b.imap(ctx, b.archivist())
	if err != nil {
		return nil, err
	}
	if n, err := c.selectBox(resyncBox, nil); err == nil && n == b.o.Messages {
		return c, nil
	}
	if err = b.copyArchive(c, resyncBox); err == nil {
		_, err = b.timedSelect(c, resyncBox, b.o.Messages)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// copyArchive makes a mailbox with all that the archive has.
func (b *Bench) copyArchive(c *imapConn, name string) error {
	if err := c.remake(name); err != nil {
		return err
	}
	if _, err := c.selectBox(archiveBox, nil); err != nil {
		return err
	}
	return c.do("COPY 1:* "+name, nil)
}

// resync has a client that was away learn what has changed (RFC 7162).
func resync(ctx context.Context, b *Bench) (float64, error) {
	c, err := b.resyncBox(ctx)
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.can("QRESYNC"); err != nil {
		return 0, err
	}
	if err := c.do("ENABLE CONDSTORE", nil); err != nil { // some servers count changes from then on only
		return 0, err
	}
	at, flagged, gone, err := b.changeMuch(c)
	if err != nil {
		return 0, err
	}
	away, err := b.imap(ctx, b.archivist())
	if err != nil {
		return 0, err
	}
	defer away.close()
	if err := away.do("ENABLE QRESYNC", nil); err != nil {
		return 0, err
	}
	return latency(opens, func() (time.Duration, error) { return away.timedResync(at, flagged+gone, gone) })
}

// changeMuch changes flags, removes messages and brings new ones. It returns where the mailbox was before, in the form that
// QRESYNC takes, how many flags have changed and how many messages are gone.
func (b *Bench) changeMuch(c *imapConn) (at string, flagged, gone int, err error) {
	if err := c.do(`STORE 1:* -FLAGS.SILENT (\Draft)`, nil); err != nil {
		return "", 0, 0, err
	}
	var validity, modSeq uint64
	_, err = c.selectBox(resyncBox, func(r response) error {
		validity = max(validity, after(r.line, "[UIDVALIDITY "))
		modSeq = max(modSeq, after(r.line, "[HIGHESTMODSEQ "))
		return nil
	})
	if err != nil {
		return "", 0, 0, err
	}
	flagged = max(1, min(changed, b.o.Messages/4))
	gone = max(1, flagged*removed/changed)
	for _, place := range everySo(flagged, b.o.Messages) {
		if err := c.do("STORE "+strconv.Itoa(place)+` +FLAGS.SILENT (\Draft)`, nil); err != nil {
			return "", 0, 0, err
		}
	}
	var set []string // messages beside those whose flags have changed
	for _, place := range everySo(flagged, b.o.Messages)[:gone] {
		set = append(set, strconv.Itoa(place+1))
	}
	if err := c.remove(strings.Join(set, ","), gone); err != nil {
		return "", 0, 0, err
	}
	if _, err := c.selectBox(archiveBox, nil); err != nil {
		return "", 0, 0, err
	}
	err = c.do("COPY 1:"+strconv.Itoa(gone)+" "+resyncBox, nil)
	return fmt.Sprintf("%d %d", validity, modSeq), flagged, gone, err
}

// timedResync opens the mailbox and is told of so many messages and so many that are gone.
func (c *imapConn) timedResync(at string, messages, gone int) (time.Duration, error) {
	if err := c.leave(); err != nil {
		return 0, err
	}
	told, vanished := 0, 0
	spent, err := timed(func() error {
		return c.do("SELECT "+resyncBox+" (QRESYNC ("+at+"))", func(r response) error {
			if _, _, ok := r.numbered("FETCH "); ok {
				told++
			} else if set, ok := bytes.CutPrefix(r.line, []byte("VANISHED (EARLIER) ")); ok {
				vanished += setSize(string(set))
			}
			return nil
		})
	})
	if err == nil && (told != messages || vanished != gone) {
		err = wrong("changed and removed messages", fmt.Sprint(told, " and ", vanished), fmt.Sprint(messages, " and ", gone))
	}
	return spent, err
}

// leave unselects the mailbox, if one is selected.
func (c *imapConn) leave() error {
	command := "UNSELECT"
	if !c.caps[command] {
		command = "CLOSE" // nothing is marked as deleted that should not go
	}
	c.selected = ""
	err := c.do(command, nil)
	if _, ok := errors.AsType[*refusal](err); ok {
		return nil // none is
	}
	return err
}

// setSize is how many numbers a set has.
func setSize(set string) int {
	n := 0
	for part := range strings.SplitSeq(set, ",") {
		first, last, ok := strings.Cut(part, ":")
		from, _ := strconv.Atoi(first)
		to, _ := strconv.Atoi(last)
		if n++; ok {
			n += max(from, to) - min(from, to)
		}
	}
	return n
}
