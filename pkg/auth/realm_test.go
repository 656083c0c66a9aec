package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/pkg/store"
)

// elsewhere is a Checker in a map.
type elsewhere struct {
	mu        sync.Mutex
	passwords map[string]string
	asked     []string      // "user password"
	err       error         // for every question
	silence   chan struct{} // nobody is answered before it is closed; nil: at once
}

func (e *elsewhere) Check(ctx context.Context, q Question) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, q.User+" "+q.Password)
	if silence := e.silence; silence != nil {
		e.mu.Unlock()
		defer e.mu.Lock()
		select {
		case <-silence:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return e.err == nil && e.passwords[q.User] == q.Password, e.err
}

func (e *elsewhere) questions() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.asked)
}

func (e *elsewhere) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

const (
	dora    = "dora@example.org" // has no password here
	theirs  = "staple of theirs"
	nobody  = "nobody@example.org" // has no account
	outside = "olga@example.com"   // of another domain
)

// realmStage is a stage with a directory of the users of example.org.
func realmStage(t *testing.T, change ...func(*Realm)) (*stage, *elsewhere) {
	t.Helper()
	there := &elsewhere{passwords: map[string]string{alice: theirs, "bob@example.org": theirs, dora: theirs, nobody: theirs}}
	r := Realm{Name: "ldap", Domains: []string{"Example.ORG"}, Checker: there, Only: true}
	for _, c := range change {
		c(&r)
	}
	s := newStage(t, func(o *Options) { o.Realms = []Realm{r} })
	s.dir.set(4, dora, "", false)
	s.dir.set(5, outside, right, false)
	return s, there
}

func notOnly(r *Realm) { r.Only = false }

// TestRealm has every kind of attempt. Who is there, disabled, or has a password here is told neither by what is asked nor by
// what is computed.
func TestRealm(t *testing.T) {
	t.Parallel()
	const no = "wrong password, or a user that the directory does not know"
	for _, tt := range []struct {
		name, user, password string
		change               func(*Realm)
		err                  error
		hashes, questions    int
		reason               string
	}{
		{"theirs", alice, theirs, nil, nil, 0, 1, ""},
		{"theirs, another spelling", "Alice@Example.ORG", theirs, nil, nil, 0, 1, ""},
		{"theirs, no password here", dora, theirs, nil, nil, 0, 1, ""},
		{"ours does not count", alice, right, nil, ErrDenied, 0, 1, no},
		{"wrong", alice, "wrong", nil, ErrDenied, 0, 1, no},
		{"disabled, wrong", "bob@example.org", "wrong", nil, ErrDenied, 0, 1, "account disabled"},
		{"disabled, theirs", "bob@example.org", theirs, nil, ErrDenied, 0, 1, "account disabled"},
		{"no account, wrong", nobody, "wrong", nil, ErrDenied, 0, 1, no},
		{"no account, theirs", nobody, theirs, nil, ErrDenied, 0, 1, "the password is right, but there is no account"},
		{"empty", alice, "", nil, ErrDenied, 0, 0, "not a password: empty"},
		{"NUL in the name", "alice\x00@example.org", theirs, nil, ErrDenied, 0, 0, "name is not text"},
		{"a name like another's", "al\u00adice@example.org", theirs, nil, ErrDenied, 0, 0, no},
		{"another domain", outside, right, nil, nil, 1, 0, ""},
		{"another domain, unknown", "x@example.com", theirs, nil, ErrDenied, 1, 0, "unknown user"},
		{"no domain", "alice", theirs, nil, ErrDenied, 1, 0, "unknown user"},

		{"either, ours", alice, right, notOnly, nil, 1, 0, ""},
		{"either, theirs", alice, theirs, notOnly, nil, 1, 1, ""},
		{"either, wrong", alice, "wrong", notOnly, ErrDenied, 1, 1, no},
		{"either, no password here, theirs", dora, theirs, notOnly, nil, 1, 1, ""},
		{"either, no password here, wrong", dora, "wrong", notOnly, ErrDenied, 1, 1, no},
		{"either, disabled, ours", "bob@example.org", right, notOnly, ErrDenied, 1, 1, "account disabled"},
		{"either, disabled, wrong", "bob@example.org", "wrong", notOnly, ErrDenied, 1, 1, "account disabled"},
		{"either, no account, wrong", nobody, "wrong", notOnly, ErrDenied, 1, 1, no},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.change == nil {
				tt.change = func(*Realm) {}
			}
			s, there := realmStage(t, tt.change)
			_, err := s.Login(t.Context(), Peer{Addr: home, TLS: true, Protocol: "pop3"}, tt.user, tt.password)
			if !errors.Is(err, tt.err) {
				t.Fatalf("%v, want %v", err, tt.err)
			}
			if h, q := int(s.checked.Load()), there.questions(); h != tt.hashes || q != tt.questions {
				t.Errorf("%d hashes and %d questions, want %d and %d", h, q, tt.hashes, tt.questions)
			}
			s.checkLine(tt.reason)
			if refused := tt.err != nil; refused != (len(s.delays) == 1) {
				t.Errorf("delays %v", s.delays)
			}
		})
	}
}

// TestRealmRemembers: an answer is asked for once, a right one for the time of the cache, a wrong one for five minutes; and
// whatever withdraws a login here does it at once.
func TestRealmRemembers(t *testing.T) {
	t.Parallel()
	s, there := realmStage(t)
	asked := 0
	want := func(err error, password string, more int) {
		t.Helper()
		s.want(err, home, alice, password)
		if asked += more; there.questions() != asked {
			t.Fatalf("%d questions, want %d", there.questions(), asked)
		}
	}
	want(nil, theirs, 1)
	want(nil, theirs, 0)
	for range 100 { // a telephone that has kept an old one
		s.pass(time.Second)
		want(ErrDenied, "old", min(1, max(0, 2-asked)))
	}
	want(nil, theirs, 0)
	s.pass(10 * time.Minute)
	want(nil, theirs, 1)
	want(ErrDenied, "old", 1)
	s.dir.change(alice, func(c *Credential) { c.Epoch++ })
	want(nil, theirs, 1)
	s.dir.change(alice, func(c *Credential) { c.AppOnly = true })
	want(ErrDenied, theirs, 1)
	s.dir.change(alice, func(c *Credential) { c.AppOnly, c.Disabled = false, true })
	want(ErrDenied, theirs, 1)
	s.dir.change(alice, func(c *Credential) { c.Disabled = false })
	want(nil, theirs, 0)
	s.dir.change(alice, func(c *Credential) { c.Account = 77 }) // another's, of the same address
	want(nil, theirs, 1)

	s, there = realmStage(t, func(r *Realm) { r.CacheTTL = -1 })
	asked = 0
	want(nil, theirs, 1)
	want(nil, theirs, 1)
}

// TestRealmAway has nobody answer: that is nobody's failure, and who has logged in of late still does.
func TestRealmAway(t *testing.T) {
	t.Parallel()
	s, there := realmStage(t)
	s.want(nil, home, alice, theirs)
	there.fail(errors.New("no route"))
	for i := range 100 {
		for _, user := range []string{alice, dora, nobody, "bob@example.org"} {
			s.want(store.ErrUnavailable, cafe, user, fmt.Sprint("guess ", i))
		}
	}
	s.want(nil, home, alice, theirs)
	s.want(nil, cafe, outside, right)
	there.fail(nil)
	s.want(nil, cafe, dora, theirs)
	if len(s.delays) > 0 {
		t.Errorf("delays %v", s.delays)
	}
}

// TestRealmAwayGuesses: while the directory is away nobody guesses at a password that is kept here.
func TestRealmAwayGuesses(t *testing.T) {
	t.Parallel()
	s, there := realmStage(t, notOnly)
	there.fail(errors.New("no route"))
	for i := range 10 {
		s.want(store.ErrUnavailable, cafe, alice, fmt.Sprint("guess ", i))
		s.want(store.ErrUnavailable, home, dora, fmt.Sprint("guess ", i))
	}
	s.want(ErrThrottled, cafe, alice, right)
	s.want(store.ErrUnavailable, home, dora, theirs)
}

// TestRealmFailures: wrong passwords are counted as ours are. A stranger that is let through to a user under attack is let
// through to both, the hash and the directory.
func TestRealmFailures(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Realm){"only": func(*Realm) {}, "either": notOnly} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, there := realmStage(t, change)
			s.want(nil, home, alice, theirs)
			for i := range 10 {
				s.wrong(1, somewhere(i), alice)
			}
			asked := there.questions()
			s.want(ErrThrottled, cafe, alice, theirs)
			if there.questions() != asked {
				t.Error("the directory was asked all the same")
			}
			s.want(nil, home, alice, theirs)
			s.pass(trickle)
			s.want(nil, cafe, alice, theirs)
			s.wrong(10, netip.MustParseAddr("198.51.100.77"), nobody)
			s.want(ErrThrottled, netip.MustParseAddr("198.51.100.77"), nobody, theirs)
		})
	}
}

// TestRealmCreates makes accounts, of right passwords only.
func TestRealmCreates(t *testing.T) {
	t.Parallel()
	var s *stage
	var made []string
	create := func(_ context.Context, address string) error {
		made = append(made, address)
		switch {
		case address == nobody:
			s.dir.set(9, nobody, "", false)
		case strings.HasPrefix(address, "alias"):
			return store.ErrExists
		case strings.HasPrefix(address, "twin"): // another connection was first
			s.dir.set(10, address, "", false)
			return store.ErrExists
		default:
			return fmt.Errorf("%w: away", store.ErrUnavailable)
		}
		return nil
	}
	s, there := realmStage(t, func(r *Realm) { r.Create = create })
	for _, user := range []string{"alias@example.org", "twin@example.org", "late@example.org"} {
		there.passwords[user] = theirs
	}
	s.want(ErrDenied, home, nobody, "wrong")
	if len(made) > 0 {
		t.Fatalf("made %v for a wrong password", made)
	}
	id, err := s.Login(t.Context(), Peer{Addr: home, TLS: true}, "NoBody@Example.org", theirs)
	if err != nil || id.Account != 9 || id.User != nobody {
		t.Fatalf("%+v, %v", id, err)
	}
	s.want(nil, home, nobody, theirs)
	s.want(nil, home, alice, theirs)
	s.want(ErrDenied, home, "alias@example.org", theirs)
	s.want(nil, home, "twin@example.org", theirs)
	s.want(store.ErrUnavailable, home, "late@example.org", theirs)
	if got := strings.Join(made, " "); got != nobody+" alias@example.org twin@example.org late@example.org" {
		t.Errorf("made %s", got)
	}
}

// TestRealmOtherWays: app passwords log in without the directory; the second factor and SCRAM.
func TestRealmOtherWays(t *testing.T) {
	t.Parallel()
	s, there := realmStage(t)
	app := s.phone(nothing)
	s.want(nil, home, alice, app)
	if there.questions() != 0 {
		t.Error("the directory was asked for an app password")
	}
	s.dir.change(alice, func(c *Credential) { c.AppOnly = true })
	s.want(nil, home, alice, app)
	s.want(ErrDenied, home, alice, theirs)

	s.dir.change(dora, s.needCode)
	s.want(ErrDenied, home, dora, theirs)
	s.want(nil, home, dora, theirs+s.code(0))
	s.want(ErrDenied, home, dora, theirs+s.code(0))
}

// TestRealmSCRAM: keys that are kept here do not count where passwords do not, and nobody can tell who has some.
func TestRealmSCRAM(t *testing.T) {
	t.Parallel()
	for _, user := range []string{alice, dora, nobody} {
		s, there := realmStage(t)
		s.scramUser(right)
		for _, password := range []string{right, theirs} {
			_, err := s.speak(Peer{Addr: home, TLS: true}, scramSHA256, user, "", password, unbound, nil)
			if !errors.Is(err, ErrDenied) {
				t.Errorf("%s: %v", user, err)
			}
		}
		if there.questions() > 0 {
			t.Error("the directory was asked")
		}
	}
	s, _ := realmStage(t, notOnly)
	s.scramUser(right)
	if _, err := s.speak(Peer{Addr: home, TLS: true}, scramSHA256, alice, "", right, unbound, nil); err != nil {
		t.Error(err)
	}
}

// TestRealmSlow has 200 logins wait for a directory that does not answer: nobody else waits for it, those who are too many are
// told to come back, and so is who has waited long enough.
func TestRealmSlow(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Realm){"only": func(*Realm) {}, "either": notOnly} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { slow(t, change) })
		})
	}
}

func slow(t *testing.T, change func(*Realm)) {
	t.Helper()
	s, there := realmStage(t, change, func(r *Realm) { r.Asking, r.Queue = 4, 196 })
	there.silence = make(chan struct{})
	results := make(chan error, 200)
	for i := range 200 {
		go func() { results <- s.login(somewhere(i), fmt.Sprintf("user%d@example.org", i), theirs) }()
	}
	synctest.Wait()
	if asked, waiting := there.questions(), s.WaitingElsewhere(); asked != 4 || waiting != 196 {
		t.Errorf("%d ask and %d wait", asked, waiting)
	}
	s.want(nil, cafe, outside, right)
	s.want(ErrBusy, cafe, dora, theirs)
	if len(s.hashing.turns) > 0 || s.Waiting() > 0 {
		t.Error("somebody holds up the hashes")
	}
	for range 200 { // the time of the question is over, or that of waiting
		if err := <-results; !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%v", err)
		}
	}
	close(there.silence)
	s.want(nil, cafe, dora, theirs)
}

func TestIsDistinct(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"anna": true, "anna.b+c_d-e": true, "änna": true, "анна": true, "安娜": true, "*)(uid=*": true,
		"": false, "an na": false, " anna": false, "an\u00adna": false, "an\u200bna": false, "ａｎｎａ": false, "ﬁona": false,
		"stra\u00dfe": false, "an\u034fna": false, "an\ufe0fna": false, "an\u00a0na": false, "an\ufffcna": false, "an\tna": false,
	} {
		if isDistinct(name+"@stra\u00dfe.example") != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

// TestRealmNoDomain: what is no domain has no users, not those whose names are no addresses.
func TestRealmNoDomain(t *testing.T) {
	t.Parallel()
	s, there := realmStage(t, func(r *Realm) { r.Domains = []string{"\x01", "Example.ORG"} })
	s.want(ErrDenied, home, "admin", theirs)
	s.want(nil, home, alice, theirs)
	if there.questions() != 1 || s.WaitingElsewhere() != 0 {
		t.Errorf("%d questions", there.questions())
	}
}
