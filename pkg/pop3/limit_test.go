package pop3

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"postern/pkg/message"
	"postern/pkg/store"
	"postern/pkg/store/memory"
)

// bubble is a server without a listener, for synctest.
type bubble struct {
	*Server
	seen *observer.ObservedLogs
}

func newBubble(t *testing.T, messages ...string) *bubble {
	t.Helper()
	m := memory.New()
	id := m.AddAccount(alice, "", 0)
	a, err := m.Account(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	box, err := a.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range messages {
		s, err := message.Spool(strings.NewReader(text), message.SpoolOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Append(t.Context(), box.ID, &store.Draft{Spooled: s, Received: time.Unix(0, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	core, seen := observer.New(zap.InfoLevel)
	return &bubble{&Server{
		Accounts: m, Hostname: "mail.example.org", Log: zap.New(core),
		Auth: &doorman{users: map[string]store.AccountID{alice: id}},
	}, seen}
}

// login returns a connection on which alice is logged in, and what ends when its session does.
func (b *bubble) login(t *testing.T) (net.Conn, <-chan struct{}) {
	t.Helper()
	client, server := net.Pipe()
	c, ended := newConn(b.Server, server), make(chan struct{})
	go func() {
		defer close(ended)
		c.Serve(context.Background())
	}()
	in := bufio.NewReader(client)
	for _, said := range []string{"", "USER " + alice, "PASS " + secret} {
		if said != "" {
			if _, err := io.WriteString(client, said+"\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+OK") {
			t.Fatal(line, err)
		}
	}
	return client, ended
}

// TestSlowReader: a client that takes its mail too slowly is not waited for; one that keeps to the least rate is.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		octets int // a second
		stall  time.Duration
		ends   bool
	}{{10, 0, true}, {300, 0, true}, {600, 0, false}, {300, 20 * time.Second, true}, {600, 20 * time.Second, false}} {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t, "Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 98)+"\r\n", 10_000))
			b.Limits.Stall = tc.stall
			client, ended := b.login(t)
			if _, err := io.WriteString(client, "RETR 1\r\n"); err != nil {
				t.Fatal(err)
			}
			taken, err := make([]byte, tc.octets), error(nil)
			for all := 0; all < 900_000 && err == nil; all += tc.octets {
				time.Sleep(time.Second)
				_, err = io.ReadFull(client, taken)
			}
			_ = client.Close()
			<-ended
			switch {
			case tc.ends != (err != nil):
				t.Errorf("%d octets a second: %v", tc.octets, err)
			case tc.ends && b.seen.FilterField(zap.String("reason", "client takes answers too slowly")).Len() != 1:
				t.Errorf("%d octets a second: the log says %v", tc.octets, b.seen.All())
			}
		})
	}
}

// TestCommandRate: one who gives commands without end is slowed down, and holds up the end of the server no more than others do.
func TestCommandRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.Limits.Rate, b.Limits.Burst = 10, 50
		client, ended := b.login(t)
		begun := time.Now()
		go func() {
			for {
				if _, err := io.WriteString(client, strings.Repeat("NOOP\r\n", 100)); err != nil {
					return
				}
			}
		}()
		in := bufio.NewScanner(client)
		for range 150 {
			if !in.Scan() || !strings.HasPrefix(in.Text(), "+OK") {
				t.Fatal(in.Text(), in.Err())
			}
		}
		if took := time.Since(begun); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("150 commands took %v", took)
		}
		if b.seen.FilterMessage("session slowed down").Len() != 1 {
			t.Errorf("the log says %v", b.seen.All())
		}
		_ = client.Close()
		<-ended
	})
}
