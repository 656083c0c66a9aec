package message

import (
	"strings"
	"testing"
)

func TestParseAddresses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                  `NIL`,
		" , ;,":                             `NIL`,
		"a@b":                               `((NIL NIL "a" "b"))`,
		"<a@b>":                             `((NIL NIL "a" "b"))`,
		"A B <a@b>":                         `(("A B" NIL "a" "b"))`,
		`"A, B" <a@b>, c@d`:                 `(("A, B" NIL "a" "b")(NIL NIL "c" "d"))`,
		`A "B" C <a@b>`:                     `(("A B C" NIL "a" "b"))`,
		`"A \"quoted\" B\\" <a@b>`:          `(("A \"quoted\" B\\" NIL "a" "b"))`,
		`"" <a@b>`:                          `(("" NIL "a" "b"))`,
		"a@b (A B)":                         `(("A B" NIL "a" "b"))`,
		"a@b (A (b) \\) B)":                 `(("A (b) ) B" NIL "a" "b"))`,
		"<a@b> (A B)":                       `(("A B" NIL "a" "b"))`,
		"N <a@b> (A B)":                     `(("N" NIL "a" "b"))`,
		"<@x,@y:a@b>":                       `((NIL NIL "a" "b"))`,
		"N <@x:a@b>, c@d":                   `(("N" NIL "a" "b")(NIL NIL "c" "d"))`,
		"g: a@b, C <c@d>;":                  `((NIL NIL "g" NIL)(NIL NIL "a" "b")("C" NIL "c" "d")(NIL NIL NIL NIL))`,
		"g:;, a@b":                          `((NIL NIL "g" NIL)(NIL NIL NIL NIL)(NIL NIL "a" "b"))`,
		"my group: a@b":                     `((NIL NIL "my group" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL))`,
		`"quoted: group": a@b;`:             `((NIL NIL "quoted: group" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL))`,
		"bob":                               `((NIL NIL "bob" ""))`,
		"Bob Smith":                         `(("Bob Smith" NIL "" ""))`,
		"<>":                                `((NIL NIL "" ""))`,
		"Nobody <>":                         `(("Nobody" NIL "" ""))`,
		"a@":                                `((NIL NIL "a" ""))`,
		"@b":                                `((NIL NIL "" "b"))`,
		"a@b@c":                             `((NIL NIL "a@b" "c"))`,
		"<a@b@c>":                           `((NIL NIL "a@b" "c"))`,
		`"a b"@c`:                           `((NIL NIL "a b" "c"))`,
		"a . b @ c . d":                     `((NIL NIL "a.b" "c.d"))`,
		"a@[IPv6:::1]":                      `((NIL NIL "a" "[IPv6:::1]"))`,
		"<a@b":                              `((NIL NIL "a" "b"))`,
		"N <a@b, c@d":                       `(("N" NIL "a" "b")(NIL NIL "c" "d"))`,
		`"N <a@b>, c@d`:                     `(("N" NIL "a" "b")(NIL NIL "c" "d"))`,
		"(a@b, c@d":                         `((NIL NIL "(a" "b")(NIL NIL "c" "d"))`,
		"a@b;c@d":                           `((NIL NIL "a" "b")(NIL NIL "c" "d"))`,
		"A @ Home <a@b>":                    `(("A@ Home" NIL "a" "b"))`,
		"=?utf-8?q?a=2C?= <a@b>":            `(("=?utf-8?q?a=2C?=" NIL "a" "b"))`,
		"J\xfcrgen <j\xfc@m\xc3\xbcnchen>":  `(("J\xfcrgen" NIL "j\xfc" "münchen"))`,
		"A <a@b> rubbish <c@d>, e@f":        `(("A" NIL "a" "b")(NIL NIL "e" "f"))`,
		"a@b <c@d>":                         `(("a@b" NIL "c" "d"))`,
		"<mailto:a@b>":                      `((NIL NIL "a" "b"))`,
		"\t a@b \t":                         `((NIL NIL "a" "b"))`,
		"Undisclosed-Recipients:<>;":        `((NIL NIL "Undisclosed-Recipients" NIL)(NIL NIL "" "")(NIL NIL NIL NIL))`,
		"Pete(A nice \\) chap) <p(x)@(y)z>": `(("Pete" NIL "p" "z"))`,
	} {
		if got := addresses(parseAddresses(in, false)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestParseAddressesCut(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a@b, c@exam":       `((NIL NIL "a" "b"))`,
		"a@b, ":             `((NIL NIL "a" "b"))`,
		`a@b, "C, D`:        `((NIL NIL "a" "b")(NIL NIL "C" ""))`,
		"g: a@b, c@d, e@ex": `((NIL NIL "g" NIL)(NIL NIL "a" "b")(NIL NIL "c" "d")(NIL NIL NIL NIL))`,
		"a@exam":            `NIL`,
	} {
		if got := addresses(parseAddresses(in, true)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"A <a@b>, c@d (e)", "g: a@b;", `"A`, "(", "<@a,@b:c@d>", ",;:<>@\"\\(", "a@b@c <"} {
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, s string, cut bool) {
		open := false
		for _, a := range parseAddresses(s, cut) {
			switch {
			case a.Mailbox == nil && a.Host == nil && a.Name == nil && open:
				open = false
			case a.Mailbox != nil && a.Host == nil && a.Name == nil && !open:
				open = true
			case a.Mailbox == nil || a.Host == nil:
				t.Fatalf("half an address, or a group out of order: %s", addresses([]Address{a}))
			case len(*a.Mailbox)+len(*a.Host) > len(s):
				t.Fatal("an address longer than all")
			}
		}
		if open {
			t.Fatal("a group does not end")
		}
		plain := strings.Trim(s, "abcdefghijklmnopqrstuvwxyz")
		if plain == "@" && !strings.HasPrefix(s, "@") && !strings.HasSuffix(s, "@") && !cut {
			list := parseAddresses(s, false)
			if len(list) != 1 || *list[0].Mailbox+"@"+*list[0].Host != s {
				t.Fatalf("%q is %s", s, addresses(list))
			}
		}
	})
}
