package listen

import (
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
		if r, ok := hello.Conn.(*records); ok {
			if err := r.enter(hello.Context(), g); err != nil {
				return nil, err
			}
		}
		if inner.GetConfigForClient != nil {
			if c, err := inner.GetConfigForClient(hello); c != nil || err != nil {
				return c, err
			}
		}
		return inner, nil
	}}
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
