package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"postern/pkg/certs/acmetest"
	"postern/pkg/config"
	"postern/pkg/gateway"
	"postern/pkg/observe"
)

const (
	renewedName  = "mail.renewal.test"
	renewedUsers = 3
	idlersEach   = 34 // sessions in IDLE of each user, beside one that reads his maildrop
)

// TestRenewal renews a certificate every few seconds, with all of Postern in this process, for only so can it look oftener than
// every 45 seconds whether one is due; `make acme-check` has the program itself wait for that.
func TestRenewal(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{Valid: 8 * time.Second})
	s := serveHere(t, 300*time.Millisecond, renewalSettings(ca))
	s.outliveRenewal(t)
}

func renewalSettings(ca *acmetest.CA) []string {
	return []string{
		"POSTERN_TLS_MODE=acme", "POSTERN_HOSTNAME=" + renewedName, "POSTERN_ACME_HTTP_LISTEN=" + ca.HTTP,
		"POSTERN_ACME_DIRECTORY=" + ca.Directory, "POSTERN_ACME_ROOTS_FILE=" + ca.RootsFile,
	}
}

// serveHere runs a server in this process until the test ends, on ports of the system's choice.
func serveHere(t *testing.T, renewCheck time.Duration, env []string) *server {
	t.Helper()
	dir, err := os.MkdirTemp(workDir, "here")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &server{dir: filepath.Join(dir, "data"), log: new(bytes.Buffer)}
	s.env = append(env, "POSTERN_DATA_DIR="+s.dir, "POSTERN_IMAP_LISTEN=127.0.0.1:0", "POSTERN_POP3_LISTEN=127.0.0.1:0",
		"POSTERN_LMTP_LISTEN=127.0.0.1:0", "POSTERN_HTTP_LISTEN=127.0.0.1:0")
	settings, err := config.Load(config.Source{Environ: func() []string { return s.env }})
	if err != nil {
		t.Fatal(err)
	}
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync((*serverLog)(s)), zap.InfoLevel))
	g, err := gateway.New(t.Context(), gateway.Options{Config: settings, Log: log, Registry: observe.NewRegistry(), RenewCheck: renewCheck})
	if err != nil {
		t.Fatal(err)
	}
	s.imap, s.pop3, s.lmtp = g.Addr("imap").String(), g.Addr("pop3").String(), g.Addr("lmtp").String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(s.output())
		}
	})
	return s
}

// outliveRenewal: while sessions wait for news (IDLE) and maildrops are open, the certificate is renewed: who comes later is shown
// the new one, and none of those who were there notices (REQUIREMENTS 34).
func (s *server) outliveRenewal(t *testing.T) {
	t.Helper()
	user := func(i int) string { return fmt.Sprintf("user%d@renewal.test", i) }
	for i := range renewedUsers {
		s.account(t, user(i))
	}
	s.awaitCertificate(t)
	var idlers, readers []*lines
	for i := range renewedUsers {
		for range idlersEach {
			l := dialTLS(t, s.imap)
			l.send("a LOGIN %s \"%s\"\r\nb SELECT INBOX\r\nc IDLE", user(i), password)
			l.until("+ ")
			idlers = append(idlers, l)
		}
		l := dialTLS(t, s.pop3)
		l.send("USER %s\r\nPASS %s\r\nSTAT", user(i), password)
		l.until("+OK 0 0")
		readers = append(readers, l)
	}
	before, start := s.awaitCertificate(t), time.Now()
	if !await(func() bool {
		return differs(before, shownFromCA(s.imap, renewedName), shownFromCA(s.pop3, renewedName))
	}) {
		t.Fatal("who comes is not shown a new certificate")
	}
	t.Logf("%d sessions in IDLE and %d maildrops have seen a renewal, after %v", len(idlers), len(readers), time.Since(start))
	for i := range renewedUsers {
		if err := s.deliver("a@example.net", user(i), strings.NewReader("Subject: after the renewal\r\n\r\nstill here?\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range idlers {
		l.until("* 1 EXISTS")
		l.send("DONE\r\nd LOGOUT")
		l.until("d OK")
	}
	for _, l := range readers {
		l.send("QUIT")
		l.until("+OK")
	}
}

// awaitCertificate waits until the CA's is shown, and returns its serial number.
func (s *server) awaitCertificate(t *testing.T) (serial string) {
	t.Helper()
	if !await(func() bool { serial = shownFromCA(s.imap, renewedName); return serial != "" }) {
		t.Fatal("there is no certificate")
	}
	return serial
}

// differs reports whether there are certificates and none is the one of before.
func differs(before string, now ...string) bool {
	for _, serial := range now {
		if serial == "" || serial == before {
			return false
		}
	}
	return true
}
