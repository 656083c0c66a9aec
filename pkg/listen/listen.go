// Package listen makes listeners: TCP or a Unix socket, TLS from the first octet, and limits on how many connections
// there may be, in all and from one address. It knows no protocol.
package listen

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// Options says what to listen on and how much to accept.
type Options struct {
	Addr       string      // "host:port" or "unix:/path"
	TLS        *tls.Config // nil: no TLS
	StartTLS   *tls.Config // without TLS: connections have a method Upgrade() net.Conn, which begins it
	Max        int         // connections at once; 0 means 20,000
	MaxPerAddr int         // connections at once from one IPv4 address (an office is one) or IPv6 /64; 0 means 2,000, below 0 no limit
	// Handshake bounds the TLS handshake, which runs with the first Read or Write and never delays Accept; 0 means DefaultHandshake.
	Handshake time.Duration
	// Proxies are networks from which every connection must begin with a PROXY header, which says who the client is; limits
	// then count the client, and RemoteAddr is its address. None: no header is understood.
	Proxies []netip.Prefix
	Log     *zap.Logger // nil: no log
	// Refused is told of each connection that does not get to the protocol, and why, from any goroutine; nil: nobody is.
	Refused func(Reason)
}

// Reason is why a connection does not get to the protocol.
type Reason string

// The reasons there are.
const (
	Full      Reason = "full"      // there are Max
	Crowded   Reason = "address"   // there are MaxPerAddr from there
	Unproxied Reason = "proxy"     // no good PROXY header
	Unshaken  Reason = "handshake" // that of TLS failed, or took too long
)

// keepAlive finds dead peers of idle connections within some minutes (a probe each minute after two, four of them).
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Minute, Interval: time.Minute, Count: 4}

// DefaultHandshake is how long the TLS handshake may take.
const DefaultHandshake = 20 * time.Second

// silence is how long a peer may leave unacknowledged what it has been sent; see limitSilence.
const silence = 8 * time.Minute

// Listen opens a listener. A stale Unix socket is replaced, one that somebody still serves is not. Connections over the
// limits are closed at once; the log tells, if not of each. Closing it gives up the TLS handshakes that are under way, and leaves other
// connections alone.
func Listen(ctx context.Context, o Options) (net.Listener, error) {
	if o.Max == 0 {
		o.Max = 20_000
	}
	if o.MaxPerAddr == 0 {
		o.MaxPerAddr = 2_000
	}
	if o.Handshake == 0 {
		o.Handshake = DefaultHandshake
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	inner, err := open(ctx, o.Addr)
	if err != nil {
		return nil, err
	}
	l := &listener{Listener: inner, o: o, closed: make(chan struct{}), perAddr: make(map[netip.Prefix]int)}
	if config := cmp.Or(o.TLS, o.StartTLS); config != nil {
		l.tls = newGate().guard(config)
	}
	if len(o.Proxies) > 0 {
		l.ready, l.ended = make(chan net.Conn), make(chan struct{})
		go l.receive()
	}
	return l, nil
}

func open(ctx context.Context, addr string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return openUnix(ctx, path)
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: func(_, _ string, c syscall.RawConn) error {
		return limitSilence(c, silence)
	}}
	l, err := lc.Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: something else listens there: %w", addr, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: ports below 1024 need root or CAP_NET_BIND_SERVICE: %w", addr, err)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return l, nil
}

func openUnix(ctx context.Context, path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("listen on unix:%s: another process serves it", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("listen on unix:%s: remove the stale socket: %w", path, err)
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on unix:%s: %w", path, err)
	}
	// The MTA is another user, often of another group; who may come near is decided by the folder.
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on unix:%s: %w", path, err), l.Close())
	}
	return l, nil
}

type listener struct {
	net.Listener
	o      Options
	tls    *tls.Config // guarded by a gate; nil: none
	closed chan struct{}
	once   sync.Once     // closes closed
	ready  chan net.Conn // where there are proxies: those who have said who they are
	ended  chan struct{} // closed when no more will come
	failed error         // why; set before

	mu      sync.Mutex
	total   int                  // guarded by mu
	perAddr map[netip.Prefix]int // guarded by mu

	refusals map[Reason]refusals // guarded by mu
}

// Close stops accepting, and gives up TLS handshakes that are under way: a server that stops need not wait for those.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// maxBackoff is the longest pause after a failed accept.
const maxBackoff = time.Second

// Accept returns the next connection within the limits. A passing failure (no more file descriptors, say) is waited out
// rather than returned, because it would end the server.
func (l *listener) Accept() (net.Conn, error) {
	if l.ready != nil {
		select {
		case c := <-l.ready:
			return c, nil
		case <-l.ended:
			return nil, l.failed
		}
	}
	for {
		c, err := l.next()
		if err != nil {
			return nil, err
		}
		if conn := l.admit(c); conn != nil {
			return conn, nil
		}
	}
}

// next waits for a connection.
func (l *listener) next() (net.Conn, error) {
	pause := 5 * time.Millisecond
	for {
		c, err := l.Listener.Accept()
		if err == nil || !passing(err) {
			return c, err
		}
		l.o.Log.Warn("cannot accept connections, trying on", zap.Error(err), zap.Duration("pause", pause))
		time.Sleep(pause)
		pause = min(2*pause, maxBackoff)
	}
}

// receive takes connections and has the proxies among them say for whom they speak, beside each other: one that is slow
// holds nobody up.
func (l *listener) receive() {
	room := make(chan struct{}, maxIntroductions)
	for {
		c, err := l.next()
		if err != nil {
			l.failed = err
			close(l.ended)
			return
		}
		if !l.trusted(c.RemoteAddr()) {
			l.handOn(c)
			continue
		}
		select {
		case room <- struct{}{}:
			go func() {
				defer func() { <-room }()
				l.introduce(c)
			}()
		default:
			l.refused(Unproxied, "too many wait for a PROXY header", zap.Stringer("proxy", c.RemoteAddr()))
			c.Close()
		}
	}
}

func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// admit counts a connection and wraps it, or closes it and returns nil.
func (l *listener) admit(c net.Conn) net.Conn {
	from := prefixOf(c.RemoteAddr())
	l.mu.Lock()
	full := l.total >= l.o.Max
	crowded := from.IsValid() && l.o.MaxPerAddr > 0 && l.perAddr[from] >= l.o.MaxPerAddr
	if !full && !crowded {
		l.total++
		l.perAddr[from]++
	}
	l.mu.Unlock()
	if full || crowded {
		l.refused(map[bool]Reason{true: Crowded, false: Full}[crowded], "too many",
			zap.Stringer("remote", c.RemoteAddr()), zap.Bool("from_this_address", crowded))
		c.Close()
		return nil
	}
	counted := &countedConn{Conn: c, release: sync.OnceFunc(func() { l.leave(from) })}
	switch {
	case l.o.TLS != nil:
		return newTLSConn(counted, l)
	case l.o.StartTLS != nil:
		return &plainConn{Conn: counted, l: l}
	}
	return counted
}

func (l *listener) leave(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.perAddr[from]--; l.perAddr[from] == 0 {
		delete(l.perAddr, from)
	}
}

// prefixOf is what a limit by address counts: an IPv4 address, or an IPv6 /64, which is one site. Invalid for a socket.
func prefixOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap()
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// countedConn gives its place back when it is closed.
type countedConn struct {
	net.Conn
	release func()
}

func (c *countedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
