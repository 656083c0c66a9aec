package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// script is a listener whose Accept does what the test says.
type script struct {
	accept chan any // a net.Conn or an error
	closed chan struct{}
}

func newScript() *script { return &script{make(chan any, 8), make(chan struct{})} }

func (l *script) Accept() (net.Conn, error) {
	select {
	case next := <-l.accept:
		if c, ok := next.(net.Conn); ok {
			return c, nil
		}
		return nil, next.(error)
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *script) Close() error {
	close(l.closed)
	return nil
}

func (l *script) Addr() net.Addr { return &net.TCPAddr{} }

// echo is a session that echoes until it is told to stop, or for ever if it is stubborn.
type echo struct {
	nc       net.Conn
	stubborn bool
	stop     chan struct{}
	cause    chan error // of the end of its context, once it has ended
}

func (e *echo) Serve(ctx context.Context) {
	go io.Copy(e.nc, e.nc) //nolint:errcheck // it ends with the connection
	if e.stubborn {
		<-ctx.Done()
	} else {
		select {
		case <-e.stop:
		case <-ctx.Done():
		}
	}
	e.cause <- ctx.Err()
}

func (e *echo) Stop()  { close(e.stop) }
func (e *echo) Abort() { e.nc.Close() }

func newEcho(nc net.Conn, stubborn bool) *echo {
	return &echo{nc: nc, stubborn: stubborn, stop: make(chan struct{}), cause: make(chan error, 1)}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	for _, stubborn := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var s Sessions
			l, here := newScript(), make(chan *echo, 1)
			served := make(chan error, 1)
			go func() {
				served <- s.Serve(l, zap.NewNop(), func(nc net.Conn) Session {
					e := newEcho(nc, stubborn)
					here <- e
					return e
				})
			}()
			client, server := net.Pipe()
			l.accept <- server
			session := <-here
			if _, err := client.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := s.Shutdown(ctx)
			if want := map[bool]error{true: context.DeadlineExceeded}[stubborn]; !errors.Is(err, want) {
				t.Errorf("stubborn %v: Shutdown: %v", stubborn, err)
			}
			if cause := <-session.cause; (cause != nil) != stubborn {
				t.Errorf("stubborn %v: the session's context: %v", stubborn, cause)
			}
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
			if _, err := client.Write([]byte("y")); err == nil {
				t.Error("the connection is still open")
			}
			if err := s.Serve(newScript(), zap.NewNop(), nil); err != nil {
				t.Errorf("Serve after Shutdown: %v", err)
			}
		})
	}
}

func TestAcceptErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s Sessions
		l := newScript()
		for range 3 {
			l.accept <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
		}
		broken := errors.New("broken")
		l.accept <- broken
		core, logged := observer.New(zap.WarnLevel)
		began := time.Now()
		if err := s.Serve(l, zap.New(core), nil); !errors.Is(err, broken) {
			t.Errorf("Serve: %v", err)
		}
		if n, waited := logged.Len(), time.Since(began); n != 3 || waited != 35*time.Millisecond {
			t.Errorf("%d lines, %v waited", n, waited)
		}
	})
}
