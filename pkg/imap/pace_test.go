package imap

import (
	"cmp"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/serve"
)

// TestSlowWriter: an octet now and then does not keep a session in the middle of a command, as little before the literal as in
// it; one who keeps to the least rate may take hours.
func TestSlowWriter(t *testing.T) {
	t.Parallel()
	for _, begin := range []string{"a APPEND INBOX {5000000}\r\n", "a STORE 1 FLAGS (", "a APPEND INBOX (", ""} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.start()
			p := b.dial(t, "l")
			defer time.Sleep(2 * time.Second) // the writer below sees that it is over
			if _, err := io.WriteString(p, begin); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			go func() {
				for {
					if _, err := io.WriteString(p, "x"); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			}()
			p.until(t, "* BYE Too slow.")
			if took := time.Since(begun); took > 2*serve.DefaultStall {
				t.Errorf("%q: after %v", begin, took)
			}
			if err := b.stop(t, time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		p := b.dial(t, "l")
		p.say(t, "a APPEND INBOX {3600000}")
		p.until(t, "+ ")
		for range 3600 {
			if _, err := io.WriteString(p, "Subject: "+strings.Repeat("x", 989)+"\r\n"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(1990 * time.Millisecond)
		}
		p.say(t, "")
		p.until(t, "a OK")
		if err := b.stop(t, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// TestSlowNowAndThen: a session that lasts is not ended for what it has been waited for in all its commands.
func TestSlowNowAndThen(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"a NO|OP", "a IDLE|DO|NE"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.start()
			p := b.dial(t, "l")
			for range 30 {
				begin, rest, _ := strings.Cut(command, "|")
				if middle, end, ok := strings.Cut(rest, "|"); ok {
					p.say(t, begin)
					p.until(t, "+ ")
					time.Sleep(time.Minute)
					begin, rest = middle, end
				}
				if _, err := io.WriteString(p, begin); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				p.say(t, rest)
				p.until(t, "a OK")
				time.Sleep(time.Minute)
			}
			if err := b.stop(t, time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSlowReader: the same of one who takes what it has asked for.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		octets int // a second
		stall  time.Duration
		ends   bool
	}{{10, 0, true}, {300, 0, true}, {600, 0, false}, {300, 20 * time.Second, true}, {600, 20 * time.Second, false}} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.server.Limits.Stall = tc.stall
			seen := observeLog(b)
			b.start()
			p := b.dial(t, "l")
			p.do(t, "a APPEND INBOX {1000000+}\r\nSubject: x\r\n\r\n"+strings.Repeat("x", 999_986))
			client, server := net.Pipe()
			b.pipes.conns <- server
			for _, said := range []string{"", "l LOGIN " + testUser + " " + testPassword, "b SELECT INBOX"} {
				tag, _, _ := strings.Cut(said, " ")
				converse(t, client, said, cmp.Or(tag, "*")+" OK")
			}
			if _, err := io.WriteString(client, "c FETCH 1 BODY[]\r\n"); err != nil {
				t.Fatal(err)
			}
			begun, taken := time.Now(), make([]byte, tc.octets)
			var err error
			for all := 0; all < 900_000 && err == nil; all += tc.octets {
				time.Sleep(time.Second)
				_, err = io.ReadFull(client, taken)
			}
			took := time.Since(begun)
			switch {
			case tc.ends != (err != nil):
				t.Errorf("%d octets a second: %v after %v", tc.octets, err, took)
			case tc.ends && seen.FilterField(zap.String("reason", "client takes answers too slowly")).Len() != 1:
				t.Errorf("%d octets a second: the log says %v", tc.octets, seen.All())
			}
			_ = client.Close()
			if err := b.stop(t, time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
}

// converse says a line, if there is one, and reads until a line begins so.
func converse(t *testing.T, c net.Conn, said, prefix string) {
	t.Helper()
	if said != "" {
		if _, err := io.WriteString(c, said+"\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	line, octet := "", []byte{0}
	for !strings.HasSuffix(line, "\n") || !strings.HasPrefix(line, prefix) {
		if strings.HasSuffix(line, "\n") {
			line = ""
		}
		if _, err := c.Read(octet); err != nil {
			t.Fatal(err)
		}
		line += string(octet)
	}
}

func observeLog(b *bench) *observer.ObservedLogs {
	core, seen := observer.New(zap.InfoLevel)
	b.server.Log = zap.New(core)
	return seen
}

// TestCommandRate: one who gives commands without end is slowed down, hears what has been done meanwhile, and holds up neither
// others nor the end of the server.
func TestCommandRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.server.Limits.Rate, b.server.Limits.Burst = 10, 50
		seen := observeLog(b)
		b.start()
		p, other := b.dial(t, "l"), b.dial(t, "l")
		begun := time.Now()
		go func() {
			for range 100 {
				if _, err := io.WriteString(p, strings.Repeat("a NOOP\r\n", 100)); err != nil {
					return
				}
			}
		}()
		for range 150 {
			p.until(t, "a OK")
		}
		if took := time.Since(begun); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("150 commands took %v", took)
		}
		begun = time.Now()
		for range 40 {
			other.do(t, "b NOOP")
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("another session's commands took %v", took)
		}
		if seen.FilterMessage("session slowed down").Len() != 1 {
			t.Errorf("the log says %v", seen.All())
		}
		go func() { _, _ = io.Copy(io.Discard, p) }()
		if err := b.stop(t, time.Minute); err != nil {
			t.Error(err)
		}
	})
}
