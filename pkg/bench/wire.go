package bench

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

const (
	dialTimeout = time.Minute
	silence     = 10 * time.Minute // a server that has said nothing for so long will say nothing more
)

// ErrUntrusted is returned when the server's certificate is not trusted.
var ErrUntrusted = errors.New("the server's certificate is not trusted")

// ErrRefused is returned when the server refuses a login.
var ErrRefused = errors.New("the server refuses the login")

// wire is a connection: lines in, anything out. It is closed when its context ends.
type wire struct {
	*reader
	w    *bufio.Writer
	conn net.Conn
	stop func() bool
}

// deadlined gives every read and write a limit, so that a server that hangs is an error.
type deadlined struct{ net.Conn }

func (d deadlined) Read(p []byte) (int, error) {
	_ = d.SetReadDeadline(time.Now().Add(silence))
	return d.Conn.Read(p)
}

func (d deadlined) Write(p []byte) (int, error) {
	_ = d.SetWriteDeadline(time.Now().Add(silence))
	return d.Conn.Write(p)
}

// dial connects to "host:port" or "unix:/path", with TLS unless conf is nil.
func dial(ctx context.Context, addr string, conf *tls.Config) (*wire, error) {
	network := "tcp"
	if p, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", p
	}
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	conn = deadlined{conn}
	if conf != nil {
		if conn, err = secure(ctx, conn, addr, conf); err != nil {
			return nil, err
		}
	}
	return &wire{
		reader: newReader(conn), w: bufio.NewWriterSize(conn, bufferSize), conn: conn,
		stop: context.AfterFunc(ctx, func() { conn.Close() }),
	}, nil
}

func secure(ctx context.Context, conn net.Conn, addr string, conf *tls.Config) (net.Conn, error) {
	conf = conf.Clone() // it keeps the cache of sessions
	host, _, _ := strings.Cut(addr, ":")
	if h, _, err := net.SplitHostPort(addr); err == nil {
		host = h
	}
	conf.ServerName = cmp.Or(conf.ServerName, host)
	c := tls.Client(conn, conf)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		conn.Close()
		if wrong, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			return nil, fmt.Errorf("%s: %w: %w", addr, ErrUntrusted, wrong.Err)
		}
		if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
			return nil, fmt.Errorf("%s does not speak TLS from the first octet, as it must (993, 995): %w", addr, err)
		}
		return nil, fmt.Errorf("TLS with %s: %w", addr, err)
	}
	return c, nil
}

// clientTLS is what connections use that make a full handshake.
func clientTLS(given *tls.Config) *tls.Config {
	if given == nil {
		given = &tls.Config{RootCAs: (*x509.CertPool)(nil)}
	}
	conf := given.Clone()
	conf.ClientSessionCache = nil
	return conf
}

// write sends what is needed without a copy where it is long.
func (c *wire) write(parts ...string) {
	for _, p := range parts {
		_, _ = c.w.WriteString(p) // the error stays until Flush
	}
}

// close ends the connection without a word.
func (c *wire) close() {
	c.stop()
	c.conn.Close()
}
