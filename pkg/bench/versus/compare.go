package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"postern/pkg/auth"
	"postern/pkg/bench"
)

// accounts is how many users there are: deliveries are spread over most of them.
const accounts = 24

// password is everybody's.
const password = "correct horse battery staple"

// pair is the two servers, running, with a Bench on each.
type pair struct {
	o             options
	out           io.Writer
	tls           *tls.Config
	ours          *postern
	theirs        *dovecot
	a, b          *bench.Bench
	begun         time.Time
	first, second *progress
}

// compare starts both servers, has them do the work in turns, and stops them.
func compare(ctx context.Context, o options, dir string, out io.Writer) (_ *result, err error) {
	p := &pair{o: o, out: out, begun: time.Now()}
	// Both servers can do more than one key exchange, and would choose different ones.
	p.tls = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}} //nolint:gosec // our own server, on loopback
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := p.start(ctx, dir); err != nil {
		return nil, err
	}
	res := &result{Messages: o.bench.Messages}
	if res.Setting, err = p.setting(ctx, dir); err != nil {
		return nil, err
	}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	res.Work = p.a.Describe()
	steps, err := bench.Select(o.bench.Steps)
	if err != nil {
		return nil, err
	}
	for _, s := range steps {
		r, err := p.measure(ctx, s)
		if err != nil {
			return nil, err
		}
		if _, err := fmt.Fprintf(out, "\r\x1b[K%4.0fs  %s\n", time.Since(p.begun).Seconds(), r.line()); err != nil {
			return nil, err
		}
		if err := p.explain(r); err != nil {
			return nil, err
		}
		res.Rows = append(res.Rows, r)
	}
	if res.Floors, err = p.floors(ctx); err != nil {
		return nil, err
	}
	res.GeometricMean, res.Took = geometricMean(res.Rows), time.Since(p.begun).Seconds()
	return res, nil
}

// start starts both servers with the same users.
func (p *pair) start(ctx context.Context, dir string) error {
	hash, err := auth.Hash(password)
	if err != nil {
		return err
	}
	var users []string
	for _, l := range logins() {
		users = append(users, l.Address)
	}
	p.ours = newPostern(p.o.postern, dir)
	if err := p.ours.start(ctx); err != nil {
		return err
	}
	if err := p.ours.addAccounts(ctx, users, hash); err != nil {
		return err
	}
	p.theirs, err = newDovecot(ctx, dovecotOptions{dir: dir, pair: p.ours.pair(), fsync: p.o.fsync, users: users, hash: hash})
	if err != nil {
		return err
	}
	return p.theirs.start(ctx)
}

// stop stops what has been started.
func (p *pair) stop() error {
	var errs []error
	if p.ours != nil {
		errs = append(errs, p.ours.stop())
	}
	if p.theirs != nil {
		errs = append(errs, p.theirs.close())
	}
	return errors.Join(errs...)
}

// logins are the users of both.
func logins() []bench.Login {
	all := make([]bench.Login, accounts)
	for i := range all {
		all[i] = bench.Login{Address: fmt.Sprintf("user%d@example.org", i), Password: password}
	}
	return all
}

// target is Postern, as a Bench knows it.
func (p *pair) target() bench.Target {
	return bench.Target{
		Name: "Postern", LMTP: p.ours.addr("lmtp"), IMAP: p.ours.addr("imap"), POP3: p.ours.addr("pop3"),
		TLS: p.tls, Logins: logins(), Memory: func() (int64, error) { return bench.MemoryOf(p.ours.pid())() },
		Restart: func(ctx context.Context) error { return errors.Join(p.ours.stop(), p.ours.start(ctx)) },
	}
}

// other is Dovecot.
func (p *pair) other() bench.Target {
	return bench.Target{
		Name: "Dovecot", LMTP: p.theirs.addr(2), IMAP: p.theirs.addr(0), POP3: p.theirs.addr(1),
		TLS: p.tls, Logins: logins(), Memory: func() (int64, error) { return bench.MemoryOf(p.theirs.pid())() },
		Restart: func(ctx context.Context) error { return errors.Join(p.theirs.stop(), p.theirs.start(ctx)) },
	}
}

// open fills both servers.
func (p *pair) open(ctx context.Context) error {
	var err error
	if p.a, p.first, err = p.bench(ctx, p.target()); err != nil {
		return fmt.Errorf("fill Postern: %w; the end of its log:\n%s", err, tail(p.ours.log))
	}
	if p.b, p.second, err = p.bench(ctx, p.other()); err != nil {
		return fmt.Errorf("fill Dovecot: %w; the end of its log:\n%s", err, tail(p.theirs.ownLog()))
	}
	return errors.Join(bench.Calm(ctx, p.ours.pid(), calmLimit), bench.Calm(ctx, p.theirs.pid(), calmLimit))
}

func (p *pair) bench(ctx context.Context, t bench.Target) (*bench.Bench, *progress, error) {
	told := &progress{start: p.begun, who: t.Name}
	if f, ok := p.out.(*os.File); ok && isTerminal(f) {
		told.out = f
	}
	o := p.o.bench
	o.Progress = told.tell
	b, err := bench.Open(ctx, t, o)
	return b, told, err
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const (
	quickRounds = 9               // of steps that take no time
	quickFor    = 4 * time.Second // what all rounds of a step may take, once there are enough of them
	runLimit    = 10 * time.Minute
	// calmLimit is how long a server may go on with what it has left for later, such as an index of what has come: it would
	// slow the other one in its turn.
	calmLimit = 20 * time.Second
)

// measure runs one step on both servers in turns. A server that fails has a row that says so; the other goes on.
func (p *pair) measure(ctx context.Context, s bench.Step) (row, error) {
	r := row{Name: s.Name, Title: s.Title, Group: s.Group, Unit: s.Unit, HigherIsBetter: s.HigherIsBetter}
	begun := time.Now()
	for i := 0; i < p.o.rounds || i < quickRounds && time.Since(begun) < quickFor; i++ {
		r.Ours.next(ctx, p.a, s)
		if err := r.Ours.calm(ctx, p.ours.process); err != nil {
			return r, err
		}
		r.Theirs.next(ctx, p.b, s)
		if err := r.Theirs.calm(ctx, p.theirs.process); err != nil {
			return r, err
		}
		if r.Ours.Trouble != "" && r.Theirs.Trouble != "" {
			break
		}
	}
	r.settle()
	return r, nil
}

// explain prints what the servers that have failed say themselves.
func (p *pair) explain(r row) error {
	for _, s := range []struct {
		side
		log string
	}{{r.Ours, p.ours.log}, {r.Theirs, p.theirs.ownLog()}} {
		if s.Failed {
			if _, err := fmt.Fprintf(p.out, "The end of the log:\n%s\n", tail(s.log)); err != nil {
				return err
			}
		}
	}
	return nil
}

// next is another round of one server, unless one has failed. None hangs for ever.
func (s *side) next(ctx context.Context, b *bench.Bench, step bench.Step) {
	if s.Trouble != "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	s.add(b.Run(ctx, step))
}

// calm waits until a server has done what its turn has left for later; one that has failed may not be there any more.
func (s *side) calm(ctx context.Context, server *process) error {
	if s.Trouble != "" {
		return ctx.Err()
	}
	return bench.Calm(ctx, server.pid(), calmLimit)
}

// setting finds out what the figures depend on.
func (p *pair) setting(ctx context.Context, dir string) ([]fact, error) {
	dsn, err := p.ours.database(ctx)
	if err != nil {
		return nil, err
	}
	pg, err := askPostgres(ctx, dsn)
	if err != nil {
		return nil, err
	}
	which, err := versions(ctx, p.o.postern, pg)
	if err != nil {
		return nil, err
	}
	lasting, err := durability(ctx, pg, p.theirs)
	if err != nil {
		return nil, err
	}
	spoken, err := encryption(ctx, p.tls, p.ours.addr("imap"), p.theirs.addr(0))
	if err != nil {
		return nil, err
	}
	return append(append(machine(dir), which...), lasting, spoken), nil
}
