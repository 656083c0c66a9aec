package auth

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/xdg-go/scram"
)

// channels are the two ends of a TLS connection.
func channels(t *testing.T, version uint16) (server, client *tls.Conn) {
	t.Helper()
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	a, b := net.Pipe()
	server = tls.Server(a, &tls.Config{Certificates: web.TLS.Certificates, MaxVersion: version}) //nolint:gosec // old ones are the point
	client = tls.Client(b, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return server, client
}

func exporter(t *testing.T, c Channel) scram.ChannelBinding {
	t.Helper()
	state := c.ConnectionState()
	b, err := scram.NewTLSExporterBinding(&state)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// scramUser gives alice keys.
func (s *stage) scramUser(password string) {
	s.t.Helper()
	keys, err := newSCRAMKeys(password, cmp.Or(s.dir.users[alice].Salt, NewSalt()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.dir.change(alice, func(c *Credential) { c.SCRAM = keys })
}

// speak runs an exchange with a client of the library's; spoil may change what the client says.
func (s *stage) speak(p Peer, mech, user, authz, password string, start func(*scram.Client) *scram.ClientConversation,
	spoil func(step int, said string) string,
) (Identity, error) {
	s.t.Helper()
	client, err := scram.SHA256.NewClient(user, password, authz)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.converse(p, mech, start(client), spoil)
}

// converse runs the exchange of a client that there is.
func (s *stage) converse(p Peer, mech string, conv *scram.ClientConversation, spoil func(step int, said string) string) (Identity, error) {
	s.t.Helper()
	step := 0
	ask := func(challenge []byte) ([]byte, error) {
		said, err := conv.Step(string(challenge))
		if err != nil {
			s.t.Errorf("client: %v", err)
		}
		step++
		if spoil != nil {
			said = spoil(step, said)
		}
		return []byte(said), nil
	}
	return s.Exchange(s.t.Context(), p, mech, nil, ask)
}

func unbound(c *scram.Client) *scram.ClientConversation { return c.NewConversation() }

// TestSCRAM has right and wrong logins of every kind.
func TestSCRAM(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, user, authz, password string
		change                      func(*stage)
		err                         error
		reason                      string
	}{
		{"right", alice, "", right, nil, nil, ""},
		{"another spelling", "Alice@Example.ORG", "", right, nil, nil, ""},
		{"as oneself", alice, alice, right, nil, nil, ""},
		{"as another", alice, "bob@example.org", right, nil, ErrDenied, "authorization identity is another's"},
		{"wrong", alice, "", "wrong", nil, ErrDenied, "wrong password"},
		{"unknown", "nobody@example.org", "", right, nil, ErrDenied, "unknown user"},
		{"no keys", "carol@example.org", "", right, nil, ErrDenied, "no keys of SCRAM for the password yet: log in with it once; or make the app password anew"},
		{"disabled", alice, "", right, func(s *stage) { s.dir.change(alice, func(c *Credential) { c.Disabled = true }) }, ErrDenied, "account disabled"},
		{
			"app passwords only", alice, "", right,
			func(s *stage) { s.dir.change(alice, func(c *Credential) { c.AppOnly = true }) }, ErrDenied, "only app passwords log in to this account",
		},
		{
			"a code needed", alice, "", right, func(s *stage) { s.dir.change(alice, s.needCode) }, ErrDenied,
			"SCRAM cannot carry the code that this account needs: use PLAIN, or an app password",
		},
		{
			"broken keys", alice, "", right,
			func(s *stage) { s.dir.change(alice, func(c *Credential) { c.SCRAM = "SCRAM-SHA-256$x" }) }, ErrDenied, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.scramUser(right)
			if tt.change != nil {
				tt.change(s)
			}
			id, err := s.speak(Peer{Addr: home, TLS: true, Protocol: "pop3"}, scramSHA256, tt.user, tt.authz, tt.password, unbound, nil)
			if !errors.Is(err, tt.err) || (err == nil) != (id.Account == 1) {
				t.Fatalf("%+v, %v; want %v", id, err, tt.err)
			}
			if tt.reason != "" {
				s.checkLine(tt.reason)
			}
			if refused := tt.err != nil; refused != (len(s.delays) == 1) {
				t.Errorf("delays %v", s.delays)
			}
			for _, line := range s.logs.All() {
				if strings.Contains(fmt.Sprint(line.ContextMap()), "horse") {
					t.Errorf("line %v", line)
				}
			}
		})
	}
}

// TestSCRAMBinding binds logins to TLS: to this connection, to another, by a client that was told there is no PLUS.
func TestSCRAMBinding(t *testing.T) {
	t.Parallel()
	server, client := channels(t, tls.VersionTLS13)
	_, other := channels(t, tls.VersionTLS13)
	p := Peer{Addr: home, TLS: true, Protocol: "pop3", Channel: server}
	bound := func(c Channel) func(*scram.Client) *scram.ClientConversation {
		return func(cl *scram.Client) *scram.ClientConversation {
			return cl.NewConversationWithChannelBinding(exporter(t, c))
		}
	}
	fake := func(cl *scram.Client) *scram.ClientConversation {
		return cl.NewConversationWithChannelBinding(scram.ChannelBinding{Type: "tls-unique", Data: []byte("x")})
	}
	downgraded := func(step int, said string) string { return strings.Replace(said, "n,,", "y,,", 1) }
	for _, tt := range []struct {
		name, mech string
		start      func(*scram.Client) *scram.ClientConversation
		spoil      func(int, string) string
		err        error
	}{
		{"this connection", scramSHA256Plus, bound(client), nil, nil},
		{"another connection", scramSHA256Plus, bound(other), nil, ErrDenied},
		{"another type", scramSHA256Plus, fake, nil, ErrDenied},
		{"PLUS without binding", scramSHA256Plus, unbound, nil, ErrDenied},
		{"client that cannot", scramSHA256, unbound, nil, nil},
		{"client that was told we cannot", scramSHA256, unbound, downgraded, ErrDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.scramUser(right)
			if _, err := s.speak(p, tt.mech, alice, "", right, tt.start, tt.spoil); !errors.Is(err, tt.err) {
				t.Errorf("%v, want %v", err, tt.err)
			}
		})
	}
}

// TestSCRAMOffered: PLUS only where there is something to bind to, and only what was chosen.
func TestSCRAMOffered(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	server, _ := channels(t, tls.VersionTLS13)
	if got := s.Mechanisms(Peer{TLS: true, Channel: server}); !slices.Equal(got, []string{scramSHA256Plus, scramSHA256, "PLAIN", "LOGIN"}) {
		t.Errorf("TLS 1.3: %v", got)
	}
	if got := s.Mechanisms(Peer{TLS: true}); slices.Contains(got, scramSHA256Plus) {
		t.Errorf("without a channel: %v", got)
	}
	chosen := newStage(t, func(o *Options) { o.Mechanisms = []string{"scram-sha-256"} })
	if got := chosen.Mechanisms(Peer{TLS: true, Channel: server}); !slices.Equal(got, []string{scramSHA256}) {
		t.Errorf("chosen: %v", got)
	}
	chosen.want(ErrMechanism, home, alice, right)
	if err := CheckMechanisms([]string{"plain", "CRAM-MD5"}); err == nil || CheckMechanisms(allMechanisms) != nil {
		t.Error("CheckMechanisms")
	}
}

// TestSCRAMSalts: users who are not there have salts that stay, in all processes of one seed, and differ from each other.
func TestSCRAMSalts(t *testing.T) {
	t.Parallel()
	salt := func(s *stage, user string) string {
		var heard string
		ask := func(challenge []byte) ([]byte, error) {
			if heard = string(challenge); heard == "" {
				return []byte("n,,n=" + user + ",r=abc"), nil
			}
			return nil, ErrCancelled
		}
		if _, err := s.Exchange(t.Context(), Peer{TLS: true}, scramSHA256, nil, ask); !errors.Is(err, ErrCancelled) {
			t.Error(err)
		}
		_, text, _ := strings.Cut(heard, ",")
		return text
	}
	seeded := func(o *Options) { o.Seed = []byte("seed") }
	one, two := newStage(t, seeded), newStage(t, seeded)
	if a, b := salt(one, "x@example.org"), salt(two, "X@example.org"); a != b || !strings.HasSuffix(a, ",i=4096") || len(a) != len("s=,i=4096")+24 {
		t.Errorf("%q, %q", a, b)
	}
	if salt(one, "x@example.org") == salt(one, "y@example.org") {
		t.Error("two users have one salt")
	}
}

// TestSCRAMThrottle: a telephone that forgot the password keeps its owner out of nowhere they have been, and a stranger is
// stopped.
func TestSCRAMThrottle(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.scramUser(right)
	p := Peer{Addr: home, TLS: true, Protocol: "imap"}
	try := func(password string) error {
		_, err := s.speak(p, scramSHA256, alice, "", password, unbound, nil)
		return err
	}
	if err := try(right); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		if err := try("stale"); !errors.Is(err, ErrDenied) && !errors.Is(err, ErrThrottled) {
			t.Fatal(err)
		}
	}
	if err := try(right); err != nil {
		t.Errorf("the owner: %v", err)
	}
	p.Addr = p.Addr.Next()
	for range 30 {
		_ = try("guess") // what comes of the next is the point
	}
	if err := try(right); !errors.Is(err, ErrThrottled) {
		t.Errorf("a stranger: %v", err)
	}
}

// FuzzSCRAMClient has a client that computes its proof, and one octet of what it says changed: nobody is let in but by the
// right name and password.
func FuzzSCRAMClient(f *testing.F) {
	f.Add(alice, right, "", 0, 0, byte(0))
	f.Add("ALICE@example.org", right, alice, 0, 0, byte(0))
	f.Add(alice, "wrong", "", 0, 0, byte(0))
	f.Add(alice, right, "", 1, 0, byte('y'))
	f.Add(alice, right, "", 2, 3, byte('X'))
	f.Add("nobody@example.org", right, "", 0, 0, byte(0))
	f.Fuzz(func(t *testing.T, user, password, authz string, step, place int, octet byte) {
		client, err := scram.SHA256.NewClient(user, password, authz)
		if err != nil || strings.ContainsFunc(user+password, func(r rune) bool { return r > unicode.MaxASCII }) {
			return // SASLprep makes one of many
		}
		s := newStage(t)
		s.scramUser(right)
		conv, at, changed := client.NewConversation(), 0, false
		ask := func(challenge []byte) ([]byte, error) {
			text, err := conv.Step(string(challenge))
			said := []byte(text)
			if at++; at == step && place >= 0 && place < len(said) {
				changed = said[place] != octet
				said[place] = octet
			}
			if err != nil {
				return nil, ErrCancelled
			}
			return said, nil
		}
		_, err = s.Exchange(t.Context(), Peer{Addr: home, TLS: true}, scramSHA256, nil, ask)
		good := strings.EqualFold(user, alice) && password == right
		switch {
		case err == nil && !good:
			t.Errorf("%q, %q was let in", user, password)
		case err != nil && good && !changed && (authz == "" || strings.EqualFold(authz, user)):
			t.Errorf("%q, %q: %v", user, password, err)
		}
	})
}

// FuzzSCRAM has any messages: no panic, and nobody is let in.
func FuzzSCRAM(f *testing.F) {
	f.Add("n,,n=alice@example.org,r=abc", "c=biws,r=abc,p=AAAA")
	f.Add("p=tls-exporter,,n=alice@example.org,r=abc", "c=biws,r=,p=")
	f.Add("y,a==2C,n==3D,r=", "")
	f.Fuzz(func(t *testing.T, first, final string) {
		s := newStage(t)
		s.scramUser(right)
		answers := []string{final, ""}
		ask := func([]byte) ([]byte, error) {
			said := answers[0]
			answers = answers[1:]
			return []byte(said), nil
		}
		if id, err := s.Exchange(t.Context(), Peer{Addr: home, TLS: true}, scramSHA256, []byte(first), ask); err == nil {
			t.Errorf("let in as %+v", id)
		}
	})
}
