package pop3

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// TestPipelinedLogin: a client that asks for mail together with its login is not sent it in the small pieces of what comes
// before a login.
func TestPipelinedLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver("S: a\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1000))
	client, server := net.Pipe()
	defer client.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		newConn(w.server, server).Serve(t.Context())
	}()
	go fmt.Fprintf(client, "USER %s\r\nPASS %s\r\nRETR 1\r\nQUIT\r\n", alice, secret) //nolint:errcheck // reading shows it
	most, p := 0, make([]byte, 2*writeBuffer)
	for {
		n, err := client.Read(p)
		if most = max(most, n); err != nil {
			break
		}
	}
	<-ended
	if most <= earlyBuffer {
		t.Errorf("at most %d octets came at once", most)
	}
}
