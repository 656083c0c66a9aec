package serve

import (
	"testing"
	"time"
)

// TestPatience: one who keeps to the least rate is waited for without end; the others for about as long as one who says nothing.
func TestPatience(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		minRate int
		octets  int           // of a read or write
		each    time.Duration // how long one takes
		waited  time.Duration // in all; 0: for ever
	}{
		{name: "silence", each: time.Second, waited: time.Minute},
		{name: "an octet a second", octets: 1, each: time.Second, waited: time.Minute},
		{name: "half the rate", octets: 250, each: time.Second, waited: 2 * time.Minute},
		{name: "the rate", octets: 500, each: time.Second},
		{name: "the rate in large pieces", octets: 25_000, each: 50 * time.Second},
		{name: "no rate", minRate: -1, octets: 1, each: 59 * time.Second},
		{name: "no rate and silence", minRate: -1, each: 59 * time.Second, waited: 2 * 59 * time.Second},
	} {
		p := Limits{Stall: time.Minute, MinRate: tc.minRate}.Patience()
		var waited time.Duration
		for p.Left() > 0 && waited < time.Hour {
			p.Spent(tc.each, tc.octets)
			waited += tc.each
		}
		if tc.waited == 0 {
			tc.waited = time.Hour
		}
		if waited < tc.waited || waited > tc.waited+2*tc.each {
			t.Errorf("%s: waited %v, want %v", tc.name, waited, tc.waited)
		}
	}
}

// TestPatienceIsNotSaved: what came fast before does not count for one who stalls now.
func TestPatienceIsNotSaved(t *testing.T) {
	t.Parallel()
	p := Limits{Stall: time.Minute}.Patience()
	p.Spent(time.Second, 100<<20)
	if p.Left() != time.Minute {
		t.Errorf("left %v", p.Left())
	}
}

// TestPatienceRests: a session of weeks is not ended for what it has been waited for in all of them.
func TestPatienceRests(t *testing.T) {
	t.Parallel()
	p := Limits{Stall: time.Minute}.Patience()
	for range 1000 {
		p.Spent(2*time.Second, 10)
		p.Rested(5 * time.Second)
	}
	if p.Left() != time.Minute {
		t.Errorf("left %v", p.Left())
	}
	p.Spent(40*time.Second, 0)
	p.Rested(10 * time.Second)
	if p.Left() != 30*time.Second {
		t.Errorf("left %v", p.Left())
	}
}

// TestPatiencePiece: what is written at once does not take one who keeps to the least rate longer than there is time.
func TestPatiencePiece(t *testing.T) {
	t.Parallel()
	for stall, want := range map[time.Duration]int{10 * time.Second: 2500, DefaultStall: 75_000, time.Hour: 900_000} {
		if p := (Limits{Stall: stall}).Patience(); p.Piece() != want {
			t.Errorf("%v: %d", stall, p.Piece())
		}
	}
	if p := (Limits{MinRate: -1}).Patience(); p.Piece() != anyPiece {
		t.Errorf("any octet will do: %d", p.Piece())
	}
}

// TestPace: a burst goes through at once, what follows at the rate, and a pause brings the burst back.
func TestPace(t *testing.T) {
	t.Parallel()
	p := Limits{Rate: 10, Burst: 100}.Pace()
	now := time.Now()
	run := func(n int) (took time.Duration) {
		for range n {
			wait := p.Wait(now)
			now = now.Add(wait)
			took += wait
		}
		return took
	}
	near := func(took, want time.Duration) {
		t.Helper()
		if took < want-time.Millisecond || took > want+time.Millisecond {
			t.Errorf("took %v, want %v", took, want)
		}
	}
	near(run(100), 0)
	near(run(50), 5*time.Second)
	now = now.Add(2 * time.Second)
	near(run(30), time.Second)
	now = now.Add(time.Hour)
	near(run(101), 100*time.Millisecond)

	var none *Pace
	if none.Wait(now) != 0 || (Limits{Rate: -1}).Pace().Wait(now) != 0 {
		t.Error("no limit, and yet a wait")
	}
}
