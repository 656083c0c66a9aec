package postgres

import (
	"errors"
	"testing"
	"time"

	"postern/pkg/auth"
	"postern/pkg/store"
)

func (f *fixture) bans(s *Store) map[string]auth.Ban {
	f.Helper()
	list, err := s.Bans(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	byWho := make(map[string]auth.Ban)
	for _, b := range list {
		byWho[b.Who] = b
	}
	return byWho
}

// TestBans has one process ban and another see it; who comes back is banned for longer; lifting forgets.
func TestBans(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := time.Now()
	ban := auth.Ban{Who: "203.0.113.7/32", Reason: "20 wrong passwords", Since: now, Until: now.Add(15 * time.Minute)}
	ghost := auth.Ban{Who: "ghost@example.org", Reason: "10 wrong passwords", Since: now, Until: now.Add(time.Minute)}
	there := f.open()
	for range 2 { // twice: another process has found the same
		if err := f.s.AddBans(t.Context(), []auth.Ban{ban, ghost}); err != nil {
			t.Fatal(err)
		}
	}
	got := f.bans(there)[ban.Who]
	if left := time.Until(got.Until); got.Reason != ban.Reason || got.Times != 1 || left < 14*time.Minute || left > 16*time.Minute {
		t.Fatalf("ban: %+v", got)
	}
	for i, want := range []time.Duration{30 * time.Minute, time.Hour} {
		f.exec(`update bans set until = now() where who = $1`, ban.Who)
		if f.bans(there)[ban.Who].Who != "" {
			t.Error("a ban that is over is listed")
		}
		if err := there.AddBans(t.Context(), []auth.Ban{ban}); err != nil {
			t.Fatal(err)
		}
		got = f.bans(f.s)[ban.Who]
		if left := time.Until(got.Until); got.Times != i+2 || left < want-time.Minute || left > want+time.Minute {
			t.Errorf("ban no. %d: %+v, for %v", i+2, got, left)
		}
	}
	f.exec(`update bans set until = now(), times = 1000 where who = $1`, ban.Who)
	if err := there.AddBans(t.Context(), []auth.Ban{ban}); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(f.bans(f.s)[ban.Who].Until); left < longestBan-time.Minute || left > longestBan+time.Minute {
		t.Errorf("the longest ban is for %v", left)
	}
	if err := f.s.LiftBan(t.Context(), "Ghost@Example.org"); err != nil {
		t.Error(err)
	}
	if err := f.s.LiftBan(t.Context(), ghost.Who); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("lifted twice: %v", err)
	}
	if n := len(f.bans(there)); n != 1 {
		t.Errorf("%d bans, want 1", n)
	}
	if err := f.s.Sweep(t.Context(), time.Now().Add(3*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if n := f.number(`select count(*) from bans`); n != 0 {
		t.Errorf("%d old bans left", n)
	}
}
