//go:build !race

package lmtp

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/allocs"
	"postern/pkg/store"
)

// drain takes all mail and forgets it.
type drain struct{ store.Store }

type drainAccount struct{ store.Account }

func (drain) Route(_ context.Context, address string) (store.Route, error) {
	return store.Route{Targets: []store.Target{{Account: 1, Address: address, Inbox: 1}}}, nil
}

func (drain) Account(context.Context, store.AccountID) (store.Account, error) {
	return drainAccount{}, nil
}

func (drainAccount) Append(context.Context, store.MailboxID, ...*store.Draft) ([]imap.UID, error) {
	return []imap.UID{1}, nil
}

// TestBudget: what a message of 20 KB allocates from MAIL to its reply, apart from the store. Most of it is the MIME tree.
func TestBudget(t *testing.T) {
	nc, err := net.Dial("tcp", startServing(t, &Server{Accounts: drain{}, Hostname: "mail.example.org"}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(nc)
	say := func(what []byte, replies int) {
		if _, err := nc.Write(what); err != nil {
			t.Fatal(err)
		}
		for replies > 0 {
			line, err := in.ReadSlice('\n')
			if err != nil || line[0] > '3' {
				t.Fatalf("%q, %v", line, err)
			}
			if line[3] == ' ' {
				replies--
			}
		}
	}
	say(nil, 1)
	say([]byte("LHLO there\r\n"), 1)
	begin := []byte("MAIL FROM:<ann@example.com>\r\nRCPT TO:<" + bob + ">\r\nDATA\r\n")
	var mail bytes.Buffer
	mail.WriteString("From: Ann <ann@example.com>\r\nTo: Bob <bob@example.org>\r\nSubject: a\r\nMessage-ID: <1@example.com>\r\n\r\n")
	mail.Write(bytes.Repeat([]byte("Some words of every day, and some more of them.\r\n"), 400))
	mail.WriteString(".\r\n")
	allocs.Check(t, "a delivery", allocs.Most{Objects: 66, Octets: 4 << 10}, func() {
		say(begin, 3)
		say(mail.Bytes(), 1)
	})
}
