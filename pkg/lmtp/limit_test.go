package lmtp

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/pkg/serve"
	"postern/pkg/store/memory"
)

// TestSlowWriter: an octet now and then does not keep a session in the middle of a message or a command. Between commands
// there is time, and one who keeps to the least rate may take hours.
func TestSlowWriter(t *testing.T) {
	t.Parallel()
	const (
		envelope = "LHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.org>\r\n"
		data     = envelope + "DATA\r\n"
	)
	for _, tc := range []struct {
		begin, piece string // which is written again and again, with pauses where a | is too
		pause        time.Duration
		ends         string // how the last line begins
	}{
		{data, "x", time.Second, "421 4.4.2"},
		{envelope + "BDAT 1000000\r\n", "x", time.Second, "421 4.4.2"},
		{envelope, "x", time.Second, "421 4.4.2"},
		{envelope, "NOOP\r\n", 4 * time.Minute, "221"},
		{envelope, "NO|OP\r\n", time.Minute, "221"}, // waited for between commands as long as in them
		{data, strings.Repeat("x", 998) + "\r\n", 1900 * time.Millisecond, "221"},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := memory.New()
			m.AddAccount(alice, "", 0)
			client, server := net.Pipe()
			c := newConn(&Server{Accounts: m, Hostname: "mail.example.org"}, server)
			go c.Serve(context.Background())
			go func() {
				_, err := io.WriteString(client, tc.begin)
				for begun := time.Now(); err == nil && time.Since(begun) < 2*time.Hour; {
					for part := range strings.SplitSeq(tc.piece, "|") {
						time.Sleep(tc.pause)
						if _, err = io.WriteString(client, part); err != nil {
							break
						}
					}
				}
				_, _ = io.WriteString(client, "\r\n.\r\nQUIT\r\n")
			}()
			begun := time.Now()
			heard, err := io.ReadAll(client)
			lines := strings.Split(strings.TrimSpace(string(heard)), "\r\n")
			if last := lines[len(lines)-1]; err != nil || !strings.HasPrefix(last, tc.ends) {
				t.Errorf("%.80q: the last word is %q, %v", tc.begin, last, err)
			}
			if took := time.Since(begun); strings.HasPrefix(tc.ends, "421") && took > 2*serve.DefaultStall {
				t.Errorf("%.80q: after %v", tc.begin, took)
			}
			time.Sleep(2 * tc.pause) // the writer sees that it is over
		})
	}
}
