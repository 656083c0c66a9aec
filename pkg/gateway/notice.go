package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"mime"
	"net/netip"
	"strings"
	"time"

	"go.uber.org/zap"

	"postern/pkg/auth"
	"postern/pkg/message"
	"postern/pkg/store"
)

// noticer returns what tells owners of logins from new places, or nil where that is off.
func (g *Gateway) noticer(o Options) func(context.Context, auth.Record) {
	if !o.Config.Auth.Notice {
		return nil
	}
	log := o.Log.Named("auth")
	return func(ctx context.Context, r auth.Record) {
		err := notify(ctx, g.backend.Store, o.Config.Hostname, r)
		log.Info("login from a new place", zap.String("user", r.User), zap.Stringer("remote", r.Addr),
			zap.String("client", r.Client), zap.Error(err))
	}
}

// notify puts a mail into the owner's INBOX.
func notify(ctx context.Context, st store.Store, hostname string, r auth.Record) (err error) {
	mail, err := message.Spool(strings.NewReader(notice(hostname, r)), message.SpoolOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mail.Close()) }()
	account, err := st.Account(ctx, r.Account)
	if err != nil {
		return err
	}
	inbox, err := account.Mailbox(ctx, store.Inbox)
	if err != nil {
		return err
	}
	_, err = account.Append(ctx, inbox.ID, &store.Draft{Spooled: mail, Received: time.Now()})
	return err
}

// notice is the mail. It asks for nothing to be clicked, and names nothing but the facts: so mails that do can be told
// apart from it.
func notice(hostname string, r auth.Record) string {
	client := r.Client
	if client == "" {
		client = "(it did not say)"
	}
	from := "this machine"
	if r.Addr != (netip.Addr{}) {
		from = r.Addr.String()
	}
	subject := mime.QEncoding.Encode("utf-8", "New login to "+r.User)
	return fmt.Sprintf(`From: Postern <postmaster@%s>
To: <%s>
Subject: %s
Date: %s
Message-ID: <%s@%s>
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

There was a login to %s from a place or with a mail program
from which there has been none of late.

  Time      %s
  Address   %s
  Protocol  %s (%s)
  Program   %s

If this was you, there is nothing to do. If not, change your password and
tell those who run %s.
`, hostname, r.User, subject, r.At.Format(time.RFC1123Z), rand.Text(), hostname, r.User, r.At.UTC().Format("2 January 2006 15:04:05 MST"),
		from, strings.ToUpper(r.Protocol), r.Mechanism, client, hostname)
}
