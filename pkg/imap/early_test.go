package imap

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
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
