package store

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Address is a mail address taken apart. Local and Domain are in the form in which addresses are kept and compared: NFC,
// lower case, the domain without a dot at its end.
type Address struct {
	Local  string // with the detail, if any
	Domain string
	Base   string // Local up to its first "+", or all of it
	Detail string // what followed that "+", as written
}

// maxAddress bounds an address, in octets: RFC 5321 §4.5.3.1 has 64 and 255, UTF-8 may need more.
const maxAddress = 1000

// ParseAddress takes "local@domain" apart. An empty local part is the catch-all of a domain. ok is false for what cannot
// be an address.
func ParseAddress(s string) (a Address, ok bool) {
	if len(s) > maxAddress || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return Address{}, false
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return Address{}, false
	}
	local := norm.NFC.String(s[:at])
	a.Domain = strings.TrimSuffix(canonicalCase(s[at+1:]), ".")
	a.Local = canonicalCase(local)
	a.Base = a.Local
	if i := strings.IndexByte(local, '+'); i > 0 {
		a.Base, a.Detail = canonicalCase(local[:i]), local[i+1:]
	}
	return a, a.Domain != ""
}

func canonicalCase(s string) string { return norm.NFC.String(strings.ToLower(norm.NFC.String(s))) }

// String is the address itself, the detail with it.
func (a Address) String() string { return a.Local + "@" + a.Domain }

// Candidates are the keys under which mail for a is looked up, the first that is known wins: as it is, without detail,
// the domain's catch-all.
func (a Address) Candidates() []string {
	keys := []string{a.String()}
	if a.Base != a.Local {
		keys = append(keys, a.Base+"@"+a.Domain)
	}
	return append(keys, "@"+a.Domain)
}
