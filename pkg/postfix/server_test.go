package postfix

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/pkg/store"
	"postern/pkg/store/memory"
)

// changed is a store that fails, or in which one account is full.
type changed struct {
	store.Store
	err  error
	full store.AccountID
}

func (c changed) Route(ctx context.Context, address string) (store.Route, error) {
	if c.err != nil {
		return store.Route{}, c.err
	}
	r, err := c.Store.Route(ctx, address)
	for i := range r.Targets {
		r.Targets[i].OverQuota = r.Targets[i].Account == c.full
	}
	return r, err
}

func newStore() changed {
	s := memory.New()
	s.AddAccount("alice@example.org", "", 0)
	full := s.AddAccount("full@example.org", "", 0)
	s.AddAlias("sales@example.org", "alice@example.org", "full@example.org")
	s.AddAlias("@example.net", "alice@example.org")
	return changed{Store: s, full: full}
}

func startServer(t *testing.T, s *Server) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, request, want string
		reject, away        bool
	}{
		{name: "account", request: "recipient alice@example.org", want: "OK alice@example.org"},
		{name: "account in capitals", request: "recipient Alice@EXAMPLE.org", want: "OK Alice@EXAMPLE.org"},
		{name: "detail", request: "recipient alice+lists@example.org", want: "OK alice+lists@example.org"},
		{name: "alias", request: "recipient sales@example.org", want: "OK sales@example.org"},
		{name: "catch-all", request: "recipient whoever@example.net", want: "OK whoever@example.net"},
		{name: "nobody", request: "recipient nobody@example.org", want: "NOTFOUND "},
		{name: "other domain", request: "recipient alice@example.com", want: "NOTFOUND "},
		{name: "no domain", request: "recipient alice", want: "NOTFOUND "},
		{name: "domain alone", request: "recipient @example.net", want: "NOTFOUND "},
		{name: "full mailbox exists", request: "recipient full@example.org", want: "OK full@example.org"},
		{name: "spaces in an address", request: "recipient \"a b\"@example.org", want: "NOTFOUND "},
		{name: "octets", request: "recipient \x00\xff@example.org", want: "NOTFOUND "},
		{name: "room", request: "quota alice@example.org", want: "NOTFOUND "},
		{name: "full", request: "quota full@example.org", want: "OK 452 4.2.2 Mailbox full, try again later."},
		{name: "full for good", request: "quota full@example.org", want: "OK 552 5.2.2 Mailbox full.", reject: true},
		{name: "alias with a full mailbox", request: "quota sales@example.org", want: "OK 452 4.2.2 Mailbox full, try again later."},
		{name: "quota of nobody", request: "quota nobody@example.org", want: "NOTFOUND "},
		{name: "database away", request: "recipient alice@example.org", want: "TEMP the mail store cannot be asked now", away: true},
		{name: "other map", request: "passwords alice@example.org", want: "PERM there is no such map"},
		{name: "no key", request: "recipient", want: "PERM a map and an address are expected"},
		{name: "empty key", request: "recipient ", want: "PERM a map and an address are expected"},
		{name: "nothing", request: "", want: "PERM there is no such map"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			accounts := newStore()
			if test.away {
				accounts.err = fmt.Errorf("route: %w", store.ErrUnavailable)
			}
			c := startServer(t, &Server{Accounts: accounts, QuotaReject: test.reject, Metrics: NewMetrics(prometheus.NewRegistry())})
			in := bufio.NewReader(c)
			for range 2 { // a connection is used again
				if err := writeNetstring(c, test.request); err != nil {
					t.Fatal(err)
				}
				if got, err := readNetstring(in); err != nil || got != test.want {
					t.Fatalf("%q, %v, want %q", got, err, test.want)
				}
			}
		})
	}
}

func TestNetstring(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in, want string
		err      error
	}{
		{in: "0:,", want: ""},
		{in: "5:hello,", want: "hello"},
		{in: "4096:" + strings.Repeat("x", 4096) + ",", want: strings.Repeat("x", 4096)},
		{in: "", err: io.EOF},
		{in: "5", err: io.ErrUnexpectedEOF},
		{in: "5:hel", err: io.ErrUnexpectedEOF},
		{in: "5:hello", err: io.ErrUnexpectedEOF},
		{in: "5:hello!", err: errNotNetstring},
		{in: "05:hello,", err: errNotNetstring},
		{in: ":,", err: errNotNetstring},
		{in: "-1:,", err: errNotNetstring},
		{in: " 5:hello,", err: errNotNetstring},
		{in: "4097:", err: errNotNetstring},
		{in: "99999999999999999999:", err: errNotNetstring},
		{in: "GET / HTTP/1.1\r\n", err: errNotNetstring},
	} {
		got, err := readNetstring(bufio.NewReader(strings.NewReader(test.in)))
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%.20q: %.20q, %v, want %.20q, %v", test.in, got, err, test.want, test.err)
		}
	}
}

// TestNotNetstring ends the connection: what follows would be read as something else than was meant.
func TestNotNetstring(t *testing.T) {
	t.Parallel()
	c := startServer(t, &Server{Accounts: newStore()})
	if _, err := io.WriteString(c, "RCPT TO:<alice@example.org>\r\n"); err != nil {
		t.Fatal(err)
	}
	got, err := readNetstring(bufio.NewReader(c))
	if err != nil || got != badRequest.String() {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
}

// TestShutdown does not wait for those who only keep their connection.
func TestShutdown(t *testing.T) {
	t.Parallel()
	s := &Server{Accounts: newStore()}
	c := startServer(t, s)
	in := bufio.NewReader(c)
	if err := writeNetstring(c, "recipient alice@example.org"); err != nil {
		t.Fatal(err)
	}
	if _, err := readNetstring(in); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := readNetstring(in); !errors.Is(err, io.EOF) {
		t.Errorf("after Shutdown: %v", err)
	}
}

func FuzzNetstring(f *testing.F) {
	for _, seed := range []string{"0:,", "5:hello,", "05:x,", "4097:", "3:a b,3:a b,"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := bufio.NewReader(bytes.NewReader(data))
		text, err := readNetstring(in)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := writeNetstring(&out, text); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(data, out.Bytes()) || len(text) > maxRequest {
			t.Errorf("%q was read from %q", text, data)
		}
	})
}

// FuzzLookup asks anything: the answer is always one of the four kinds, and what is OK is an address that leads somewhere.
func FuzzLookup(f *testing.F) {
	for _, seed := range []string{"recipient alice@example.org", "quota sales@example.org", "recipient ", "x y z"} {
		f.Add(seed)
	}
	s := memory.New()
	s.AddAccount("alice@example.org", "", 0)
	near, _ := net.Pipe()
	c := newConn(&Server{Accounts: s}, near)
	f.Fuzz(func(t *testing.T, request string) {
		a := c.lookup(t.Context(), request)
		_, address, _ := strings.Cut(request, " ")
		switch a.status {
		case "OK":
			if _, err := s.Route(t.Context(), address); err != nil {
				t.Errorf("%q: %q, %v", request, a, err)
			}
		case "NOTFOUND", "TEMP", "PERM":
		default:
			t.Errorf("%q: %q", request, a)
		}
	})
}
