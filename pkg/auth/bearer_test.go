package auth

import (
	"strings"
	"testing"
)

// TestBearer has messages of both mechanisms, ^ for the separator.
func TestBearer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		read        func(string) (bearer, bool)
		message     string
		user, token string // no token: it cannot be read
	}{
		{parseOAuthBearer, "n,a=user@example.com,^host=server.example.com^port=143^auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==^^", "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="}, // RFC 7628 §4.1
		{parseOAuthBearer, "n,,^auth=Bearer abc^^", "", "abc"},
		{parseOAuthBearer, "y,,^auth=bearer abc^^", "", "abc"},
		{parseOAuthBearer, "n,a=a=2Cb=3D@x,^auth=Bearer abc^^", "a,b=@x", "abc"},
		{parseOAuthBearer, "n,,^new=a=b^auth=BEARER  abc ^^", "", "abc"},
		{parseOAuthBearer, "n,a=a=2cb,^auth=Bearer abc^^", "", ""},
		{parseOAuthBearer, "n,a==2=2CC,^auth=Bearer abc^^", "", ""},
		{parseOAuthBearer, "n,a=,^auth=Bearer abc^^", "", ""},
		{parseOAuthBearer, "n,b=x,^auth=Bearer abc^^", "", ""},
		{parseOAuthBearer, "p=tls-exporter,,^auth=Bearer abc^^", "", ""},
		{parseOAuthBearer, "n,,auth=Bearer abc^^", "", ""},
		{parseOAuthBearer, "n,,^auth=Bearer abc^", "", ""},
		{parseOAuthBearer, "n,,^auth=Bearer abc", "", ""},
		{parseOAuthBearer, "n,,^auth=Bearer abc^auth=Bearer abc^^", "", ""},
		{parseOAuthBearer, "n,,^auth=Basic abc^^", "", ""},
		{parseOAuthBearer, "n,,^auth=Bearer ^^", "", ""},
		{parseOAuthBearer, "n,,^auth=Bearer ==^^", "", ""},
		{parseOAuthBearer, "n,,^auth=Bearer a b^^", "", ""},
		{parseOAuthBearer, "n,,^auth=Bearer a=b^^", "", ""},
		{parseOAuthBearer, "n,,^auth=Bearer a\r\nb^^", "", ""},
		{parseOAuthBearer, "n,,^auth=Bearer \x00^^", "", ""},
		{parseOAuthBearer, "n,,^auth^^", "", ""},
		{parseOAuthBearer, "n,,^=x^auth=Bearer abc^^", "", ""},
		{parseOAuthBearer, "n,,^host=x^^", "", ""},
		{parseOAuthBearer, "n,,^^", "", ""},
		{parseOAuthBearer, "n,", "", ""},
		{parseOAuthBearer, "^", "", ""},
		{parseOAuthBearer, "", "", ""},
		{parseXOAuth2, "user=someuser@example.com^auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg^^", "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"},
		{parseXOAuth2, "user=^auth=Bearer abc^^", "", "abc"},
		{parseXOAuth2, "user=a^vendor=b^auth=Bearer abc^^", "a", "abc"},
		{parseXOAuth2, "user=a^auth=Bearer abc^", "", ""},
		{parseXOAuth2, "User=a^auth=Bearer abc^^", "", ""},
		{parseXOAuth2, "auth=Bearer abc^^", "", ""},
		{parseXOAuth2, "user=a^^", "", ""},
		{parseXOAuth2, "user=a", "", ""},
		{parseXOAuth2, "n,,^auth=Bearer abc^^", "", ""},
		{parseXOAuth2, "", "", ""},
	} {
		got, ok := tt.read(strings.ReplaceAll(tt.message, "^", separator))
		if ok != (tt.token != "") || ok && got != (bearer{tt.user, tt.token}) {
			t.Errorf("%q: %+v, %v", tt.message, got, ok)
		}
	}
}

// FuzzBearer: whatever comes is read without harm, and what is read is what a client has meant: said again, it is read the same.
func FuzzBearer(f *testing.F) {
	f.Add("n,a=u=2C@x,\x01host=h\x01auth=Bearer abc==\x01\x01")
	f.Add("user=u@x\x01auth=Bearer abc\x01\x01")
	f.Fuzz(func(t *testing.T, s string) {
		if b, ok := parseOAuthBearer(s); ok {
			name := ""
			if b.user != "" {
				name = "a=" + strings.NewReplacer(",", "=2C", "=", "=3D").Replace(b.user)
			}
			again, ok := parseOAuthBearer("n," + name + ",\x01auth=Bearer " + b.token + "\x01\x01")
			if !ok || again != b {
				t.Errorf("%q: %+v, again %+v", s, b, again)
			}
		}
		if b, ok := parseXOAuth2(s); ok {
			if again, ok := parseXOAuth2("user=" + b.user + "\x01auth=Bearer " + b.token + "\x01\x01"); !ok || again != b {
				t.Errorf("%q: %+v, again %+v", s, b, again)
			}
			if strings.ContainsFunc(b.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
				t.Errorf("%q: token %q", s, b.token)
			}
		}
	})
}
