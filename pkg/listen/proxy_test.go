package listen

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// v2 makes a header of version 2.
func v2(command, family byte, body string) string {
	b := append(bytes.Clone(signatureV2), command, family)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(body)))) + body
}

// summed adds a checksum to a header of version 2.
func summed(command, family byte, body string) string {
	h := []byte(v2(command, family, body+"\x03\x00\x04\x00\x00\x00\x00"))
	binary.BigEndian.PutUint32(h[len(h)-4:], crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
	return string(h)
}

const (
	body4 = "\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x03\xe1"
	body6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\xdc\x04\x03\xe1"
)

func TestParseProxyHeader(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, header, client string
		err                  error
	}{
		{"v1, IPv4", "PROXY TCP4 192.0.2.1 192.0.2.2 56324 993\r\n", "192.0.2.1:56324", nil},
		{"v1, IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 56324 993\r\n", "[2001:db8::1]:56324", nil},
		{"v1, unknown", "PROXY UNKNOWN\r\n", "", nil},
		{"v1, unknown with words", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "", nil},
		{"v1, family and address differ", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "", errBadProxyHeader},
		{"v1, port too great", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 993\r\n", "", errBadProxyHeader},
		{"v1, signed port", "PROXY TCP4 192.0.2.1 192.0.2.2 +1 993\r\n", "", errBadProxyHeader},
		{"v1, zone", "PROXY TCP6 fe80::1%eth0 2001:db8::2 1 993\r\n", "", errBadProxyHeader},
		{"v1, two spaces", "PROXY TCP4  192.0.2.1 192.0.2.2 1 993\r\n", "", errBadProxyHeader},
		{"v1, word missing", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", "", errBadProxyHeader},
		{"v1, never ends", "PROXY TCP4 " + strings.Repeat("1", 200), "", errBadProxyHeader},
		{"v1, cut", "PROXY TCP4 192.0.2.1 19", "", io.ErrUnexpectedEOF},
		{"v2, IPv4", v2(proxyV2Proxy, proxyV2TCP4, body4), "192.0.2.1:56324", nil},
		{"v2, IPv6", v2(proxyV2Proxy, proxyV2TCP6, body6), "[2001:db8::1]:56324", nil},
		{"v2, with a value", v2(proxyV2Proxy, proxyV2TCP4, body4+"\x01\x00\x02h2"), "192.0.2.1:56324", nil},
		{"v2, sum", summed(proxyV2Proxy, proxyV2TCP4, body4), "192.0.2.1:56324", nil},
		{"v2, wrong sum", v2(proxyV2Proxy, proxyV2TCP4, body4+"\x03\x00\x041234"), "", errProxyChecksum},
		{"v2, value beyond the end", v2(proxyV2Proxy, proxyV2TCP4, body4+"\x01\x00\x09h2"), "", errBadProxyHeader},
		{"v2, half a value", v2(proxyV2Proxy, proxyV2TCP4, body4+"\x01\x00"), "", errBadProxyHeader},
		{"v2, local", v2(proxyV2Local, 0, ""), "", nil},
		{"v2, local with an address", v2(proxyV2Local, proxyV2TCP4, body4), "", nil},
		{"v2, Unix socket", v2(proxyV2Proxy, 0x31, strings.Repeat("x", 216)), "", nil},
		{"v2, UDP", v2(proxyV2Proxy, 0x12, body4), "", nil},
		{"v2, addresses cut", v2(proxyV2Proxy, proxyV2TCP4, body4[:11]), "", errBadProxyHeader},
		{"v2, other version", v2(0x31, proxyV2TCP4, body4), "", errBadProxyHeader},
		{"v2, other command", v2(0x22, proxyV2TCP4, body4), "", errBadProxyHeader},
		{"v2, too long", v2(proxyV2Proxy, proxyV2TCP4, body4+strings.Repeat("x", maxProxyV2)), "", errBadProxyHeader},
		{"v2, cut", v2(proxyV2Proxy, proxyV2TCP4, body4)[:20], "", io.ErrUnexpectedEOF},
		{"nothing", "", "", io.ErrUnexpectedEOF},
		{"TLS", "\x16\x03\x01\x02\x00\x01", "", errNoProxyHeader},
	}
	for _, tt := range tests {
		client, size, err := parseProxyHeader([]byte(tt.header))
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
			continue
		}
		if err != nil {
			continue
		}
		if got := client.String(); client.IsValid() && got != tt.client || client.IsValid() != (tt.client != "") {
			t.Errorf("%s: client %s, want %s", tt.name, got, tt.client)
		}
		if size != len(tt.header) {
			t.Errorf("%s: %d octets, want %d", tt.name, size, len(tt.header))
		}
	}
}

// FuzzProxyHeader: whatever comes, a header lies within what was read, and how it is cut changes nothing.
func FuzzProxyHeader(f *testing.F) {
	for _, seed := range []string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 56324 993\r\n", "PROXY UNKNOWN\r\n", v2(proxyV2Local, 0, ""),
		summed(proxyV2Proxy, proxyV2TCP6, body6), v2(proxyV2Proxy, proxyV2TCP4, body4+"\x01\x00\x02h2"),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		client, size, err := parseProxyHeader(b)
		if err != nil {
			return
		}
		if size <= 0 || size > len(b) || size > maxProxyV2 {
			t.Fatalf("%d octets of %d", size, len(b))
		}
		for cut := range size {
			if _, _, err := parseProxyHeader(b[:cut]); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
		again, _, err := parseProxyHeader(append(bytes.Clone(b[:size]), "more"...))
		if err != nil || again != client {
			t.Fatalf("followed by more: %v, %v; was %v", again, err, client)
		}
	})
}

var here = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// accept returns the next connection of a listener.
func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestProxied: with the header, and TLS behind it in the same packet or octet by octet, the client is who the proxy says.
func TestProxied(t *testing.T) {
	t.Parallel()
	l := open1(t, Options{Addr: "127.0.0.1:0", TLS: selfSigned(t), Proxies: here})
	for _, header := range []string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 56324 993\r\n", summed(proxyV2Proxy, proxyV2TCP4, body4+strings.Repeat("\x04\x00\x00", 400)),
	} {
		raw, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { raw.Close() })
		for i := range len(header) - 1 {
			if _, err := io.WriteString(raw, header[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		client := tls.Client(&joined{Conn: raw, first: header[len(header)-1:]}, &tls.Config{InsecureSkipVerify: true})
		answer := make(chan string, 1)
		go func() {
			line, _ := ask(client)
			answer <- line
		}()
		c := accept(t, l)
		if got := c.RemoteAddr().String(); got != "192.0.2.1:56324" {
			t.Errorf("the client is %s", got)
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, line); err != nil {
			t.Fatal(err)
		}
		if got := <-answer; got != "hello\n" {
			t.Errorf("answer %q", got)
		}
	}
}

// joined sends something in front of its first Write, in the same packet.
type joined struct {
	net.Conn
	first string
}

func (j *joined) Write(p []byte) (int, error) {
	if j.first == "" {
		return j.Conn.Write(p)
	}
	_, err := j.Conn.Write(append([]byte(j.first), p...))
	j.first = ""
	return len(p), err
}

// TestLimitsCountClients: behind a proxy there are many; each has limits of its own.
func TestLimitsCountClients(t *testing.T) {
	t.Parallel()
	l := open1(t, Options{Addr: "127.0.0.1:0", Proxies: here, MaxPerAddr: 1})
	for _, client := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, "PROXY TCP4 "+client+" 192.0.2.9 1000 993\r\n"); err != nil {
			t.Fatal(err)
		}
		if client == "192.0.2.1" && l.(*listener).clients() == 2 {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("a second connection of one client was let in")
			}
			continue
		}
		if got := accept(t, l).RemoteAddr().String(); got != client+":1000" {
			t.Errorf("the client is %s, want %s", got, client)
		}
	}
}

// clients is how many are connected.
func (l *listener) clients() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.perAddr)
}

// TestNotProxied: who must introduce himself and does not is refused; a header from anybody else is no header; and neither
// holds up others.
func TestNotProxied(t *testing.T) {
	t.Parallel()
	l := open1(t, Options{Addr: "127.0.0.1:0", Proxies: here, Handshake: 50 * time.Millisecond})
	for name, first := range map[string]string{"TLS": "\x16\x03\x01\x02\x00\x01\x00", "silence": "", "half": "PROXY TCP4 "} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, first); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("%s: %v, want the connection closed", name, err)
		}
	}
	other := open1(t, Options{Addr: "127.0.0.1:0", Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	c, err := net.Dial("tcp", other.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	const header = "PROXY TCP4 192.0.2.1 192.0.2.2 56324 993\r\n"
	if _, err := io.WriteString(c, header); err != nil {
		t.Fatal(err)
	}
	in := accept(t, other)
	if got := in.RemoteAddr().String(); got != c.LocalAddr().String() {
		t.Errorf("somebody became %s", got)
	}
	if line, err := bufio.NewReader(in).ReadString('\n'); err != nil || line != header {
		t.Errorf("read %q, %v", line, err)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// TestCloseWithProxies: a listener that is closed stops accepting, whatever is going on.
func TestCloseWithProxies(t *testing.T) {
	t.Parallel()
	l := open1(t, Options{Addr: "127.0.0.1:0", Proxies: here})
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	failed := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		failed <- err
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}
