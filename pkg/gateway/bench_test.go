package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"postern/pkg/auth"
	"postern/pkg/config"
	"postern/pkg/gateway"
	"postern/pkg/observe"
)

// inProcess is a whole gateway in the process of the benchmark, as `postern serve` runs it: profiles show it.
type inProcess struct {
	*gateway.Gateway
	options  gateway.Options
	environ  []string // the same settings for another process
	registry *prometheus.Registry
	made     atomic.Int64 // accounts
}

// startGateway runs a gateway on a database until the benchmark ends. Settings are more variables of the environment.
func startGateway(b testing.TB, dsn string, settings ...string) *inProcess {
	b.Helper()
	dir := b.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("ab", 32)), 0o600); err != nil {
		b.Fatal(err)
	}
	const here = "127.0.0.1:0"
	g := &inProcess{registry: observe.NewRegistry(), environ: []string{
		"POSTERN_DATA_DIR=" + dir, "POSTERN_HOSTNAME=localhost", "POSTERN_DATABASE_URL=" + dsn,
		"POSTERN_CRYPT_MASTER_KEY_FILE=" + key, "POSTERN_DATABASE_MIGRATE_ON_START=true", "POSTERN_LIMITS_CONNECTIONS_PER_ADDRESS=2000",
		"POSTERN_IMAP_LISTEN=" + here, "POSTERN_POP3_LISTEN=" + here, "POSTERN_LMTP_LISTEN=" + here, "POSTERN_HTTP_LISTEN=" + here,
	}}
	g.environ = append(g.environ, settings...)
	c, err := config.Load(config.Source{Environ: func() []string { return g.environ }})
	if err != nil {
		b.Fatal(err)
	}
	unread := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.InfoLevel))
	g.options = gateway.Options{Config: c, Log: unread, Registry: g.registry, Version: "bench"}
	if g.Gateway, err = gateway.New(b.Context(), g.options); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return g
}

func (g *inProcess) addr(service string) string { return g.Addr(service).String() }

// accounts makes n accounts with the common password.
func (g *inProcess) accounts(b testing.TB, n int) []string {
	b.Helper()
	backend, err := gateway.OpenForCommand(b.Context(), gateway.Options{Config: g.options.Config})
	if err != nil {
		b.Fatal(err)
	}
	defer backend.Close()
	secret, err := auth.Hash(password)
	if err != nil {
		b.Fatal(err)
	}
	users := make([]string, n)
	for i := range users {
		users[i] = fmt.Sprintf("user%d@example.org", g.made.Add(1))
		if _, err := backend.Store.CreateAccount(b.Context(), users[i], secret, 0); err != nil {
			b.Fatal(err)
		}
	}
	return users
}

// mails makes plain mail of 20 KB on average, which compresses as mail does, to a little more than half. No two are the
// same. It is safe for concurrent use.
type mails struct {
	texts [][]byte
	next  atomic.Int64
}

func newMails() *mails {
	r := rand.New(rand.NewPCG(3, 4))
	words := make([]string, 1000)
	for i := range words {
		words[i] = fmt.Sprintf("%x", r.Uint64())[:2+r.IntN(9)]
	}
	m := new(mails)
	for range 64 {
		var text strings.Builder
		for size := 2<<10 + r.IntN(40<<10); text.Len() < size; {
			for range 6 + r.IntN(8) {
				text.WriteString(words[int(r.ExpFloat64()*150)%len(words)] + " ")
			}
			text.WriteString("\r\n")
		}
		m.texts = append(m.texts, []byte(text.String()))
	}
	return m
}

// mail returns another mail.
func (m *mails) mail() []byte {
	n := m.next.Add(1)
	header := fmt.Sprintf("From: Ann Example <ann@example.com>\r\nTo: Bob <bob@example.org>\r\nSubject: About number %d\r\n"+
		"Date: Thu, 08 Oct 2026 10:00:00 +0200\r\nMessage-ID: <%d@example.com>\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\n\r\n", n, n)
	return append([]byte(header), m.texts[n%int64(len(m.texts))]...)
}

// lmtpClient is one connection of a mail server that pipelines (RFC 2920).
type lmtpClient struct {
	net.Conn
	r *bufio.Reader
}

// dialLMTP opens connections to deliver through.
func dialLMTP(b testing.TB, addr string, n int) []*lmtpClient {
	b.Helper()
	clients := make([]*lmtpClient, n)
	for i := range clients {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		clients[i] = &lmtpClient{c, bufio.NewReader(c)}
		if _, err := io.WriteString(c, "LHLO localhost\r\n"); err != nil {
			b.Fatal(err)
		}
		if err := clients[i].expect("220 ", "250 "); err != nil {
			b.Fatal(err)
		}
	}
	return clients
}

// deliver hands over a message in which no line begins with a dot, and returns when it has been accepted.
func (c *lmtpClient) deliver(to string, mail []byte) error {
	if _, err := fmt.Fprintf(c, "MAIL FROM:<ann@example.com>\r\nRCPT TO:<%s>\r\nDATA\r\n", to); err != nil {
		return err
	}
	if err := c.expect("250 ", "250 ", "354 "); err != nil {
		return err
	}
	if _, err := (&net.Buffers{mail, []byte(".\r\n")}).WriteTo(c.Conn); err != nil {
		return err
	}
	return c.expect("250 ")
}

// expect reads replies, each to its last line.
func (c *lmtpClient) expect(codes ...string) error {
	for _, code := range codes {
		for {
			line, err := c.r.ReadSlice('\n')
			if err != nil {
				return err
			}
			if !bytes.HasPrefix(line, []byte(code[:3])) {
				return fmt.Errorf("expected %s, got %q", code, line)
			}
			if line[3] == ' ' {
				break
			}
		}
	}
	return nil
}

// send delivers n mails over all connections at once.
func send(b *testing.B, clients []*lmtpClient, m *mails, n int, to func(i int) string) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := c.deliver(to(i), m.mail()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
