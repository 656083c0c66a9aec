package postgres

import (
	"errors"
	"io"
	"maps"
	"slices"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/store"
)

func TestNotesRoundTrip(t *testing.T) {
	t.Parallel()
	n := newNotifier()
	want := map[boxKey]struct{}{{7, 0}: {}}
	n.add(7, nil)
	for i := range 3000 {
		key := boxKey{store.AccountID(i % 100), store.MailboxID(i)}
		want[key] = struct{}{}
		n.add(key.account, []store.MailboxID{key.box})
	}
	notes, _ := n.take(12)
	got := make(map[boxKey]struct{})
	for _, note := range notes {
		node, boxes, all, ok := decodeNote(note)
		if len(note) > noteLimit || node != 12 || all || !ok {
			t.Fatalf("%d octets, node %d, all %v, ok %v", len(note), node, all, ok)
		}
		for _, key := range boxes {
			got[key] = struct{}{}
		}
	}
	if len(notes) < 3 || !maps.Equal(got, want) {
		t.Errorf("%d notes tell of %d mailboxes, want %d", len(notes), len(got), len(want))
	}
	if again, _ := n.take(12); len(again) != 0 {
		t.Errorf("taken twice: %q", again)
	}
}

func TestNotesAreBounded(t *testing.T) {
	t.Parallel()
	n := newNotifier()
	for i := range notePending + 10 {
		n.add(1, []store.MailboxID{store.MailboxID(i + 1)})
	}
	notes, _ := n.take(3)
	if len(notes) != 1 || notes[0] != "3|*" {
		t.Errorf("%d notes, the first %.20q", len(notes), notes[0])
	}
	n.lost()
	if notes, _ = n.take(3); !slices.Equal(notes, []string{"3|*"}) {
		t.Errorf("after a loss: %q", notes)
	}
}

func TestDecodeNote(t *testing.T) {
	t.Parallel()
	for _, note := range []string{"", "x", "1", "x|1.1;", "1|", "1|1;", "1|1.!;", "1|.;", "1|1.1;;1.1;"} {
		if _, boxes, _, ok := decodeNote(note); ok {
			t.Errorf("%q is taken for %v", note, boxes)
		}
	}
	if node, _, all, ok := decodeNote("9|*"); node != 9 || !all || !ok {
		t.Error(`"9|*" is not understood`)
	}
}

func TestOutageLogsOnce(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	o := &outage{log: zap.New(core)}
	for range 3 {
		o.report("listen", io.EOF)
		o.report("poll", io.ErrUnexpectedEOF)
	}
	o.report("poll", nil)
	if logs.Len() != 1 {
		t.Fatalf("%d lines while the database is away, want 1", logs.Len())
	}
	o.report("listen", nil)
	o.report("listen", nil)
	if logs.Len() != 2 {
		t.Fatalf("%d lines after it is back, want 2", logs.Len())
	}
	o.report("sweep", errors.New("syntax error"))
	if logs.Len() != 3 || logs.All()[2].Level != zap.ErrorLevel {
		t.Error("an error that is not about the database being away was not logged")
	}
}
