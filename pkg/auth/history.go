package auth

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode"

	"go.uber.org/zap"

	"postern/pkg/store"
)

const (
	ledgerEvery    = 2 * time.Second
	ledgerKinds    = 5000 // different logins that may wait to be written
	ledgerFailures = 10   // of these, those of one account that failed
	maxProgram     = 100  // runes of what a client says of itself
)

// Record is a login of an account, or several within some seconds that differ in nothing but the time.
type Record struct {
	Account   store.AccountID
	User      string // its address
	At        time.Time
	Count     int
	Addr      netip.Addr // invalid: a socket of this machine
	Protocol  string
	Mechanism string
	Client    string // what the client said of itself, or ""
	Result    string // "ok", or why it was refused
}

// OK reports whether it succeeded.
func (r *Record) OK() bool { return r.Result == "ok" }

// Place is the network that counts as one place: a /24, or of IPv6 a /48; "" for a socket of this machine.
func (r *Record) Place() string {
	if p := siteOf(r.Addr); p.IsValid() {
		return p.String()
	}
	return ""
}

// History is where logins are kept.
type History interface {
	// AddLogins adds logins, and returns those that came from a place, or by a client, from which there has been none to an
	// account that has had others.
	AddLogins(ctx context.Context, records []Record) (novel []Record, err error)
}

// ledger holds logins until they are written. It is safe for concurrent use.
type ledger struct {
	history History // nil: none
	novel   func(context.Context, Record)
	log     *zap.Logger

	mu       sync.Mutex
	waiting  map[Record]*Record      // guarded by mu; by what they have in common
	failures map[store.AccountID]int // guarded by mu; of waiting
	dropped  int                     // guarded by mu
}

// note takes down a login of an account that there is. why is "" for one that succeeded.
func (a *Auth) note(t *attempt, why string) {
	if !t.known || a.ledger.history == nil {
		return
	}
	if why == "" {
		why = "ok"
	}
	a.ledger.add(Record{
		Account: t.cred.Account, User: t.cred.User, At: a.opt.Now(), Count: 1, Addr: t.peer.Addr, Protocol: t.peer.Protocol,
		Mechanism: t.mech, Client: clean(t.peer.Client), Result: why,
	})
}

// clean makes what a client said fit to be kept and shown.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if runes := []rune(s); len(runes) > maxProgram {
		return string(runes[:maxProgram])
	}
	return s
}

// add never waits: what is too much is counted only.
func (l *ledger) add(r Record) {
	kind := r
	kind.At, kind.Count = time.Time{}, 0
	l.mu.Lock()
	defer l.mu.Unlock()
	if same, ok := l.waiting[kind]; ok {
		same.At = r.At
		same.Count++
		return
	}
	if len(l.waiting) >= ledgerKinds || !r.OK() && l.failures[r.Account] >= ledgerFailures {
		l.dropped++
		return
	}
	if l.waiting == nil {
		l.waiting, l.failures = make(map[Record]*Record), make(map[store.AccountID]int)
	}
	l.waiting[kind] = &r
	if !r.OK() {
		l.failures[r.Account]++
	}
}

// keep writes the history until ctx ends.
func (l *ledger) keep(ctx context.Context) {
	if l.history == nil {
		return
	}
	tick := time.NewTicker(ledgerEvery)
	defer tick.Stop()
	for faulty := false; ; {
		last := false
		select {
		case <-ctx.Done():
			last = true
		case <-tick.C:
		}
		err := l.write(context.WithoutCancel(ctx))
		if err != nil && !faulty {
			l.log.Warn("the login history is not written for now", zap.Error(err))
		}
		faulty = err != nil
		if last {
			return
		}
	}
}

// write writes what waits. What cannot be written is lost: it is in the log too.
func (l *ledger) write(ctx context.Context) error {
	l.mu.Lock()
	var records []Record
	for _, r := range l.waiting {
		records = append(records, *r)
	}
	dropped := l.dropped
	l.waiting, l.failures, l.dropped = nil, nil, 0
	l.mu.Unlock()
	if dropped > 0 {
		l.log.Warn("too many logins for the history", zap.Int("left_out", dropped))
	}
	if len(records) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*ledgerEvery)
	defer cancel()
	novel, err := l.history.AddLogins(ctx, records)
	if err != nil {
		return err
	}
	for _, r := range novel {
		if l.novel != nil {
			l.novel(ctx, r)
		}
	}
	return nil
}
