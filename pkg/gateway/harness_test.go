package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-smtp"

	"postern/pkg/listen/freeport"
)

// These tests run the real program with a private PostgreSQL, and real clients against it.

// password is that of every account the tests make.
const password = "correct horse battery"

var (
	workDir string  // for everything of this run; the private PostgreSQL's user must be able to enter it
	binary  string  // postern, built once
	shared  *server // one server for the tests that do not stop theirs
)

func TestMain(m *testing.M) {
	if orders := os.Getenv(attackEnv); orders != "" {
		os.Exit(attackFor(orders))
	}
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	if workDir, err = os.MkdirTemp("", "postern-e2e-"); err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(workDir) }() // a server that was killed may leave a PostgreSQL that is still ending
	if err := os.Chmod(workDir, 0o755); err != nil {
		return 1, err
	}
	binary = filepath.Join(workDir, "postern")
	args := append([]string{"build", "-o", binary}, raceFlags...)
	if out, err := exec.Command("go", append(args, "postern/cmd/postern")...).CombinedOutput(); err != nil {
		return 1, fmt.Errorf("go build: %w\n%s", err, out)
	}
	if shared, err = startClearServer(filepath.Join(workDir, "shared")); err != nil {
		return 1, err
	}
	code = m.Run()
	shared.stop()
	stopPrograms()
	if code != 0 {
		fmt.Fprintf(os.Stderr, "the end of the shared server's log:\n%s\n", shared.output()[max(0, len(shared.output())-10_000):])
	}
	return code, nil
}

// server is a running `postern serve`.
type server struct {
	dir                    string
	env                    []string
	imap, pop3, lmtp, http string // addresses
	imapClear, pop3Clear   string // where TLS begins with a command; "": nowhere

	mu  sync.Mutex
	cmd *exec.Cmd
	log *bytes.Buffer // what it printed; guarded by mu
}

// startServer runs a server with its data below dir. More settings can be given as environment variables.
func startServer(dir string, env ...string) (*server, error) {
	s := &server{dir: dir, log: new(bytes.Buffer)}
	for _, addr := range []*string{&s.imap, &s.pop3, &s.lmtp, &s.http} {
		free, err := freeport.Addr()
		if err != nil {
			return nil, err
		}
		*addr = free
	}
	s.env = append(os.Environ(),
		"POSTERN_DATA_DIR="+dir, "POSTERN_HOSTNAME=localhost",
		"POSTERN_IMAP_LISTEN="+s.imap, "POSTERN_POP3_LISTEN="+s.pop3,
		"POSTERN_LMTP_LISTEN="+s.lmtp, "POSTERN_HTTP_LISTEN="+s.http)
	s.env = append(s.env, env...)
	return s, s.start()
}

// startClearServer runs one that listens for clients which begin TLS with a command too.
func startClearServer(dir string, env ...string) (*server, error) {
	imap, err := freeport.Addr()
	if err != nil {
		return nil, err
	}
	pop3, err := freeport.Addr()
	if err != nil {
		return nil, err
	}
	s, err := startServer(dir, append(env, "POSTERN_IMAP_STARTTLS_LISTEN="+imap, "POSTERN_POP3_STARTTLS_LISTEN="+pop3)...)
	if err == nil {
		s.imapClear, s.pop3Clear = imap, pop3
	}
	return s, err
}

// start runs the program and returns when it is ready.
func (s *server) start() error {
	cmd := exec.Command(binary, "serve")
	cmd.Env = s.env
	cmd.Stdout, cmd.Stderr = (*serverLog)(s), (*serverLog)(s)
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd = cmd
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		resp, err := http.Get("http://" + s.http + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				tick.Stop()
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			return fmt.Errorf("the server did not become ready:\n%s", s.output())
		}
	}
}

// stop ends the program as an operator would and waits for it.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// kill ends the program as a power loss would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

type serverLog server

func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

func (s *server) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// await returns whether cond becomes true before long.
func await(cond func() bool) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); !cond(); {
		select {
		case <-tick.C:
		case <-deadline:
			return false
		}
	}
	return true
}

// postern runs another subcommand against the same data.
func (s *server) postern(stdin string, args ...string) (string, error) {
	cmd := exec.Command(binary, args...)
	cmd.Env, cmd.Stdin = s.env, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("postern %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// account makes an account with the common password.
func (s *server) account(t *testing.T, address string) {
	t.Helper()
	if _, err := s.postern(password+"\n", "account", "add", address, "--password-stdin"); err != nil {
		t.Fatal(err)
	}
}

var insecure = &tls.Config{InsecureSkipVerify: true} // self-signed, on loopback

// imapClient logs in with go-imap's client.
func (s *server) imapClient(t *testing.T, user string, o *imapclient.Options) *imapclient.Client {
	t.Helper()
	if o == nil {
		o = &imapclient.Options{}
	}
	o.TLSConfig = insecure
	c, err := imapclient.DialTLS(s.imap, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it may have logged out
	if err := c.Login(user, password).Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

// deliver hands one message to LMTP.
func (s *server) deliver(from, to string, msg io.Reader) error {
	conn, err := net.Dial("tcp", s.lmtp)
	if err != nil {
		return err
	}
	defer conn.Close()
	c := smtp.NewClientLMTP(conn)
	if err := errors.Join(c.Hello("localhost"), c.Mail(from, nil), c.Rcpt(to, nil)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, msg); err != nil {
		return err
	}
	return w.Close()
}

// lines is a connection spoken to by hand.
type lines struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

// dialTLS connects and waits at most 20 seconds for anything.
func dialTLS(t *testing.T, addr string) *lines {
	t.Helper()
	c, err := tls.Dial("tcp", addr, insecure)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &lines{t, c, bufio.NewReader(c)}
}

func (l *lines) send(format string, args ...any) {
	l.t.Helper()
	if _, err := fmt.Fprintf(l.c, format+"\r\n", args...); err != nil {
		l.t.Fatal(err)
	}
}

// until reads lines up to the one that begins with prefix, and returns them all.
func (l *lines) until(prefix string) []string {
	l.t.Helper()
	var got []string
	for {
		_ = l.c.SetReadDeadline(time.Now().Add(time.Minute))
		line, err := l.r.ReadString('\n')
		if err != nil {
			l.t.Fatalf("waiting for %q: %v; heard %q", prefix, err, got)
		}
		line = strings.TrimRight(line, "\r\n")
		got = append(got, line)
		if strings.HasPrefix(line, prefix) {
			return got
		}
	}
}

// command runs a client and fails the test when the client fails.
func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "HOME="+dir), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// write puts a file into dir, readable by its owner only, as mail clients demand.
func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// certificate puts the server's self-signed certificate into a file, for clients that want to be told whom to trust.
func (s *server) certificate(t *testing.T) string {
	t.Helper()
	c, err := tls.Dial("tcp", s.imap, insecure)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	der := c.ConnectionState().PeerCertificates[0].Raw
	return write(t, t.TempDir(), "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// dialFrom connects as a proxy does for a client at addr.
func dialFrom(t *testing.T, to string, addr netip.Addr) *lines {
	t.Helper()
	raw, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	family := "TCP4"
	if addr.Is6() {
		family = "TCP6"
	}
	if _, err := fmt.Fprintf(raw, "PROXY %s %s %[2]s 40000 993\r\n", family, addr); err != nil {
		t.Fatal(err)
	}
	c := tls.Client(raw, insecure)
	return &lines{t, c, bufio.NewReader(c)}
}
