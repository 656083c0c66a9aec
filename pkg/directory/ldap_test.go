package directory_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"postern/pkg/auth"
	"postern/pkg/directory"
	"postern/pkg/directory/slapdtest"
)

const patience = time.Minute

// ask asks with all the time there may be on a busy machine.
func ask(t *testing.T, c auth.Checker, user, password string) (bool, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return c.Check(ctx, auth.Question{User: user, Password: password, Peer: auth.Peer{Protocol: "imap", TLS: true}})
}

func newLDAP(t *testing.T, opt directory.LDAPOptions) *directory.LDAP {
	t.Helper()
	l, err := directory.NewLDAP(opt)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLDAP asks a real server by both ways of finding an entry.
func TestLDAP(t *testing.T) {
	t.Parallel()
	s := slapdtest.Start(t)
	byName := directory.LDAPOptions{URLs: []string{s.Socket}, DN: "uid={local}," + slapdtest.People}
	bySearch := directory.LDAPOptions{
		URLs: []string{s.Socket}, Base: slapdtest.People, Filter: "(&(objectClass=person)(mail={address}))",
		BindDN: slapdtest.Searcher, BindPassword: slapdtest.SearcherSecret,
	}
	t.Run("answers", func(t *testing.T) {
		t.Parallel()
		answers(t, newLDAP(t, byName), newLDAP(t, bySearch))
	})
	t.Run("channels", func(t *testing.T) {
		t.Parallel()
		channels(t, s, bySearch)
	})
	t.Run("faults of ours", func(t *testing.T) {
		t.Parallel()
		faultsOfOurs(t, bySearch)
	})
}

// answers has what a directory decides: nothing that a user may say is more than a wrong password.
func answers(t *testing.T, byName, bySearch *directory.LDAP) {
	t.Helper()
	const right = slapdtest.Password
	for _, tt := range []struct {
		name, user, password string
		want                 bool
	}{
		{"right", "anna@example.org", right, true},
		{"wrong", "anna@example.org", "wrong", false},
		{"empty, which a server takes for nobody's", "anna@example.org", "", false},
		{"empty, unknown user", "nobody@example.org", "", false},
		{"a space", "anna@example.org", " ", false},
		{"NUL after the right one", "anna@example.org", right + "\x00", false},
		{"unknown user", "nobody@example.org", right, false},
		{"an entry without a password", "bert@example.org", right, false},
		{"a filter in the name", "*)(uid=*@example.org", right, false},
		{"a star", "*@example.org", right, false},
		{"part of a name and a star", "ann*@example.org", right, false},
		{"a filter that is always true", "anna)(|(mail=*@example.org", right, false},
		{"NUL in the name", "anna\x00@example.org", right, false},
		{"NUL and more in the name", "anna\x00*)@example.org", right, false},
		{"backslash", `an\6ea@example.org`, right, false},
		{"a DN in the name", "anna,ou=people,dc=example,dc=org@example.org", right, false},
		{"another attribute in the name", "x+uid=anna@example.org", right, false},
		{"no local part", "@example.org", right, false},
		{"a placeholder", "{local}@example.org", right, false},
		{"not ASCII", "ännä@example.org", right, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for how, l := range map[string]*directory.LDAP{"by name": byName, "by search": bySearch} {
				if ok, err := ask(t, l, tt.user, tt.password); ok != tt.want || err != nil {
					t.Errorf("%s: %v, %v; want %v", how, ok, err, tt.want)
				}
			}
		})
	}
}

// channels has connections of each kind, and those that must not be trusted.
func channels(t *testing.T, s *slapdtest.Server, opt directory.LDAPOptions) {
	t.Helper()
	other := slapdtest.Start(t)
	for _, tt := range []struct {
		name   string
		change func(*directory.LDAPOptions)
		err    string // part of it
	}{
		{"TLS at once", func(o *directory.LDAPOptions) { o.URLs, o.Roots = []string{s.TLS}, s.Roots }, ""},
		{"StartTLS", func(o *directory.LDAPOptions) { o.URLs, o.Roots, o.StartTLS = []string{s.Plain}, s.Roots, true }, ""},
		{"neither, on this machine", func(o *directory.LDAPOptions) { o.URLs = []string{s.Plain} }, ""},
		{"the wrong CA", func(o *directory.LDAPOptions) { o.URLs, o.Roots = []string{s.TLS}, other.Roots }, "x509"},
		{"StartTLS, the wrong CA", func(o *directory.LDAPOptions) { o.URLs, o.Roots, o.StartTLS = []string{s.Plain}, other.Roots, true }, "x509"},
		{"StartTLS, another host's certificate", func(o *directory.LDAPOptions) {
			o.URLs, o.Roots, o.StartTLS = []string{strings.Replace(s.Plain, "127.0.0.1", "localhost", 1)}, s.Roots, true
		}, "x509"},
		{"TLS where there is none", func(o *directory.LDAPOptions) {
			o.URLs = []string{strings.Replace(s.Plain, "ldap:", "ldaps:", 1)}
		}, "TLS"},
		{"the first is not there", func(o *directory.LDAPOptions) { o.URLs = []string{"ldapi:///nowhere/socket", s.Socket} }, ""},
		{"none is there", func(o *directory.LDAPOptions) { o.URLs = []string{"ldapi:///nowhere/a", "ldapi:///nowhere/b"} }, "/nowhere/b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opt := opt
			tt.change(&opt)
			ok, err := ask(t, newLDAP(t, opt), "anna@example.org", slapdtest.Password)
			if ok != (tt.err == "") || (err == nil) != ok || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v, %v; want %q", ok, err, tt.err)
			}
		})
	}
}

// faultsOfOurs has settings that are wrong: nobody hears that his password is.
func faultsOfOurs(t *testing.T, opt directory.LDAPOptions) {
	t.Helper()
	for _, tt := range []struct {
		name   string
		user   string
		change func(*directory.LDAPOptions)
		err    string
	}{
		{"wrong password of the searcher", "anna@example.org", func(o *directory.LDAPOptions) { o.BindPassword = "wrong" }, "bind as cn=search"},
		{"no password of the searcher", "anna@example.org", func(o *directory.LDAPOptions) { o.BindPassword = "" }, "bind as cn=search"},
		{"nobody searches", "anna@example.org", func(o *directory.LDAPOptions) { o.BindDN = "" }, "search"},
		{"no such base", "anna@example.org", func(o *directory.LDAPOptions) { o.Base = "ou=nowhere," + slapdtest.Base }, "search"},
		{"several entries", slapdtest.Shared, func(*directory.LDAPOptions) {}, "several entries"},
		{"many entries", "anna@example.org", func(o *directory.LDAPOptions) { o.Filter = "(objectClass=*)" }, "several entries"},
		{"a referral", "anna@example.org", func(o *directory.LDAPOptions) { o.Base = "ou=elsewhere," + slapdtest.People }, "search"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opt := opt
			tt.change(&opt)
			if ok, err := ask(t, newLDAP(t, opt), tt.user, slapdtest.Password); ok || err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v, %v; want %q", ok, err, tt.err)
			}
		})
	}
}

// TestLDAPAway stops the server and starts it again.
func TestLDAPAway(t *testing.T) {
	t.Parallel()
	s := slapdtest.Start(t)
	l := newLDAP(t, directory.LDAPOptions{URLs: []string{s.Socket, s.Plain}, DN: "uid={local}," + slapdtest.People})
	for range 2 {
		if ok, err := ask(t, l, "anna@example.org", slapdtest.Password); !ok || err != nil {
			t.Fatalf("%v, %v", ok, err)
		}
		s.Stop()
		if ok, err := ask(t, l, "anna@example.org", slapdtest.Password); ok || err == nil {
			t.Fatalf("stopped: %v, %v", ok, err)
		}
		s.Run(t)
	}
}

// TestLDAPServers has servers that do not speak, or speak too much.
func TestLDAPServers(t *testing.T) {
	t.Parallel()
	flood := []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02, 0x01, 0x01, 0x61, 0x84, 0x7f, 0xff, 0xff, 0x00} // a message of 2 GiB
	for name, say := range map[string][]byte{
		"silent": nil, "not LDAP": []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "endless": append(flood, make([]byte, 1<<20)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := make(chan struct{})
			addr := serveOctets(t, say, said)
			l := newLDAP(t, directory.LDAPOptions{URLs: []string{"ldap://" + addr}, DN: "uid={local}," + slapdtest.People})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if say == nil {
				go func() {
					<-said
					cancel() // as the end of the time would
				}()
			}
			if ok, err := l.Check(ctx, auth.Question{User: "anna@example.org", Password: "x"}); ok || err == nil {
				t.Errorf("%v, %v", ok, err)
			}
		})
	}
}

// TestLDAPLocked has what servers say of a user whom they have locked out: it is a no, else the next guesses would count for nobody,
// show who has an account, and pass for an outage.
func TestLDAPLocked(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]byte{"389 Directory Server": 19, "FreeIPA": 53} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			locked := []byte{0x30, 12, 0x02, 1, 1, 0x61, 7, 0x0a, 1, code, 0x04, 0, 0x04, 0} // BindResponse (RFC 4511 §4.2.2)
			addr := serveOctets(t, locked, make(chan struct{}))
			l := newLDAP(t, directory.LDAPOptions{URLs: []string{"ldap://" + addr}, DN: "uid={local}," + slapdtest.People})
			if ok, err := ask(t, l, "anna@example.org", slapdtest.Password); ok || err != nil {
				t.Errorf("%v, %v", ok, err)
			}
		})
	}
}

// TestLDAPAbandoned has clients leave while the first server is thinking: that is no failure of its, and it stays the first.
func TestLDAPAbandoned(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	first := serveSilence(t, asked)
	second := serveOctets(t, []byte{0x30, 12, 0x02, 1, 1, 0x61, 7, 0x0a, 1, 49, 0x04, 0, 0x04, 0}, make(chan struct{}))
	l := newLDAP(t, directory.LDAPOptions{URLs: []string{"ldap://" + first, "ldap://" + second}, DN: "uid={local}," + slapdtest.People})
	for range 2 {
		ctx, leave := context.WithTimeout(t.Context(), patience)
		defer leave()
		go func() {
			select {
			case <-asked:
				leave()
			case <-ctx.Done():
			}
		}()
		if ok, err := l.Check(ctx, auth.Question{User: "anna@example.org", Password: "x"}); ok || err == nil {
			t.Errorf("%v, %v: somebody else was asked", ok, err)
		}
	}
}

// serveSilence tells of each who has connected and said something.
func serveSilence(t *testing.T, asked chan<- struct{}) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if _, err := conn.Read(make([]byte, 1<<10)); err == nil {
				asked <- struct{}{}
			}
		}
	}()
	return l.Addr().String()
}

// serveOctets says something to whoever connects and has said something, and hangs up; with nothing to say it waits.
func serveOctets(t *testing.T, say []byte, said chan struct{}) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 1<<10)
		if _, err := conn.Read(buf); err != nil {
			return
		}
		_, _ = conn.Write(say) // they may hang up
		close(said)
		for say == nil && err == nil {
			_, err = conn.Read(buf)
		}
	}()
	return l.Addr().String()
}

// TestLDAPOptions has what can be known to be wrong before anybody asks, all at once.
func TestLDAPOptions(t *testing.T) {
	t.Parallel()
	_, err := directory.NewLDAP(directory.LDAPOptions{
		URLs: []string{"http://example.org", "ldap://ok"}, Filter: "(mail={address}", Base: "people", BindDN: "x",
	})
	for _, want := range []string{"http://example.org", "filter:", "base:", "bind_dn:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	if _, err := directory.NewLDAP(directory.LDAPOptions{DN: "{local}"}); err == nil || !strings.Contains(err.Error(), "dn:") {
		t.Errorf("a name that is none: %v", err)
	}
}
