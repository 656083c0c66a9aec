package listen

import (
	"net"
	"sync"
)

// recordsSize is room for the TLS records of one large Write: 66 KiB and what encryption adds.
const recordsSize = 68 << 10

var recordBuffers = sync.Pool{New: func() any { return new([recordsSize]byte) }}

// records is a connection below TLS that can hold back what is written to it. crypto/tls writes record by record; of a
// large answer they all go out with one system call, and wake the peer once. Nothing is held between two Writes above it.
type records struct {
	net.Conn

	mu   sync.Mutex // alerts are written beside data
	held *[recordsSize]byte
	n    int  // octets in held
	in   gate // in which this connection has a place
}

// hold lets Write keep what it is given until flush.
func (r *records) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		r.held = recordBuffers.Get().(*[recordsSize]byte)
	}
}

// Write implements net.Conn.
func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaveLocked()
	if r.held != nil && r.n+len(p) <= recordsSize {
		r.n += copy(r.held[r.n:], p)
		return len(p), nil
	}
	if err := r.send(); err != nil {
		return 0, err
	}
	return r.Conn.Write(p)
}

// flush sends what is held.
func (r *records) flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.send()
	if r.held != nil {
		recordBuffers.Put(r.held)
		r.held = nil
	}
	return err
}

// send writes what is in held. The caller holds mu.
func (r *records) send() error {
	if r.n == 0 {
		return nil
	}
	_, err := r.Conn.Write(r.held[:r.n])
	r.n = 0
	return err
}
