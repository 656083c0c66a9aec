package oauth

import (
	"context"
	"errors"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// algorithms are those that only the issuer can sign by. There is no "none" and no HS256 among them: a token must not choose
// how it is verified (RFC 8725 §3.1).
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// read verifies the signature of a JWT and returns what it says.
func (v *Validator) read(ctx context.Context, token string) (*claims, error) {
	t, err := jwt.ParseSigned(token, algorithms)
	var algorithm *jose.ErrUnexpectedSignatureAlgorithm
	switch {
	case errors.As(err, &algorithm):
		return nil, fault("token is signed by an algorithm that is not taken")
	case err != nil:
		return nil, fault("token cannot be read")
	}
	var said claims
	if err := t.UnsafeClaimsWithoutVerification(&said); err != nil {
		return nil, fault("token cannot be read")
	}
	p, ok := v.providers[said.Issuer] // whom it says it is from decides by whose keys it is verified
	if !ok {
		return nil, fault("token is from another issuer")
	}
	c, signed := new(claims), false
	_, err = p.know(ctx, func(k *knowledge) bool { // called for what is returned, last
		signed = k.verify(t, c)
		return signed
	})
	switch {
	case err != nil:
		return nil, err
	case !signed:
		return nil, fault("token is not signed by a key of the issuer")
	}
	return c, nil
}

// verify reports whether one of the keys has signed the token, and fills in what it says.
func (k *knowledge) verify(t *jwt.JSONWebToken, c *claims) bool {
	for _, h := range t.Headers {
		for _, key := range k.keys {
			if (h.KeyID == "" || h.KeyID == key.KeyID) && (key.Algorithm == "" || key.Algorithm == h.Algorithm) {
				*c = claims{}
				if t.Claims(key.Key, c) == nil {
					return true
				}
			}
		}
	}
	return false
}
