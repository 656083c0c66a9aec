package gateway_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"postern/pkg/listen/freeport"
)

// TestPostfixAsksForRecipients lets a Postfix with the settings of deploy/postfix decide at RCPT, from what Postern says:
// who does not exist or is full is refused while the sender is there, and nothing is lost while Postern is away.
func TestPostfixAsksForRecipients(t *testing.T) {
	t.Parallel()
	asked := freeport.For(t)
	s, err := startServer(filepath.Join(workDir, "recipients"), "POSTERN_POSTFIX_LISTEN="+asked)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop() })
	s.account(t, "anna@example.org")
	s.account(t, "full@example.org")
	if err := s.deliver("sender@example.com", "full@example.org", strings.NewReader("Subject: the last\r\n\r\nx\r\n")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"account", "quota", "full@example.org", "--storage", "1B"},
		{"alias", "add", "sales@example.org", "anna@example.org"},
		{"alias", "add", "@example.net", "anna@example.org"},
	} {
		if _, err := s.postern("", args...); err != nil {
			t.Fatal(err)
		}
	}
	p := startPostfix(t, s, recipientSettings(t, asked)...)
	if !await(func() bool { return p.offer(t, "full@example.org") == 452 }) { // limits are noticed within seconds
		t.Error("full@example.org is accepted")
	}

	for _, to := range []struct {
		address string
		code    int // 0: accepted
	}{
		{"anna@example.org", 0},
		{"anna+lists@example.org", 0},
		{"sales@example.org", 0},
		{"whoever@example.net", 0},
		{"nobody@example.org", 550},
		{"nobody+anna@example.org", 550},
		{"anna@example.com", 554}, // not ours
	} {
		if code := p.offer(t, to.address); code != to.code {
			t.Errorf("%s: %d, want %d", to.address, code, to.code)
		}
	}
	p.submit(t, "anna+lists@example.org", []byte("Subject: asked\r\n\r\nx\r\n"))
	p.drain(t)
	if box, err := s.imapClient(t, "anna@example.org", nil).Select("INBOX", nil).Wait(); err != nil || box.NumMessages != 1 {
		t.Errorf("INBOX: %+v, %v", box, err)
	}

	s.stop()
	if code := p.offer(t, "anna@example.org"); code != 451 { // try again: it may exist
		t.Errorf("with Postern away: %d, want 451", code)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if code := p.offer(t, "anna@example.org"); code != 0 {
		t.Errorf("with Postern back: %d", code)
	}
}

// recipientSettings are those of deploy/postfix/main.cf that ask Postern, as they stand there.
func recipientSettings(t *testing.T, asked string) []string {
	t.Helper()
	settings := []string{"mynetworks =", "virtual_mailbox_domains = example.org, example.net"}
	for _, name := range []string{"virtual_mailbox_maps", "smtpd_recipient_restrictions", "smtpd_relay_restrictions"} {
		line := command(t, ".", nil, "/usr/sbin/postconf", "-c", "../../deploy/postfix", name)
		settings = append(settings, strings.ReplaceAll(strings.TrimSpace(line), "inet:127.0.0.1:2526:", "inet:"+asked+":"))
	}
	return settings
}

// offer says MAIL and RCPT and returns the code of the refusal, 0 if there is none.
func (p *postfix) offer(t *testing.T, to string) int {
	t.Helper()
	c, err := smtp.Dial(p.smtp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail("sender@example.com", nil); err != nil {
		t.Fatal(err)
	}
	err = c.Rcpt(to, nil)
	var refused *smtp.SMTPError
	switch {
	case errors.As(err, &refused):
		return refused.Code
	case err != nil:
		t.Fatal(err)
	}
	return 0
}
