package serve

import (
	"cmp"
	"context"
	"time"
)

// Limits bound what one client may ask of a server, and how long it may keep it waiting. Zero means the default.
type Limits struct {
	Early int64 // octets that may come before a login; DefaultEarly
	Bad   int   // commands in a row that are none; DefaultBad
	// Rate is how many commands a second are run after the login, DefaultRate, negative: as many as come; and Burst how many more at
	// once, DefaultBurst. A session that exceeds it is slowed down, not ended.
	Rate, Burst int
	// Stall is how long a client may take in the middle of something: to send the rest of a command, to take an answer;
	// DefaultStall. It is more for those who get on: see Patience.
	Stall   time.Duration
	MinRate int // octets a second of those who get on; DefaultMinRate; negative: any octet will do
}

// Defaults of Limits.
const (
	DefaultEarly   = 64 << 10 // several logins with access tokens of 10 KB
	DefaultBad     = 50
	DefaultRate    = 2_000
	DefaultBurst   = 100_000 // a first synchronization that takes message by message
	DefaultStall   = 5 * time.Minute
	DefaultMinRate = 500
)

// MaxEarly is how many octets may come before a login.
func (l Limits) MaxEarly() int64 { return cmp.Or(l.Early, DefaultEarly) }

// MaxBad is how many commands in a row may be none.
func (l Limits) MaxBad() int { return cmp.Or(l.Bad, DefaultBad) }

// Patience is that of a new session.
func (l Limits) Patience() Patience {
	return Patience{most: cmp.Or(l.Stall, DefaultStall), rate: cmp.Or(l.MinRate, DefaultMinRate)}
}

// Pace is that of a new login.
func (l Limits) Pace() *Pace {
	p := &Pace{rate: float64(cmp.Or(l.Rate, DefaultRate)), burst: float64(cmp.Or(l.Burst, DefaultBurst))}
	p.left = p.burst
	return p
}

// Patience is how long a session still waits for a client that is in the middle of something. Waiting uses it up; octets that
// move, and the time between commands, restore it, so that one who keeps to the least rate is waited for without end, and one who sends or takes an octet now
// and then is not.
type Patience struct {
	most time.Duration
	rate int
	used time.Duration
}

// Left is how long the next read or write may take; it may be negative.
func (p *Patience) Left() time.Duration { return p.most - p.used }

// Octets of a Piece at least: those who are slow acknowledge about as many at once; and of one where there is no least rate.
const (
	leastPiece = 1 << 10
	anyPiece   = 4 << 10
)

// Piece is how many octets may be written at once, so that one who keeps to the least rate takes them in half of the time that
// there is: what has been taken of a write is known at its end only.
func (p *Patience) Piece() int {
	if p.rate <= 0 {
		return anyPiece
	}
	return max(leastPiece, int(p.most.Seconds()/2)*p.rate)
}

// Spent accounts for a read or write of so many octets.
func (p *Patience) Spent(took time.Duration, octets int) {
	p.used += took
	switch {
	case p.rate > 0:
		p.used -= time.Duration(octets) * time.Second / time.Duration(p.rate)
	case octets > 0:
		p.used = 0
	}
	p.used = max(p.used, 0)
}

// Rested accounts for a wait for the client's next command, when nothing is owed to anybody: a session that lasts for weeks may be
// slow for some seconds now and then.
func (p *Patience) Rested(took time.Duration) { p.used = max(p.used-took, 0) }

// Pace bounds commands by the time: a bucket of Burst tokens to which Rate are added in each second. The nil Pace has none.
type Pace struct {
	rate, burst float64
	left        float64   // tokens; negative: those of commands that were let through and have to be waited for
	at          time.Time // when left was that
}

// Await waits for the turn of a command, at most until ctx ends.
func Await(ctx context.Context, turn time.Duration) {
	timer := time.NewTimer(turn)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Wait takes the token of a command that comes now, and says how long it has to wait for it.
func (p *Pace) Wait(now time.Time) time.Duration {
	if p == nil || p.rate <= 0 {
		return 0
	}
	if !p.at.IsZero() {
		p.left = min(p.burst, p.left+p.rate*now.Sub(p.at).Seconds())
	}
	p.at = now
	p.left--
	if p.left >= 0 {
		return 0
	}
	return time.Duration(-p.left / p.rate * float64(time.Second))
}
