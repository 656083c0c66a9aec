package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"
)

// MinLogins is how many accounts a Target needs: the first holds the archive that is read, two have parts of their own, and
// deliveries are spread over the others.
const MinLogins = 5

// Login is one account.
type Login struct {
	Address  string
	Password string
}

// Target is a server to measure.
type Target struct {
	Name string // what the report calls it

	// Where it listens: "host:port", for LMTP also "unix:/path". IMAP and POP3 speak TLS from the first octet. The steps that
	// need what is empty are left out; without IMAP that is all but deliveries.
	LMTP, IMAP, POP3 string

	TLS    *tls.Config // nil trusts what the system trusts
	Logins []Login     // accounts without mail, or left by an earlier Bench; at least MinLogins

	// Memory is what all processes of the server take, in octets; nil leaves out the steps that need it. See MemoryOf.
	Memory func() (int64, error)

	// Restart stops the server, starts it and waits until it serves, so that its memory holds nothing; nil leaves out the steps
	// that need it.
	Restart func(context.Context) error
}

// Options say how much work there is. The zero value of each has a default.
type Options struct {
	Messages int           // in the archive: 2,000
	Burst    int           // messages that one run delivers or appends: 500, and at most a quarter of Messages
	Sample   int           // messages in steps with a command each: 500, and at most Messages
	Idlers   int           // sessions that wait while memory is measured: 200
	Small    bool          // short mails only, for archives of which the mixed ones would take too much room
	Seed     uint64        // another seed makes other mails
	Steps    []string      // names or patterns ("fetch-*") of the steps to prepare for; nil is all
	Least    time.Duration // short work is repeated until a run has taken this long: 300 ms; negative is once

	// Progress is told of long work: done of total things have been done. It may be nil.
	Progress func(what string, done, total int)
}

const (
	defaultMessages = 2000
	defaultBurst    = 500
	defaultIdlers   = 200
	defaultLeast    = 300 * time.Millisecond
)

func (o Options) withDefaults() Options {
	if o.Messages <= 0 {
		o.Messages = defaultMessages
	}
	if o.Burst <= 0 {
		o.Burst = min(defaultBurst, max(o.Messages/4, 1))
	}
	if o.Sample <= 0 {
		o.Sample = defaultBurst
	}
	o.Sample = min(o.Sample, o.Messages)
	if o.Idlers <= 0 {
		o.Idlers = defaultIdlers
	}
	if o.Least == 0 {
		o.Least = defaultLeast
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	return o
}

// Step is one kind of work. Its figure is the median of what its runs say.
type Step struct {
	Name           string // as in Options.Steps
	Title          string // for people
	Group          string // steps of one group stand together
	Unit           string
	HigherIsBetter bool

	needs needs
	run   func(context.Context, *Bench) (float64, error)
}

// needs are what a step cannot do without, beside IMAP.
type needs uint8

const (
	needLMTP needs = 1 << iota
	needPOP3
	needMemory
	needRestart
	needArchive // filled by Open
	noIMAP      // not even IMAP
)

// Steps are all there are, in the order of a report.
func Steps() []Step {
	return slices.Concat(deliverySteps(), selectSteps(), fetchSteps(), writeSteps(), searchSteps(), pushSteps(), pop3Steps(), loginSteps(), memorySteps())
}

// Select returns the steps that the names or patterns mean, in the order of Steps; all if there are none.
func Select(patterns []string) ([]Step, error) {
	all := Steps()
	if len(patterns) == 0 {
		return all, nil
	}
	wanted := make(map[string]bool)
	for _, p := range patterns {
		found := false
		for _, s := range all {
			if ok, err := path.Match(p, s.Name); err != nil {
				return nil, fmt.Errorf("step %q: %w", p, err)
			} else if ok {
				wanted[s.Name], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no step %q", p)
		}
	}
	return slices.DeleteFunc(all, func(s Step) bool { return !wanted[s.Name] }), nil
}

// Figure is what one run of a step says.
type Figure struct {
	Step   string
	Value  float64
	Unit   string
	Reason string // why there is no value: the server cannot do it, or the Target says too little
}

// unable is why a step has no figure though nothing went wrong.
type unable string

func (u unable) Error() string { return string(u) }

// Bench is a server that is being measured. It belongs to one goroutine. It holds nothing between runs, so there is nothing to
// close.
type Bench struct {
	target Target
	o      Options
	corpus *Corpus
	run    string  // part of each Message-ID delivered, so that no server takes a mail for one it has
	next   int     // number of the next mail to deliver
	asked  int     // searches for texts
	sizes  []int32 // of the archive's messages, by their place
	total  int64   // the sum of these

	tls *tls.Config // of connections that do not resume
}

// Open checks the accounts and fills what the steps read from, unless an earlier Bench left it there.
func Open(ctx context.Context, t Target, o Options) (*Bench, error) {
	o = o.withDefaults()
	steps, err := Select(o.Steps)
	if err != nil {
		return nil, err
	}
	if len(t.Logins) < MinLogins {
		return nil, fmt.Errorf("%d accounts are too few: %d are needed, without mail of their own", len(t.Logins), MinLogins)
	}
	b := &Bench{
		target: t, o: o, corpus: NewCorpus(o.Seed, o.Small), next: o.Messages,
		run: fmt.Sprintf("%x", time.Now().UnixNano()), tls: clientTLS(t.TLS),
	}
	if t.IMAP == "" {
		return b, nil
	}
	if err := b.prepare(ctx, slices.ContainsFunc(steps, func(s Step) bool { return s.needs&needArchive != 0 })); err != nil {
		return nil, cancelled(ctx, err)
	}
	return b, nil
}

// Run does a step once.
func (b *Bench) Run(ctx context.Context, s Step) (Figure, error) {
	f := Figure{Step: s.Name, Unit: s.Unit}
	if f.Reason = b.lacks(s.needs); f.Reason != "" {
		return f, nil
	}
	value, err := s.run(ctx, b)
	var u unable
	switch {
	case errors.As(err, &u):
		f.Reason = string(u)
	case err != nil:
		return f, cancelled(ctx, fmt.Errorf("%s: %w", s.Name, err))
	}
	f.Value = value
	return f, nil
}

// lacks says what of a step's needs the target does not have.
func (b *Bench) lacks(n needs) string {
	switch t := b.target; {
	case n&noIMAP == 0 && t.IMAP == "":
		return "no address for IMAP"
	case n&needLMTP != 0 && t.LMTP == "":
		return "no address for LMTP"
	case n&needPOP3 != 0 && t.POP3 == "":
		return "no address for POP3"
	case n&needMemory != 0 && t.Memory == nil:
		return "nothing says how much memory the server takes"
	case n&needRestart != 0 && t.Restart == nil:
		return "nothing restarts the server"
	}
	return ""
}

// cancelled stands in for what went wrong because the work was cancelled.
func cancelled(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// rate repeats work until it has taken long enough, and returns how many things it did a second. The work says how many it
// did and how long that took, so that it can leave out what it had to prepare.
func (b *Bench) rate(once func() (n float64, spent time.Duration, err error)) (float64, error) {
	var n float64
	var spent time.Duration
	for begun := time.Now(); ; {
		more, took, err := once()
		if err != nil {
			return 0, err
		}
		n, spent = n+more, spent+took
		// What is prepared costs time too: a run ends though little of it was work.
		if spent >= b.o.Least || time.Since(begun) >= 4*b.o.Least {
			return n / spent.Seconds(), nil
		}
	}
}

// timed is how long f takes.
func timed(f func() error) (time.Duration, error) {
	begun := time.Now()
	err := f()
	return time.Since(begun), err
}

// latency is the median of several times that f says, in milliseconds.
func latency(times int, f func() (time.Duration, error)) (float64, error) {
	all := make([]float64, times)
	for i := range all {
		d, err := f()
		if err != nil {
			return 0, err
		}
		all[i] = float64(d) / float64(time.Millisecond)
	}
	return median(all), nil
}
