package directory

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
)

// FuzzExpand: whatever a name is, it stays one value, of one attribute, in filters and names.
func FuzzExpand(f *testing.F) {
	for _, name := range []string{
		"anna", "*)(uid=*", "a\x00b", `\`, `\2a`, " anna ", "#anna", "a,b=c", "a+b=c", `"a"`, "<a>;", "änna", "{domain}", "=", `a\`, "",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !utf8.ValidString(name) || strings.Contains(name, "@") {
			return // package auth lets no such name through
		}
		l := &LDAP{opt: LDAPOptions{Filter: "(&(a=b)(mail={address}))", DN: "uid={local},dc={domain}"}}
		user := name + "@example.org"
		p, err := ldap.CompileFilter(l.filterFor(user))
		if err != nil || len(p.Children) != 2 || p.Children[1].Tag != ldap.FilterEqualityMatch || p.Children[1].Children[1].Data.String() != user {
			t.Errorf("filter for %q: %s, %v", user, l.filterFor(user), err)
		}
		if name == "" { // nor this
			return
		}
		dn, err := ldap.ParseDN(l.nameOf(user))
		if err != nil || len(dn.RDNs) != 2 || len(dn.RDNs[0].Attributes) != 1 || dn.RDNs[0].Attributes[0].Value != name {
			t.Errorf("name of %q: %s, %v", user, l.nameOf(user), err)
		}
	})
}
