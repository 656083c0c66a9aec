package imap

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"postern/pkg/auth"
)

// TestEarly has clients that talk on and on without a login, with good commands or wrong passwords: they
// are told to go.
func TestEarly(t *testing.T) {
	t.Parallel()
	for line, text := range map[string]string{
		"NOOP":                            "* BYE Too many commands without a login.",
		"LOGIN nobody@example.org secret": "* BYE Too many failed logins.",
	} {
		nc, err := net.Dial("tcp", newWorld(t).start().Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		go func() {
			for i := range 2 * maxEarly {
				if _, err := fmt.Fprintf(nc, "a%d %s\r\n", i, line); err != nil {
					return // it has been closed
				}
			}
		}()
		found := false
		for s := bufio.NewScanner(nc); s.Scan(); {
			found = found || strings.HasPrefix(s.Text(), text)
		}
		if !found {
			t.Errorf("%s without end: no %q", line, text)
		}
	}
}

// undecided never decides before it must.
type undecided struct {
	auth.Authenticator
	asked chan struct{}
}

func (u *undecided) Login(ctx context.Context, _ auth.Peer, _, _ string) (auth.Identity, error) {
	u.asked <- struct{}{}
	<-ctx.Done()
	return auth.Identity{}, fmt.Errorf("%w: %w", auth.ErrDenied, ctx.Err())
}

// TestStopEarly: a server that stops waits for nobody who has not logged in: not for a refusal that is delayed, not for an
// answer, nor for the rest of a literal or line.
func TestStopEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := &undecided{w.server.Auth, make(chan struct{})}
	w.server.Auth = u
	conns := make(map[string]*bufio.Scanner)
	for said, heard := range map[string]string{
		"a LOGIN x y\r\n":             "* OK",
		"a AUTHENTICATE PLAIN\r\n":    "+ ",
		"a LOGIN {5}\r\nab":           "+ ",
		"a NOOP\r\nb LOG":             "a OK",
		"a LOGIN x y\r\nb LOGIN x y ": "* OK",
	} {
		nc, err := net.Dial("tcp", w.start().Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := fmt.Fprint(nc, said); err != nil {
			t.Fatal(err)
		}
		if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		s := bufio.NewScanner(nc)
		for s.Scan() && !strings.HasPrefix(s.Text(), heard) {
			t.Logf("%q: %s", said, s.Text())
		}
		conns[said] = s
	}
	<-u.asked
	<-u.asked
	if err := w.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for said, s := range conns {
		var last string
		for s.Scan() {
			last = s.Text()
		}
		if !strings.HasPrefix(last, "* BYE") {
			t.Errorf("%q: the last word is %q", said, last)
		}
	}
}
