package gateway_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postern/pkg/listen/freeport"
)

// postfix is a private Postfix whose only transport is LMTP to the server.
type postfix struct {
	conf, smtp string
}

// startPostfix runs Postfix with folders of its own, on a port of its own, and with settings ("name = value") of the caller's.
// It needs root, as Postfix does.
func startPostfix(t *testing.T, s *server, settings ...string) *postfix {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("Postfix starts as root only: run the tests as root, as in a container")
	}
	dir, err := os.MkdirTemp(workDir, "postfix-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	addr := freeport.For(t)
	p := &postfix{conf: filepath.Join(dir, "conf"), smtp: addr}
	for _, d := range []string{"conf", "data", "queue"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command(t, dir, nil, "chown", "postfix", filepath.Join(dir, "data"))
	write(t, p.conf, "main.cf", fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
myhostname = mx.example.org
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = example.org
virtual_transport = lmtp:inet:%[2]s
lmtp_tls_security_level = none
message_size_limit = 60000000
virtual_mailbox_limit = 0
mailbox_size_limit = 0
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
`, dir, s.lmtp))
	if len(settings) > 0 {
		command(t, dir, nil, "/usr/sbin/postconf", append([]string{"-c", p.conf, "-e"}, settings...)...)
	}
	master, err := os.ReadFile("/usr/share/postfix/master.cf.dist")
	if err != nil {
		t.Fatal(err)
	}
	// Nothing runs in a chroot, and smtpd listens where the test says.
	var out []string
	for line := range strings.Lines(string(master)) {
		f := strings.Fields(line)
		if len(f) >= 8 && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, " ") {
			f[4] = "n"
			if f[0] == "smtp" && f[1] == "inet" {
				f[0] = p.smtp
			}
			line = strings.Join(f, " ") + "\n"
		}
		out = append(out, line)
	}
	write(t, p.conf, "master.cf", strings.Join(out, ""))
	for _, f := range []string{"main.cf", "master.cf"} {
		if err := os.Chmod(filepath.Join(p.conf, f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	command(t, dir, nil, "/usr/sbin/postfix", "-c", p.conf, "start")
	waitFor(t, p.smtp)
	t.Cleanup(func() {
		if out, err := exec.Command("/usr/sbin/postfix", "-c", p.conf, "stop").CombinedOutput(); err != nil {
			t.Errorf("postfix stop: %v\n%s", err, out)
		}
	})
	return p
}

// submit gives Postfix mails over one connection.
func (p *postfix) submit(t *testing.T, to string, mails ...[]byte) {
	t.Helper()
	c, err := smtp.Dial(p.smtp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, m := range mails {
		if err := c.SendMail("sender@example.com", []string{to}, bytes.NewReader(m)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
}

// drain waits until the queue is empty.
func (p *postfix) drain(t *testing.T) {
	t.Helper()
	for deadline := time.After(3 * time.Minute); ; {
		out, err := exec.Command("/usr/sbin/postqueue", "-c", p.conf, "-j").CombinedOutput()
		if err == nil && len(bytes.TrimSpace(out)) == 0 {
			return
		}
		tick := time.NewTimer(100 * time.Millisecond)
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the queue did not empty: %v\n%s", err, out)
		}
	}
}

// waitFor waits until addr accepts connections.
func waitFor(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-time.After(50 * time.Millisecond)
	}
}
