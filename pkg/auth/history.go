package auth

import (
	"context"
	"net/netip"
	"slices"
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
	recallTime     = time.Minute
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
	// Places returns the user and address of logins that succeeded since then, each pair once, the latest first, at most so
	// many.
	Places(ctx context.Context, since time.Time, most int) ([]Record, error)
}

// ledger holds logins until they are written. It is safe for concurrent use.
type ledger struct {
	history History // nil: none
	novel   func(context.Context, Record)
	log     *zap.Logger
	now     func() time.Time

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

// name adds what a client has said of itself after its login, if that has not been written yet. p had said nothing before.
func (l *ledger) name(id Identity, p Peer, client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, mech := range append([]string{"LOGIN"}, allMechanisms...) {
		kind := Record{Account: id.Account, User: id.User, Addr: p.Addr, Protocol: p.Protocol, Mechanism: mech, Result: "ok"}
		r, ok := l.waiting[kind]
		if !ok {
			continue
		}
		if r.Count--; r.Count == 0 {
			delete(l.waiting, kind)
		}
		kind.Client = clean(client)
		named, again := l.waiting[kind]
		if !again {
			named = &Record{}
			*named = kind
			l.waiting[kind] = named
		}
		named.At = r.At
		named.Count++
		return
	}
}

// recall has the places known again from where there were logins before this process began: until then bans of an account
// hold there too.
func (a *Auth) recall(ctx context.Context) {
	if a.opt.History == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, recallTime)
	defer cancel()
	places, err := a.opt.History.Places(ctx, a.opt.Now().Add(-knownFor), maxCounters)
	if err != nil && ctx.Err() == nil {
		a.opt.Log.Warn("from where there were logins is not known; learning it anew", zap.Error(err))
	}
	for _, r := range slices.Backward(places) { // the latest are the last to be forgotten
		a.throttle.known.put(a.pairOf(r.User, prefixOf(r.Addr)), struct{}{})
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
		err := l.write(context.WithoutCancel(ctx), l.now(), last)
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
func (l *ledger) write(ctx context.Context, now time.Time, last bool) error {
	l.mu.Lock()
	var records []Record
	young := make(map[Record]*Record)
	for kind, r := range l.waiting {
		if !last && r.OK() && r.Client == "" && now.Sub(r.At) < ledgerEvery/2 {
			young[kind] = r // it may have something to say of itself yet
			continue
		}
		records = append(records, *r)
	}
	dropped := l.dropped
	l.waiting, l.failures, l.dropped = young, make(map[store.AccountID]int), 0
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
