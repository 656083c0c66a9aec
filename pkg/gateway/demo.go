package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/sync/errgroup"

	"postern/pkg/auth"
	"postern/pkg/store"
)

// demoUser is the account that the demonstration makes.
const demoUser = "demo@localhost"

//go:embed demo/*.eml
var demoMail embed.FS

// DemoSettings are environment variables for a Postern to try, all of it on loopback and below ./data.
func DemoSettings() []string {
	return []string{
		"POSTERN_DATA_DIR=data",
		"POSTERN_HOSTNAME=localhost",
		"POSTERN_IMAP_LISTEN=127.0.0.1:1993",
		"POSTERN_POP3_LISTEN=127.0.0.1:1995",
		"POSTERN_LMTP_LISTEN=127.0.0.1:2424",
		"POSTERN_HTTP_LISTEN=127.0.0.1:8025",
		"POSTERN_LOG_FORMAT=console",
		"POSTERN_LOG_LEVEL=warn",
	}
}

// RunDemo serves as Run does, with an account and a few mails made at the first start, and tells out how to read them.
func RunDemo(ctx context.Context, o Options, out io.Writer) error {
	if _, err := fmt.Fprintln(out, "Starting PostgreSQL and Postern …"); err != nil {
		return err
	}
	g, err := New(ctx, o)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // told to stop before it was up
	case err != nil:
		return err
	}
	d := &demo{g: g, passwordFile: filepath.Join(o.Config.DataDir, "demo-password"), out: out}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.Run(ctx) })
	group.Go(func() error {
		if err := d.prepare(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("demonstration: %w", err)
		}
		return nil
	})
	return group.Wait()
}

type demo struct {
	g            *Gateway
	passwordFile string // remembers the password for the next start; the account is of no worth
	out          io.Writer
}

func (d *demo) prepare(ctx context.Context) error {
	password, err := d.password()
	if err != nil {
		return err
	}
	if err := d.account(ctx, password); err != nil {
		return err
	}
	return d.tell(password)
}

func (d *demo) password() (string, error) {
	b, err := os.ReadFile(d.passwordFile)
	if err == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	password := strings.ToLower(rand.Text()[:16])
	return password, os.WriteFile(d.passwordFile, []byte(password+"\n"), 0o600)
}

// account makes the account with its mails, or gives the one that is there the password we are going to print. The mails
// are delivered anew if an earlier start was cut short; none is doubled.
func (d *demo) account(ctx context.Context, password string) error {
	secret, err := auth.Hash(password)
	if err != nil {
		return err
	}
	st := d.g.backend.Store
	if _, err := st.CreateAccount(ctx, demoUser, secret, 0); err == nil {
		return d.deliver()
	} else if !errors.Is(err, store.ErrExists) {
		return err
	}
	a, err := st.AccountByAddress(ctx, demoUser)
	if err != nil {
		return err
	}
	return st.SetSecret(ctx, a.ID, secret)
}

// deliver sends the mails through LMTP, as a mail server would.
func (d *demo) deliver() error {
	addr := d.g.Addr("lmtp")
	if addr == nil {
		return errors.New("lmtp.listen is off: no mails to look at")
	}
	conn, err := net.DialTimeout(addr.Network(), addr.String(), 5*time.Second)
	if err != nil {
		return err
	}
	c := smtp.NewClientLMTP(conn)
	defer conn.Close()
	if err := c.Hello("localhost"); err != nil {
		return err
	}
	mails, err := fs.Glob(demoMail, "demo/*.eml")
	if err != nil {
		return err
	}
	for _, name := range mails {
		if err := deliverOne(c, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return c.Quit()
}

func deliverOne(c *smtp.Client, name string) error {
	mail, err := demoMail.ReadFile(name)
	if err != nil {
		return err
	}
	if err := c.Mail("postern@localhost", nil); err != nil {
		return err
	}
	if err := c.Rcpt(demoUser, nil); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(bytes.ReplaceAll(mail, []byte("\n"), []byte("\r\n"))); err != nil {
		return err
	}
	return w.Close()
}

const demoText = `
Postern is running. Account %[1]s, password %[2]s

Read it from another terminal:
  curl -k --user %[1]s:%[2]s imaps://%[3]s/
  curl -k --user %[1]s:%[2]s "imaps://%[3]s/INBOX;MAILINDEX=2"
  curl -k --user %[1]s:%[2]s "imaps://%[3]s/INBOX?SUBJECT%%20Postern"
  curl -k --user %[1]s:%[2]s pop3s://%[4]s/
  curl -k --user %[1]s:%[2]s pop3s://%[4]s/1

Settings for a mail client:
  IMAP server     %[3]s   SSL/TLS (not STARTTLS), normal password
  POP3 server     %[4]s   SSL/TLS (not STARTTLS), normal password
  User name       %[1]s
  Certificate     self-signed: the client asks once; accept it

Deliver to it over LMTP at %[5]s. Data is in %[6]s; removing that folder removes everything.
Stop with Ctrl-C.
`

func (d *demo) tell(password string) error {
	_, err := fmt.Fprintf(d.out, demoText, demoUser, password, d.g.Addr("imap"), d.g.Addr("pop3"), d.g.Addr("lmtp"),
		filepath.Dir(d.passwordFile))
	return err
}
