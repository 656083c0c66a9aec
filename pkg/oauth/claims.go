package oauth

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json" // it knows capitals, and refuses what is said twice
	"github.com/go-jose/go-jose/v4/jwt"

	"postern/pkg/auth"
)

// leeway is how far the provider's clock may be from ours.
const leeway = 30 * time.Second

// claims are what a token says, or a provider about it.
type claims struct {
	jwt.Claims
	all   map[string]any
	asked bool // the provider has been, just now: it need not say when the token expires
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *claims) UnmarshalJSON(text []byte) error {
	if err := json.Unmarshal(text, &c.Claims); err != nil {
		return err
	}
	return json.Unmarshal(text, &c.all)
}

// words are the texts of a claim, which may be one or several.
func (c *claims) words(name string) []string {
	switch value := c.all[name].(type) {
	case string:
		return []string{value}
	case []any:
		var words []string
		for _, v := range value {
			if word, ok := v.(string); ok {
				words = append(words, word)
			}
		}
		return words
	}
	return nil
}

// scopes are in one text with spaces (RFC 8693 §4.2), or a list or text called scp, which some have made of it.
func (c *claims) scopes() (scopes []string) {
	for _, text := range slices.Concat(c.words("scope"), c.words("scp")) {
		scopes = append(scopes, strings.Fields(text)...)
	}
	return scopes
}

// judge says what is wrong with a token that the issuer has made, if anything.
func (c *claims) judge(opt *Options) error {
	err := c.ValidateWithLeeway(jwt.Expected{AnyAudience: opt.Audiences, Time: opt.Now()}, leeway)
	switch {
	case errors.Is(err, jwt.ErrInvalidAudience):
		return flaw("token is for another audience")
	case errors.Is(err, jwt.ErrExpired):
		return &auth.TokenFault{Why: "token has expired", Genuine: true, Expired: true}
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return flaw("token is not valid yet")
	case err != nil:
		return flaw("token is not valid")
	case c.Expiry == nil && !c.asked: // RFC 9068 §2.2; without it a stolen one would be good for ever
		return flaw("token never expires")
	}
	held := c.scopes()
	for _, scope := range opt.Scopes {
		if !slices.Contains(held, scope) {
			return &auth.TokenFault{Why: "token lacks a scope", Genuine: true, Scope: true}
		}
	}
	return c.judgeMailbox(opt.Claim)
}

// judgeMailbox wants a name of a mailbox. Of an address of which the provider says that nobody has verified it, anybody may
// have said that it is theirs (OpenID Connect Core §5.7).
func (c *claims) judgeMailbox(claim string) error {
	if claim == "email" {
		if verified, said := c.all["email_verified"]; said && verified != true && verified != "true" {
			return flaw("the provider has not verified the address")
		}
	}
	if len(c.words(claim)) == 0 {
		return flaw("token names no mailbox")
	}
	return nil
}
