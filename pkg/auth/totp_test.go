package auth

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/hotp"

	"postern/pkg/store"
)

// rfcSecret is that of RFC 6238 appendix B, "12345678901234567890" in base32.
const rfcSecret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

// TestMatchCode has the codes of RFC 6238 appendix B, their last six digits, at their time and up to a step beside it.
func TestMatchCode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		at   int64
		code string
	}{
		{59, "287082"}, {1111111109, "081804"}, {1111111111, "050471"}, {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"},
	} {
		want := tt.at / codePeriod
		for drift := int64(-2); drift <= 2; drift++ {
			step, ok := MatchCode(rfcSecret, tt.code, time.Unix((want+drift)*codePeriod, 0))
			if near := drift >= -codeDrift && drift <= codeDrift; ok != near || ok && step != want {
				t.Errorf("code of %d, %d steps later: %d, %v", tt.at, drift, step, ok)
			}
		}
	}
	for _, code := range []string{"", "28708", "2870820", "28708x", "287 082"} {
		if _, ok := MatchCode(rfcSecret, code, time.Unix(59, 0)); ok {
			t.Errorf("%q taken", code)
		}
	}
}

func TestNewTOTP(t *testing.T) {
	t.Parallel()
	secret, text, err := NewTOTP("mail.example.org", alice)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/mail.example.org:"+alice || u.Query().Get("secret") != secret {
		t.Errorf("%s, %v", text, err)
	}
	if other, _, _ := NewTOTP("mail.example.org", alice); other == secret || len(secret) != 32 {
		t.Errorf("secrets %q, %q", secret, other)
	}
}

// code is that of so many steps from now.
func (s *stage) code(steps int64) string {
	s.t.Helper()
	code, err := hotp.GenerateCode(rfcSecret, uint64(s.clock().Unix()/codePeriod+steps))
	if err != nil {
		s.t.Fatal(err)
	}
	return code
}

// needCode has an account need codes.
func (s *stage) needCode(c *Credential) { c.TOTP = rfcSecret }

// TestSecondFactor has every way to get a code wrong. Each compares one password and is refused alike.
func TestSecondFactor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		password func(*stage) string
		change   func(*Credential)
		err      error
		reason   string
	}{
		{"right", func(s *stage) string { return right + s.code(0) }, nil, nil, ""},
		{"a clock that is slow", func(s *stage) string { return right + s.code(-1) }, nil, nil, ""},
		{"a clock that is fast", func(s *stage) string { return right + s.code(1) }, nil, nil, ""},
		{"too old", func(s *stage) string { return right + s.code(-2) }, nil, ErrDenied, "wrong code of the second factor"},
		{"too new", func(s *stage) string { return right + s.code(2) }, nil, ErrDenied, "wrong code of the second factor"},
		{"without", func(*stage) string { return right }, nil, ErrDenied, "code of the second factor missing"},
		{"five digits", func(s *stage) string { return right + s.code(0)[:5] }, nil, ErrDenied, "wrong password"},
		{"the code alone", func(s *stage) string { return s.code(0) }, nil, ErrDenied, "wrong password"},
		{"wrong password", func(s *stage) string { return "wrong" + s.code(0) }, nil, ErrDenied, "wrong password"},
		{
			"app passwords only", func(s *stage) string { return right + s.code(0) }, func(c *Credential) { c.AppOnly = true },
			ErrDenied, "only app passwords log in to this account",
		},
		{
			"disabled", func(s *stage) string { return right + s.code(0) }, func(c *Credential) { c.Disabled = true },
			ErrDenied, "account disabled",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.dir.change(alice, s.needCode)
			if tt.change != nil {
				s.dir.change(alice, tt.change)
			}
			_, err := s.Login(t.Context(), Peer{Addr: home, TLS: true, Protocol: "pop3"}, alice, tt.password(s))
			if !errors.Is(err, tt.err) {
				t.Errorf("%v, want %v", err, tt.err)
			}
			if n := s.checked.Load(); n != 1 {
				t.Errorf("%d passwords compared", n)
			}
			s.checkLine(tt.reason)
		})
	}
}

// TestCodeOnce has a code be good for one login, whatever is remembered of it: of the password, here or in another process.
func TestCodeOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.want(nil, home, alice, right) // remembered, from before
	s.dir.change(alice, s.needCode)
	s.want(ErrDenied, home, alice, right)
	first := right + s.code(0)
	s.want(nil, home, alice, first)
	s.want(ErrDenied, home, alice, first)
	s.want(ErrDenied, home, alice, right+s.code(-1)) // nor one from before it
	other := newStage(t)
	other.dir = s.dir
	other.Auth = New(Options{Directory: s.dir, Now: s.clock, Sleep: other.sleep})
	other.verify, other.current = s.verify, s.current
	other.want(ErrDenied, home, alice, first)
	s.pass(codePeriod * time.Second)
	other.want(nil, home, alice, right+s.code(0))
	s.want(ErrDenied, home, alice, right+s.code(0))
}

// TestCodeAtOnce has one code come on many connections at once, as of a client that opens several: one gets in.
func TestCodeAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.dir.change(alice, s.needCode)
	password := right + s.code(0)
	const n = 20
	results := make(chan error, n)
	for range n {
		go func() { results <- s.login(home, alice, password) }()
	}
	in := 0
	for range n {
		switch err := <-results; {
		case err == nil:
			in++
		case !errors.Is(err, ErrDenied):
			t.Error(err)
		}
	}
	if in != 1 {
		t.Errorf("%d logins by one code", in)
	}
}

// TestCodeUnavailable has the database go away between the password and the code: nobody is refused or counted.
func TestCodeUnavailable(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.dir.change(alice, s.needCode)
	verify := s.verify
	s.verify = func(password, secret string) (bool, error) {
		s.dir.fail(fmt.Errorf("connect: %w", store.ErrUnavailable))
		return verify(password, secret)
	}
	s.want(store.ErrUnavailable, home, alice, right+s.code(0))
	s.dir.fail(nil)
	s.verify = verify
	s.want(nil, home, alice, right+s.code(0))
	if len(s.delays) > 0 {
		t.Errorf("delays %v", s.delays)
	}
}

// TestStaleCode has a client come back a thousand times with the password and a code that were good once: the owner's next
// code, and the client's own app password, go on.
func TestStaleCode(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	app := s.phone(nothing)
	s.dir.change(alice, s.needCode)
	stale := right + s.code(0)
	s.want(nil, home, alice, stale)
	for range 1000 {
		s.want(ErrDenied, home, alice, stale)
		s.want(ErrDenied, home, alice, right)
	}
	s.pass(codePeriod * time.Second)
	s.want(nil, home, alice, right+s.code(0))
	s.want(nil, home, alice, app)
	if last := s.delays[len(s.delays)-1]; last > time.Second {
		t.Errorf("the last delay is %s: one mistake, repeated, is one", last)
	}
}

// TestCodesGuessed has somebody who knows the password guess codes, from where the owner logs in: each is another wrong
// password, and soon is too many.
func TestCodesGuessed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.dir.change(alice, s.needCode)
	s.want(nil, home, alice, right+s.code(0))
	guesses := 0
	for n := 0; ; n++ {
		code := fmt.Sprintf("%06d", n)
		if err := s.login(home, alice, right+code); errors.Is(err, ErrThrottled) {
			break
		} else if !errors.Is(err, ErrDenied) {
			t.Fatal(err)
		}
		guesses++
	}
	if guesses > 10 {
		t.Errorf("%d guesses", guesses)
	}
	for _, line := range s.logs.All() {
		if text := fmt.Sprint(line.ContextMap()); strings.Contains(text, rfcSecret) || strings.Contains(text, "000001") {
			t.Errorf("line %s", text)
		}
	}
}

// TestSCRAMBarred has a client repeat, by SCRAM, a password that is right but does not log in: where the owner has been before
// that is one mistake, though each proof is another, and the owner goes on.
func TestSCRAMBarred(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.scramUser(right)
	s.dir.change(alice, s.needCode)
	s.want(nil, home, alice, right+s.code(0))
	for range 20 {
		_, err := s.speak(Peer{Addr: home, TLS: true}, scramSHA256, alice, "", right, unbound, nil)
		if !errors.Is(err, ErrDenied) {
			t.Fatal(err)
		}
	}
	s.pass(codePeriod * time.Second)
	s.want(nil, home, alice, right+s.code(0))
}
