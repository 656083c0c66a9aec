package listen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): a proxy in front says who the client is before the
// client's first octet. Connections from Options.Proxies must begin with it; from nobody else is it understood, so that
// nobody else can claim to be somebody.

const (
	maxProxyV1 = 107     // octets of a header in version 1, its CRLF included (§2.1)
	maxProxyV2 = 4 << 10 // octets of one in version 2; there is room for what a proxy tells of TLS
	// maxIntroductions is how many connections from proxies may be at their header at once.
	maxIntroductions = 1024
)

var (
	errNoProxyHeader  = errors.New("no PROXY header")
	errBadProxyHeader = errors.New("malformed PROXY header")
	errProxyChecksum  = errors.New("the PROXY header's checksum is wrong")

	signatureV1 = []byte("PROXY ")
	signatureV2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// proxiedConn is a connection that came through a proxy.
type proxiedConn struct {
	net.Conn
	remote net.Addr
	rest   []byte // what was read beyond the header
}

// RemoteAddr is the client's address, not the proxy's.
func (c *proxiedConn) RemoteAddr() net.Addr { return c.remote }

func (c *proxiedConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// trusted reports whether a peer is a proxy that must introduce its clients.
func (l *listener) trusted(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, p := range l.o.Proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// introduce reads the header of a connection from a proxy and hands on the client's.
func (l *listener) introduce(c net.Conn) {
	conn, err := readProxyHeader(c, l.o.Handshake)
	if err != nil {
		l.refused(Unproxied, "it must begin with a PROXY header", zap.Stringer("proxy", c.RemoteAddr()), zap.Error(err))
		c.Close()
		return
	}
	l.handOn(conn)
}

// handOn gives a connection to Accept.
func (l *listener) handOn(c net.Conn) {
	admitted := l.admit(c)
	if admitted == nil {
		return
	}
	select {
	case l.ready <- admitted:
	case <-l.ended:
		admitted.Close()
	}
}

// readProxyHeader takes the header off a connection.
func readProxyHeader(c net.Conn, limit time.Duration) (net.Conn, error) {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	conn := &proxiedConn{Conn: c, remote: c.RemoteAddr()}
	buf := make([]byte, 0, 512)
	for {
		client, size, err := parseProxyHeader(buf)
		switch {
		case err == nil:
			if client.IsValid() {
				conn.remote = net.TCPAddrFromAddrPort(client)
			}
			conn.rest = buf[size:]
			return conn, c.SetReadDeadline(time.Time{})
		case !errors.Is(err, io.ErrUnexpectedEOF):
			return nil, err
		}
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 && err != nil {
			return nil, fmt.Errorf("read the PROXY header: %w", err)
		}
	}
}

// parseProxyHeader reads the header at the beginning of b: the client's address, which is invalid when the proxy speaks for
// itself or does not know it, and how long the header is. io.ErrUnexpectedEOF means that there must be more of it.
func parseProxyHeader(b []byte) (client netip.AddrPort, size int, err error) {
	switch {
	case begins(b, signatureV2):
		return parseProxyV2(b)
	case begins(b, signatureV1):
		return parseProxyV1(b)
	}
	return client, 0, errNoProxyHeader
}

// begins reports whether b begins with prefix, as far as it goes.
func begins(b, prefix []byte) bool {
	n := min(len(b), len(prefix))
	return bytes.Equal(b[:n], prefix[:n])
}

// parseProxyV1 reads "PROXY TCP4 192.0.2.1 192.0.2.2 56324 993\r\n" (§2.1).
func parseProxyV1(b []byte) (client netip.AddrPort, size int, err error) {
	end := bytes.Index(b[:min(len(b), maxProxyV1)], []byte("\r\n"))
	switch {
	case end >= 0:
	case len(b) >= maxProxyV1:
		return client, 0, errBadProxyHeader
	default:
		return client, 0, io.ErrUnexpectedEOF
	}
	words := strings.Split(string(b[:end]), " ")
	if len(words) >= 2 && words[1] == "UNKNOWN" {
		return client, end + 2, nil
	}
	if len(words) != 6 {
		return client, 0, errBadProxyHeader
	}
	client, err = addrOf(words[1], words[2], words[4])
	if err == nil {
		_, err = addrOf(words[1], words[3], words[5]) // ours: it must make sense, and that is all
	}
	return client, end + 2, err
}

// addrOf reads an address and a port of the family TCP4 or TCP6.
func addrOf(family, address, port string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(address)
	n, perr := strconv.ParseUint(port, 10, 16)
	fits := family == "TCP4" && addr.Is4() || family == "TCP6" && addr.Is6()
	if err != nil || perr != nil || !fits || addr.Zone() != "" {
		return netip.AddrPort{}, errBadProxyHeader
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}

const (
	proxyV2Fixed = 16 // octets in front of the addresses
	proxyV2Local = 0x20
	proxyV2Proxy = 0x21
	proxyV2TCP4  = 0x11
	proxyV2TCP6  = 0x21
)

// parseProxyV2 reads the binary form (§2.2).
func parseProxyV2(b []byte) (client netip.AddrPort, size int, err error) {
	if len(b) < proxyV2Fixed {
		return client, 0, io.ErrUnexpectedEOF
	}
	size = proxyV2Fixed + int(binary.BigEndian.Uint16(b[14:]))
	command, family := b[12], b[13]
	switch {
	case size > maxProxyV2 || command != proxyV2Local && command != proxyV2Proxy:
		return client, 0, errBadProxyHeader
	case len(b) < size:
		return client, 0, io.ErrUnexpectedEOF
	}
	header, n := b[:size], 0
	switch family {
	case proxyV2TCP4:
		n = 4
	case proxyV2TCP6:
		n = 16
	}
	body := header[proxyV2Fixed:]
	if len(body) < 2*n+4 && n > 0 {
		return client, 0, errBadProxyHeader
	}
	if n > 0 {
		if err := checkProxySum(header, proxyV2Fixed+2*n+4); err != nil {
			return client, 0, err
		}
	}
	if command == proxyV2Local || n == 0 { // a health check, or no address to tell
		return client, size, nil
	}
	addr, _ := netip.AddrFromSlice(body[:n])
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(body[2*n:])), size, nil
}

const (
	proxyTypeCRC32C = 0x03
	proxyTypeLength = 3 // octets in front of a value
)

// checkProxySum walks the values behind the addresses and holds the header to its checksum, if it has one (§2.2.3).
func checkProxySum(header []byte, from int) error {
	for at := from; at < len(header); {
		if len(header)-at < proxyTypeLength {
			return errBadProxyHeader
		}
		kind, n := header[at], int(binary.BigEndian.Uint16(header[at+1:]))
		value := at + proxyTypeLength
		if n > len(header)-value || kind == proxyTypeCRC32C && n != 4 {
			return errBadProxyHeader
		}
		if kind == proxyTypeCRC32C {
			blank := bytes.Clone(header)
			clear(blank[value : value+4])
			if crc32.Checksum(blank, crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(header[value:]) {
				return errProxyChecksum
			}
		}
		at = value + n
	}
	return nil
}
