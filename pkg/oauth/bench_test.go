package oauth

import (
	"testing"

	"postern/pkg/oauth/oauthtest"
)

// BenchmarkCheck is a login's share of one processor.
func BenchmarkCheck(b *testing.B) {
	p := oauthtest.New(b)
	v := New(Options{Issuers: []string{p.Issuer()}, Audiences: []string{oauthtest.Audience}, Roots: p.Roots()})
	token := p.Token(alice, nil)
	for b.Loop() {
		if _, err := v.Check(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
