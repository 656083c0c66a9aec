package pop3

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postern/pkg/message"
	"postern/pkg/store"
	"postern/pkg/store/memory"
)

// FuzzPOP3 sends octets to a whole session over a store in memory. Whatever they are, the session ends with the
// connection, says nothing but replies, and gives the maildrop up.
func FuzzPOP3(f *testing.F) {
	login := "USER " + alice + "\r\nPASS " + secret + "\r\n"
	for _, seed := range []string{
		"", "CAPA\r\nQUIT\r\n", "\r\n\r\n", "AUTH PLAIN\r\n*\r\nQUIT\r\n",
		login + "STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 1 1\r\nDELE 1\r\nRSET\r\nQUIT\r\n",
		login + "RETR 1\r\nRETR 2\r\nRETR 3\r\nTOP 2 99999\r\nDELE 2\r\nLIST 2\r\nQUIT\r\n",
		"AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAG9wZW4gc2VzYW1l\r\nUIDL 2\r\nLANG\r\nUTF8\r\nNOOP\r\n",
		"AUTH LOGIN\r\nUSER x\r\nPASS\r\nSTLS\r\nAPOP a b\r\n" + strings.Repeat("x", 5000) + "\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		mail := memory.New()
		id := mail.AddAccount(alice, "", 0)
		for _, text := range []string{"S: a\r\n\r\n.\r\nb", "S: b", "\r\n\x00\r\n.\r\n"} {
			put(t, mail, id, text)
		}
		s := &Server{Accounts: mail, Auth: &doorman{users: map[string]store.AccountID{alice: id}}, Hostname: "h"}
		client, server := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c := newConn(s, server)
			defer c.Abort()
			c.Serve(t.Context())
		}()
		go func() {
			client.Write(input)               //nolint:errcheck // the session may be over before its end
			client.Write([]byte("\r\n*\r\n")) //nolint:errcheck // the same; "*" ends an exchange
			client.Write([]byte("QUIT\r\n"))  //nolint:errcheck // the same
		}()
		if err := client.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(client)
		if err != nil {
			t.Fatalf("%v after %q", err, out)
		}
		if !bytes.HasPrefix(out, []byte("+OK ")) || !bytes.HasSuffix(out, []byte("\r\n")) {
			t.Errorf("said %q", out)
		}
		<-ended
		account, err := mail.Account(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := account.LockMaildrop(context.Background()); err != nil {
			t.Errorf("lock: %v", err)
		}
	})
}

func put(t *testing.T, mail store.Store, id store.AccountID, text string) {
	t.Helper()
	account, err := mail.Account(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	box, err := account.Mailbox(context.Background(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	s, err := message.Spool(strings.NewReader(text), message.SpoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := account.Append(context.Background(), box.ID, &store.Draft{Spooled: s}); err != nil {
		t.Fatal(err)
	}
}
