package postgres

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"postern/pkg/auth"
)

// TestLogins keeps logins, says which came from a place or device that is new, and forgets what is old or too much.
func TestLogins(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := time.Now().Truncate(time.Microsecond)
	login := func(addr, client, result string) auth.Record {
		r := auth.Record{Account: f.a.id, At: now, Count: 1, Protocol: "imap", Mechanism: "PLAIN", Client: client, Result: result}
		if addr != "" {
			r.Addr = netip.MustParseAddr(addr)
		}
		now = now.Add(time.Second)
		return r
	}
	for _, step := range []struct {
		records []auth.Record
		novel   int
	}{
		{[]auth.Record{login("192.0.2.1", "", "ok"), login("192.0.2.1", "Thunderbird", "ok")}, 0}, // the first of all
		{[]auth.Record{login("192.0.2.77", "Thunderbird", "ok")}, 0},
		{[]auth.Record{login("203.0.113.1", "Thunderbird", "wrong password")}, 0},
		{[]auth.Record{login("203.0.113.1", "", "ok"), login("203.0.113.2", "", "ok")}, 1},
		{[]auth.Record{login("192.0.2.1", "Mutt", "ok")}, 1},
		{[]auth.Record{login("2001:db8::1", "Mutt", "ok"), login("", "Mutt", "ok")}, 2},
		{[]auth.Record{login("2001:db8:0:7::1", "Thunderbird", "ok")}, 0},
		{[]auth.Record{{Account: 999, At: now, Result: "ok"}}, 0}, // has just been deleted
	} {
		novel, err := f.s.AddLogins(t.Context(), step.records)
		if err != nil || len(novel) != step.novel {
			t.Errorf("%+v: %v, %v", step.records, novel, err)
		}
	}
	list, err := f.s.Logins(t.Context(), f.a.id)
	if err != nil || len(list) != 10 {
		t.Fatalf("%d logins, %v", len(list), err)
	}
	if got := list[9]; got.Addr != netip.MustParseAddr("192.0.2.1") || got.Protocol != "imap" || got.Mechanism != "PLAIN" || !got.OK() {
		t.Errorf("the first: %+v", got)
	}
	if !slices.IsSortedFunc(list, func(a, b auth.Record) int { return b.At.Compare(a.At) }) {
		t.Error("not in order")
	}
	var attack []auth.Record
	for i := range loginsKept + 100 {
		attack = append(attack, login("203.0.113.1", "", fmt.Sprint("refused ", i)))
	}
	places, err := f.s.Places(t.Context(), time.Now().Add(-24*time.Hour), 10)
	if err != nil || len(places) == 0 || places[0].User == "" || !places[0].Addr.IsValid() {
		t.Errorf("places %+v, %v", places, err)
	}
	if _, err := f.s.AddLogins(t.Context(), attack); err != nil {
		t.Fatal(err)
	}
	if n := f.number(`select count(*) from logins where not ok`); n != loginsKept {
		t.Errorf("%d that failed", n)
	}
	if n := f.number(`select count(*) from logins where ok`); n != 9 {
		t.Errorf("%d that succeeded are left of 9", n)
	}
	if err := f.s.Sweep(t.Context(), time.Now().Add(DefaultLoginHistory+placeKept)); err != nil {
		t.Fatal(err)
	}
	if n := f.number(`select (select count(*) from logins) + (select count(*) from login_places)`); n != 0 {
		t.Errorf("%d old rows left", n)
	}
}
