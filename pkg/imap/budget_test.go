//go:build !race

package imap

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"postern/pkg/allocs"
	"postern/pkg/imap/wire"
	"postern/pkg/message"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
	"go.uber.org/zap"
)

// steadyAccount has one mailbox whose messages all are one, and gives away versions of it one after another.
type steadyAccount struct {
	store.Account
	m        store.Message
	versions []version
}

type version struct {
	snap *store.Snapshot
	ch   store.Changes
}

func (a *steadyAccount) Messages(_ context.Context, have *store.Snapshot, uids imap.UIDSet, _ store.Fields) iter.Seq2[*store.Message, error] {
	return func(yield func(*store.Message, error) bool) {
		for _, places := range have.Indices(uids) {
			for i := places[0]; i < places[1]; i++ {
				a.m.UID, a.m.ID, a.m.Flags = have.UID(i), have.ID(i), have.Flags(i)
				if !yield(&a.m, nil) {
					return
				}
			}
		}
	}
}

func (a *steadyAccount) ID() store.AccountID { return 1 }

func (a *steadyAccount) Refresh(context.Context, *store.Snapshot) (*store.Snapshot, store.Changes, error) {
	v := a.versions[0]
	a.versions = a.versions[1:]
	return v.snap, v.ch, nil
}

// steady is a session without a connection, whose mailbox has n messages.
func steady(t *testing.T, n int) (*conn, *steadyAccount) {
	t.Helper()
	rows := make([]store.Row, n)
	for i := range rows {
		rows[i] = store.Row{UID: imap.UID(2*i + 1), ID: store.MessageID(i), ModSeq: store.ModSeq(i + 1), Flags: store.FlagSet{System: store.SystemFlags(i % 32)}}
	}
	snap := store.NewSnapshot(store.Mailbox{ID: 1, UIDNext: imap.UID(2*n + 1), ModSeq: store.ModSeq(n)}, nil, rows)
	s, err := message.Spool(strings.NewReader(budgetMail), message.SpoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a := &steadyAccount{m: store.Message{Part: s.Part(), Body: bytes.NewReader([]byte(budgetMail)), Size: int64(len(budgetMail)), Received: time.Now()}}
	c := &conn{
		srv: &Server{Answers: -1}, log: zap.NewNop(), running: "a1",
		enc: wire.NewEncoder(bufio.NewWriterSize(io.Discard, writeBuffer)),
		sel: &selected{snap: snap, view: snap.View(), location: location{account: a}},
	}
	return c, a
}

const budgetMail = "From: Ann Example <ann@example.com>\r\nTo: Bob <bob@example.org>, carol@example.org\r\nSubject: About a \"thing\"\r\n" +
	"Date: Thu, 08 Oct 2026 10:00:00 +0200\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello.\r\n" +
	"--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\nPDF\r\n--b--\r\n"

// TestBudget: what answers allocate. Those for many messages say by their figures that one message more costs nothing.
func TestBudget(t *testing.T) {
	const n = 1000
	c, a := steady(t, n)
	fetch := func(line string, most allocs.Most) {
		t.Helper()
		allocs.Check(t, "UID FETCH"+line+" of 1,000", most, func() {
			r, err := parseFetch(decoderOf(line), byUID)
			if err == nil {
				err = c.fetch(t.Context(), r)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	fetch(" 1:* (FLAGS)", allocs.Most{Objects: 177, Octets: 47360})
	fetch(" 1:* (FLAGS INTERNALDATE RFC822.SIZE MODSEQ)", allocs.Most{Objects: 183, Octets: 47696})
	fetch(" 1:* (ENVELOPE)", allocs.Most{Objects: 34, Octets: 36224})
	fetch(" 1:* (BODYSTRUCTURE)", allocs.Most{Objects: 35, Octets: 36256})
	fetch(" 1:* (BODY.PEEK[])", allocs.Most{Objects: 2039, Octets: 152144})
	fetch(" 1:* (BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])", allocs.Most{Objects: 9051, Octets: 728128})

	c.srv = &Server{}
	fetch(" 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])", allocs.Most{Objects: 207, Octets: 122500}) // again

	all := imap.UIDSet{{Start: 1, Stop: 2 * n}}
	allocs.Check(t, "the answer of STORE for 1,000", allocs.Most{Objects: 149, Octets: 10816}, func() {
		c.tellStored(c.sel.snap, all)
		c.sel.view.Apply(store.Changes{Until: n})
	})
	uids := make([]imap.UID, n)
	for i := range uids {
		uids[i] = c.sel.snap.UID(i)
	}
	r := searchRequest{ret: &searchReturn{SearchOptions: imap.SearchOptions{ReturnAll: true, ReturnCount: true}}}
	allocs.Check(t, "the answer of SEARCH, 1,000 found", allocs.Most{Objects: 1, Octets: 4944}, func() {
		c.writeFound("* SEARCH", c.found(uids, false), uids, false)
	})
	allocs.Check(t, "ESEARCH, one range found", allocs.Most{Objects: 3, Octets: 4976}, func() { c.writeESearch(c.found(uids, false), uids, r) })
	r.byUID = true
	allocs.Check(t, "ESEARCH, 1,000 ranges found", allocs.Most{Objects: 13, Octets: 35152}, func() { c.writeESearch(c.found(uids, true), uids, r) })
	pushBudget(t, c, a)
}

// pushBudget: a message arrives while a session waits.
func pushBudget(t *testing.T, c *conn, a *steadyAccount) {
	snap := c.sel.snap
	for range 1000 {
		at, uid := snap.ModSeq(), snap.UIDNext()
		row := store.Row{UID: uid, ModSeq: at + 1}
		snap = snap.Next(store.Delta{ModSeq: at + 1, UIDNext: uid + 1, Added: []store.Row{row}})
		a.versions = append(a.versions, version{snap, store.Changes{
			Since: at, Until: at + 1, Complete: true, Added: []store.Entry{{UID: uid, ModSeq: at + 1}},
		}})
	}
	c.sel.readOnly = true
	allocs.Check(t, "the push of one message", allocs.Most{Objects: 15, Octets: 560}, func() {
		if err := c.sync(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	})
}
