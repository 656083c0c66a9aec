package listen

import (
	"cmp"
	"context"
	"crypto/tls"
	"runtime"
)

// A gate lets only some TLS handshakes of a listener compute at once. Each takes the better part of a millisecond of a
// processor: without it, a flood of connections would have those who are logged in wait behind all of it. A handshake
// that waits for its client is not counted.
type gate chan struct{}

func newGate() gate { return make(gate, 2*runtime.GOMAXPROCS(0)) }

// guard returns a configuration that does what inner does once the gate has let the handshake through: it has read the
// client's first message then.
func (g gate) guard(inner *tls.Config) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c := inner
		if inner.GetConfigForClient != nil {
			chosen, err := inner.GetConfigForClient(hello)
			if err != nil {
				return nil, err
			}
			c = cmp.Or(chosen, inner)
		}
		r, ok := hello.Conn.(*records)
		if !ok {
			return c, nil
		}
		return g.lookAway(r, c), r.enter(hello.Context(), g)
	}}
}

// lookAway returns c such that the place is given back while the certificate is looked for: a database or a CA may be asked,
// and those who want other names must not wait for it. It is a copy for one handshake: the keys of tickets change in c.
func (g gate) lookAway(r *records, c *tls.Config) *tls.Config {
	look := c.GetCertificate
	if look == nil {
		return c
	}
	c = c.Clone()
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		r.leave()
		cert, err := look(hello)
		if err != nil {
			return nil, err
		}
		return cert, r.enter(hello.Context(), g)
	}
	return c
}

// enter waits for a place, which is given back when the answer to the client's first message goes out, or by leave.
func (r *records) enter(ctx context.Context, g gate) error {
	select {
	case g <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.in = g
	return nil
}

// leave gives the place back, if there is one.
func (r *records) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaveLocked()
}

func (r *records) leaveLocked() {
	if r.in != nil {
		<-r.in
		r.in = nil
	}
}
