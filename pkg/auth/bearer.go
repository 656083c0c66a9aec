package auth

import (
	"strings"
)

// bearer is what a client says in OAUTHBEARER or XOAUTH2.
type bearer struct {
	user  string // "": the token's
	token string
}

// separator stands around each key=value (RFC 7628 §3.1).
const separator = "\x01"

// parseOAuthBearer reads "n,a=user,^Ahost=…^Aport=…^Aauth=Bearer token^A^A" (RFC 7628 §3.1). go-sasl's server refuses what it
// does not know, leaves "=2C" in names, and cannot say openid-configuration.
func parseOAuthBearer(s string) (b bearer, ok bool) {
	flag, rest, ok := strings.Cut(s, ",")
	if !ok || flag != "n" && flag != "y" { // "p" is for mechanisms that bind to the channel (RFC 5801 §4)
		return b, false
	}
	name, pairs, ok := strings.Cut(rest, ",")
	if !ok {
		return b, false
	}
	if name != "" {
		escaped, found := strings.CutPrefix(name, "a=")
		if !found {
			return b, false
		}
		if b.user, ok = unescapeName(escaped); !ok || b.user == "" {
			return b, false
		}
	}
	pairs, ok = strings.CutPrefix(pairs, separator)
	if !ok {
		return b, false
	}
	b.token, ok = bearerOf(pairs)
	return b, ok
}

// parseXOAuth2 reads "user=…^Aauth=Bearer token^A^A".
func parseXOAuth2(s string) (b bearer, ok bool) {
	first, pairs, ok := strings.Cut(s, separator)
	if !ok {
		return b, false
	}
	if b.user, ok = strings.CutPrefix(first, "user="); !ok {
		return b, false
	}
	b.token, ok = bearerOf(pairs)
	return b, ok
}

// bearerOf finds the token among pairs that each end with a separator, and one more at the end. Others are not ours.
func bearerOf(pairs string) (token string, ok bool) {
	pairs, ended := strings.CutSuffix(pairs, separator+separator)
	if !ended {
		return "", false
	}
	for pair := range strings.SplitSeq(pairs, separator) {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" || ok && key == "auth" {
			return "", false
		}
		if key == "auth" {
			if token, ok = cutScheme(value); !ok {
				return "", false
			}
		}
	}
	return token, ok
}

// cutScheme takes the token out of "Bearer token" (RFC 6750 §2.1); the scheme is in any case.
func cutScheme(s string) (token string, ok bool) {
	scheme, token, ok := strings.Cut(s, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	token = strings.Trim(token, " ")
	letters := strings.TrimRight(token, "=")
	return token, letters != "" && strings.IndexFunc(letters, isNotToken) < 0
}

// isNotToken reports what cannot stand in a b64token.
func isNotToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
}

// unescapeName reads a saslname (RFC 5801 §4): "=2C" is a comma, "=3D" an equals sign, and no other is there.
func unescapeName(s string) (string, bool) {
	if strings.Contains(strings.NewReplacer("=2C", "", "=3D", "").Replace(s), "=") {
		return "", false
	}
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s), true
}
