package store

import (
	"errors"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	full := []imap.UID{2, 3, 4, 10, 20, 21}
	seq := func(r ...uint32) imap.SeqSet {
		var set imap.SeqSet
		for i := 0; i < len(r); i += 2 {
			set = append(set, imap.SeqRange{Start: r[i], Stop: r[i+1]})
		}
		return set
	}
	uid := func(r ...imap.UID) imap.UIDSet {
		var set imap.UIDSet
		for i := 0; i < len(r); i += 2 {
			set = append(set, imap.UIDRange{Start: r[i], Stop: r[i+1]})
		}
		return set
	}
	for _, test := range []struct {
		name string
		uids []imap.UID
		set  imap.NumSet
		want string
		err  error
	}{
		{"numbers", full, seq(1, 2, 4, 4), "2:3,10", nil},
		{"reversed", full, seq(3, 1), "2:4", nil},
		{"overlapping", full, seq(2, 5, 1, 3), "2:4,10,20", nil},
		{"star", full, seq(0, 0), "21", nil},
		{"to star", full, seq(5, 0), "20:21", nil},
		{"all", full, seq(1, 0), "2:4,10,20:21", nil},
		{"number too high", full, seq(1, 7), "", ErrNoSuchNumber},
		{"from too high to star", full, seq(7, 0), "", ErrNoSuchNumber},
		{"one of several too high", full, seq(1, 1, 9, 9), "", ErrNoSuchNumber},
		{"any number, empty mailbox", nil, seq(1, 1), "", ErrNoSuchNumber},
		{"star, empty mailbox", nil, seq(0, 0), "", ErrNoSuchNumber},
		{"all, empty mailbox", nil, seq(1, 0), "", ErrNoSuchNumber},

		{"UIDs", full, uid(3, 3, 10, 12), "3,10", nil},
		{"UIDs reversed and overlapping", full, uid(21, 4, 3, 10), "3:4,10,20:21", nil},
		{"unknown UIDs", full, uid(5, 9, 22, 22), "", nil},
		{"UID star", full, uid(0, 0), "21", nil},
		{"UID all", full, uid(1, 0), "2:4,10,20:21", nil},
		{"UID n:* with n above the last", full, uid(99, 0), "21", nil},
		{"UID *:n", full, uid(0, 20), "20:21", nil},
		{"UID star, empty mailbox", nil, uid(0, 0), "", nil},
		{"UID n:*, empty mailbox", nil, uid(7, 0), "", nil},
		{"UID all, empty mailbox", nil, uid(1, 0, 5, 5), "", nil},
	} {
		got, err := NewView(test.uids, 1).Resolve(test.set)
		if got.String() != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: Resolve(%v) = %v, %v, want %v, %v", test.name, test.set, got, err, test.want, test.err)
		}
		if !normal(got) {
			t.Errorf("%s: Resolve(%v) = %v is not normal", test.name, test.set, got)
		}
	}
}

func TestResolveLongLine(t *testing.T) {
	t.Parallel()
	v := snapshotOf(rowsOf(300_000, 1)).View()
	var set imap.UIDSet
	for i := range 100_000 {
		uid := imap.UID(3 * (100_000 - i))
		set = append(set, imap.UIDRange{Start: uid, Stop: uid})
	}
	got, err := v.Resolve(set)
	if err != nil || len(got) != 100_000 {
		t.Fatalf("%d ranges, %v", len(got), err)
	}
}

func BenchmarkResolve(b *testing.B) {
	all := imap.UIDSet{{Start: 1}}
	for _, test := range []struct {
		name   string
		n, gap int
	}{{"100k", 100_000, 1}, {"1M", 1_000_000, 1}, {"1M-holes", 1_000_000, 2}} {
		s := snapshotOf(rowsOf(test.n, test.gap))
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if uids, err := s.View().Resolve(all); err != nil || len(uids) == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkResolveLongLine(b *testing.B) {
	v := snapshotOf(rowsOf(1_000_000, 1)).View()
	var set imap.UIDSet
	for i := range 100_000 {
		set = append(set, imap.UIDRange{Start: imap.UID(7*i + 1), Stop: imap.UID(7*i + 1)})
	}
	for range b.N {
		if _, err := v.Resolve(set); err != nil {
			b.Fatal(err)
		}
	}
}
