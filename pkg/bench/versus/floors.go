package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"postern/pkg/bench"
	"postern/pkg/store/postgres/floor"
)

// floorBurst is how many messages one run delivers: what begins with it, on either side, is then a small part of it.
const floorBurst = 4000

// floorKind is what a step of Postern's is held against: the least that must be done for the same end.
type floorKind struct {
	step  string // name
	title string
	run   func(ctx context.Context, p *pair, w floorWork) (float64, error) // in the step's unit
}

// floorWork is what the step did in the round before.
type floorWork struct {
	mails  [][]byte // that it delivered
	octets int64    // that it read
}

// floorKinds are those there are.
var floorKinds = []floorKind{
	{"deliver-16", "Delivery by 16 connections, of bare INSERTs of the same octets with a commit each by 16 connections", bareInserts(16)},
	{"deliver-64", "Delivery by 64 connections, of bare INSERTs of the same octets with a commit each by 64 connections", bareInserts(64)},
	{"fetch-bodies", "FETCH of all bodies at once, of the same octets over one TLS connection", bareTLS},
}

// floors measures Postern against what nothing could be faster than, in turns as well.
func (p *pair) floors(ctx context.Context) ([]row, error) {
	var rows []row
	for _, k := range floorKinds {
		steps, err := bench.Select([]string{k.step})
		if err != nil {
			return nil, err
		}
		if !p.wanted(k.step) {
			continue
		}
		r, err := p.against(ctx, k, steps[0])
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// wanted reports whether a step is among those that were asked for.
func (p *pair) wanted(name string) bool {
	steps, err := bench.Select(p.o.bench.Steps)
	for _, s := range steps {
		if s.Name == name {
			return true
		}
	}
	return err != nil
}

// against runs a step of Postern's and its floor in turns. A Bench of its own delivers the mails of the corpus from the first
// that is not in the archive, so we know which.
func (p *pair) against(ctx context.Context, k floorKind, s bench.Step) (row, error) {
	r := row{Name: s.Name, Title: k.title, Group: "Floors", Unit: s.Unit, HigherIsBetter: s.HigherIsBetter}
	o := p.o.bench
	o.Steps, o.Burst = []string{s.Name}, floorBurst
	b, err := bench.Open(ctx, p.target(), o)
	if err != nil {
		return r, err
	}
	work := b.Describe()
	corpus := bench.NewCorpus(work.Seed, work.Small)
	next := work.Messages
	for range p.o.rounds {
		r.Ours.add(b.Run(ctx, s))
		if err := r.Ours.calm(ctx, p.ours.process); err != nil {
			return r, err
		}
		w := floorWork{octets: work.Octets, mails: make([][]byte, work.Burst)}
		for i := range w.mails {
			w.mails[i] = corpus.Mail(next)
			next++
		}
		v, err := k.run(ctx, p, w)
		if err := cmp.Or(ctx.Err(), r.Ours.calm(ctx, p.ours.process)); err != nil {
			return r, err
		}
		r.Theirs.add(bench.Figure{Value: v}, err)
	}
	r.settle()
	return r, nil
}

// bareInserts puts the mails into a table of the same PostgreSQL by so many connections, as many as deliver, and returns how many
// a second.
func bareInserts(conns int) func(context.Context, *pair, floorWork) (float64, error) {
	return func(ctx context.Context, p *pair, w floorWork) (_ float64, err error) {
		dsn, err := p.ours.database(ctx)
		if err != nil {
			return 0, err
		}
		f, err := floor.Open(ctx, dsn, conns)
		if err != nil {
			return 0, err
		}
		defer func() {
			err = errors.Join(err, f.Empty(ctx))
			f.Close()
		}()
		if err := f.Insert(ctx, 8*conns, func(int) []byte { return []byte{0} }); err != nil { // connections and statements are there then
			return 0, err
		}
		begun := time.Now()
		err = f.Insert(ctx, len(w.mails), func(i int) []byte { return w.mails[i] })
		return float64(len(w.mails)) / time.Since(begun).Seconds(), err
	}
}

// bareTLS sends the octets over one TLS connection and returns how many millions a second.
func bareTLS(ctx context.Context, p *pair, w floorWork) (float64, error) {
	text, err := os.ReadFile(p.ours.pair())
	if err != nil {
		return 0, err
	}
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return 0, fmt.Errorf("floor: %w", err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
	if err != nil {
		return 0, fmt.Errorf("floor: %w", err)
	}
	defer l.Close()
	go pour(l, w.octets)
	c, err := (&tls.Dialer{Config: p.tls}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("floor: %w", err)
	}
	defer c.Close()
	begun := time.Now()
	if _, err := io.CopyN(io.Discard, bufio.NewReaderSize(c, 64<<10), w.octets); err != nil {
		return 0, fmt.Errorf("floor: %w", err)
	}
	return float64(w.octets) / 1e6 / time.Since(begun).Seconds(), nil
}

// pour sends octets to the first who connects.
func pour(l net.Listener, octets int64) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	p := make([]byte, 64<<10)
	for left := octets; left > 0 && err == nil; left -= int64(len(p)) {
		_, err = c.Write(p[:min(left, int64(len(p)))]) // who reads counts
	}
}
