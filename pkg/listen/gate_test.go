package listen

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// deaf is a client's connection on which nothing is heard.
type deaf struct{ net.Conn }

func (deaf) Read([]byte) (int, error) { return 0, io.EOF }

// TestGate: a handshake waits for its place, and gives it back whether or not the client goes on.
func TestGate(t *testing.T) {
	t.Parallel()
	l := open1(t, Options{Addr: "127.0.0.1:0", TLS: selfSigned(t)}).(*listener)
	places := make(gate, 1)
	places <- struct{}{}
	l.tls = places.guard(selfSigned(t))
	go echo(l)
	heard := make(chan error, 2)
	go func() {
		_, err := ask(dialTLS(t, l))
		heard <- err
	}()
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			heard <- err
			return
		}
		defer c.Close()
		if err := tls.Client(deaf{c}, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
			t.Error("a handshake with the deaf")
		}
		heard <- nil
	}()
	select {
	case err := <-heard:
		t.Errorf("past a gate that is shut: %v", err)
	case <-places:
	}
	for range 2 {
		if err := <-heard; err != nil {
			t.Error(err)
		}
	}
	places <- struct{}{} // it has been given back
}

// TestGateLooksAway: while a certificate is looked for, which a CA may be asked for, nobody else waits.
func TestGateLooksAway(t *testing.T) {
	t.Parallel()
	good := selfSigned(t)
	looking, found := make(chan struct{}), make(chan struct{})
	config := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "ordered.example.org" {
			close(looking)
			<-found
		}
		return &good.Certificates[0], nil
	}}
	l := open1(t, Options{Addr: "127.0.0.1:0", TLS: good}).(*listener)
	places := make(gate, 1)
	l.tls = places.guard(config)
	go echo(l)
	heard := make(chan error, 1)
	go func() {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, ServerName: "ordered.example.org"})
		if err == nil {
			_, err = ask(c)
			c.Close()
		}
		heard <- err
	}()
	<-looking
	if _, err := ask(dialTLS(t, l)); err != nil {
		t.Error(err)
	}
	close(found)
	if err := <-heard; err != nil {
		t.Error(err)
	}
}
