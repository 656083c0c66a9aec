package listen

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func open1(t *testing.T, o Options) net.Listener {
	t.Helper()
	l, err := Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// echo answers each connection's first line and closes it when the client does.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			line, err := bufio.NewReader(c).ReadString('\n')
			if err == nil {
				_, err = io.WriteString(c, line)
			}
			if err == nil {
				_, _ = io.Copy(io.Discard, c)
			}
		}()
	}
}

// dialTLS connects; the handshake comes with the first octet.
func dialTLS(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true})
}

func ask(c net.Conn) (string, error) {
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

// TestSlowHandshake: a peer that says nothing delays nobody and is dropped in time.
func TestSlowHandshake(t *testing.T) {
	t.Parallel()
	l := open1(t, Options{Addr: "127.0.0.1:0", TLS: selfSigned(t), Handshake: 200 * time.Millisecond})
	go echo(l)
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := dialTLS(t, l)
	if got, err := ask(c); err != nil || got != "hello\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if n, err := io.Copy(io.Discard, silent); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the silent peer read %d octets, %v", n, err)
	}
}

// TestHandshakeLimits: neither the patience of a protocol that asks for the handshake itself nor a server that stops has to
// wait for a peer that says nothing.
func TestHandshakeLimits(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"limit":  {Handshake: 50 * time.Millisecond},
		"closed": {Handshake: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Addr, o.TLS = "127.0.0.1:0", selfSigned(t)
			l := open1(t, o)
			silent, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ended := make(chan error, 1)
			go func() {
				ended <- c.(interface{ HandshakeContext(context.Context) error }).HandshakeContext(context.Background())
			}()
			if name == "closed" {
				l.Close()
			}
			select {
			case err := <-ended:
				if err == nil {
					t.Error("a handshake with nobody")
				}
			case <-time.After(time.Minute):
				t.Error("the handshake goes on")
			}
		})
	}
}

// TestCloseLeavesSessions: closing the listener is for those to come.
func TestCloseLeavesSessions(t *testing.T) {
	t.Parallel()
	l := open1(t, Options{Addr: "127.0.0.1:0", TLS: selfSigned(t)})
	client, heard := dialTLS(t, l), make(chan string, 1)
	go func() {
		line, err := ask(client)
		if err != nil {
			t.Error(err)
		}
		heard <- line
	}()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := io.WriteString(c, line); err != nil {
		t.Error(err)
	}
	if got := <-heard; got != "hello\n" {
		t.Errorf("got %q", got)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{"per address": {MaxPerAddr: 2}, "total": {Max: 2}} {
		o.Addr = "127.0.0.1:0"
		reasons := make(chan Reason, 100)
		o.Refused = func(r Reason) { reasons <- r }
		l := open1(t, o)
		go echo(l)
		dial := func() net.Conn {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		first, second := dial(), dial()
		for _, c := range []net.Conn{first, second} {
			if _, err := ask(c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got, err := ask(dial()); err == nil {
			t.Errorf("%s: a third connection was served: %q", name, got)
		}
		if got, want := <-reasons, map[string]Reason{"per address": Crowded, "total": Full}[name]; got != want {
			t.Errorf("%s: refused for %q, want %q", name, got, want)
		}
		first.Close()
		// The place is free as soon as the server has noticed.
		for deadline := time.Now().Add(30 * time.Second); ; {
			for len(reasons) > 0 {
				<-reasons
			}
			if _, err := ask(dial()); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: the place was not given back", name)
			}
		}
	}
}

func TestUnix(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	l := open1(t, Options{Addr: "unix:" + path})
	go echo(l)
	if _, err := Listen(t.Context(), Options{Addr: "unix:" + path}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a served socket: %v", err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := ask(c); err != nil || got != "hello\n" {
		t.Errorf("got %q, %v", got, err)
	}

	stale := filepath.Join(t.TempDir(), "stale")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	open1(t, Options{Addr: "unix:" + stale})
}

func TestInUse(t *testing.T) {
	t.Parallel()
	l := open1(t, Options{Addr: "127.0.0.1:0"})
	_, err := Listen(context.Background(), Options{Addr: l.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "something else listens there") {
		t.Errorf("got %v", err)
	}
}
