package message

import (
	"strings"
	"testing"
)

func TestParseContentType(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                              `TEXT/PLAIN ("charset" "us-ascii")`,
		"text/html":                     `TEXT/HTML NIL`,
		"Text / HTML ; Charset = utf-8": `TEXT/HTML ("charset" "utf-8")`,
		"(c) text (c) / (c) html (c) ; (c) a = b": `TEXT/HTML ("a" "b")`,
		"text":                                  `TEXT/PLAIN ("charset" "us-ascii")`,
		"text; charset=x":                       `TEXT/PLAIN ("charset" "x")`,
		"/html":                                 `TEXT/PLAIN ("charset" "us-ascii")`,
		"text/":                                 `TEXT/PLAIN ("charset" "us-ascii")`,
		"text/\xff; a=b":                        `TEXT/PLAIN ("a" "b")`,
		"text/pl\xffain":                        `TEXT/PLAIN ("charset" "us-ascii")`,
		`text/plain; a="b;c\"d\\"; e=f`:         `TEXT/PLAIN ("a" "b;c\"d\\" "e" "f")`,
		`text/plain; a="b`:                      `TEXT/PLAIN ("a" "b")`,
		`text/plain; a="b\`:                     `TEXT/PLAIN ("a" "b\\")`,
		`text/plain; a=""; b=`:                  `TEXT/PLAIN ("a" "" "b" "")`,
		`text/plain; a; b; =c; d=e`:             `TEXT/PLAIN ("d" "e")`,
		`text/plain;;;a=b;`:                     `TEXT/PLAIN ("a" "b")`,
		`text/plain a=b c=d`:                    `TEXT/PLAIN ("a" "b" "c" "d")`,
		`text/plain; name=two words.txt; a=b`:   `TEXT/PLAIN ("name" "two words.txt" "a" "b")`,
		`text/plain; name=a(1).txt (comment)`:   `TEXT/PLAIN ("name" "a(1).txt")`,
		`text/plain; a=b; A=c`:                  `TEXT/PLAIN ("a" "b" "a" "c")`,
		`text/plain; a*0*=utf-8'en'x%20; a*1=y`: `TEXT/PLAIN ("a*0*" "utf-8'en'x%20" "a*1" "y")`,
		`text/plain; boundary="=_(a:b)/?="`:     `TEXT/PLAIN ("boundary" "=_(a:b)/?=")`,
		`text/plain; boundary==_a=b`:            `TEXT/PLAIN ("boundary" "=_a=b")`,
		`text/plain; charset="utf-8"x; a=b`:     `TEXT/PLAIN ("charset" "utf-8" "a" "b")`,
		`text/plain (unterminated; a=b`:         `TEXT/PLAIN NIL`,
		`"text/plain"; a=b`:                     `TEXT/PLAIN ("a" "b")`,
	} {
		typ, subtype, list := parseContentType(in)
		if got := typ + "/" + subtype + " " + params(list); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestParseDisposition(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                           ` NIL`,
		"inline":                     `INLINE NIL`,
		"attachment; filename=a.b":   `ATTACHMENT ("filename" "a.b")`,
		"filename=a.b":               `FILENAME NIL`,
		"; filename=\"a b\"":         `ATTACHMENT ("filename" "a b")`,
		"attachment (c); size=1; x=": `ATTACHMENT ("size" "1" "x" "")`,
	} {
		typ, list := parseDisposition(in)
		if got := typ + " " + params(list); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestParseLanguagesAndToken(t *testing.T) {
	t.Parallel()
	if got := strings.Join(parseLanguages("en, fr-CA (Canada) ,, \"x\" de"), "|"); got != "en|fr-CA|x|de" {
		t.Errorf("languages %s", got)
	}
	for in, want := range map[string]string{
		"": "", "base64": "BASE64", " \"8bit\" ": "8BIT", "(c) quoted-printable (c)": "QUOTED-PRINTABLE", "7bit; x": "7BIT", "\xff": "",
	} {
		if got := parseToken(in); got != want {
			t.Errorf("token of %q: %q, want %q", in, got, want)
		}
	}
}

func FuzzContentType(f *testing.F) {
	for _, s := range []string{`text/plain; a="b\"c"; d=e f=g (h)`, "text/plain;a", "(((", "a/b;=;=\"", `multipart/mixed; boundary=" x "`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		typ, subtype, list := parseContentType(s)
		if typ == "" || subtype == "" || typ != upper(typ) || subtype != upper(subtype) || strings.ContainsAny(typ+subtype, "\" ;()") {
			t.Fatalf("%q/%q", typ, subtype)
		}
		if len(list) > maxParams {
			t.Fatalf("%d parameters", len(list))
		}
		for _, a := range list {
			if a.Name == "" || a.Name != lower(a.Name) || len(a.Name)+len(a.Value) > max(len(s), 15) {
				t.Fatalf("%q=%q", a.Name, a.Value)
			}
		}
		parseDisposition(s)
		parseLanguages(s)
		parseToken(s)
	})
}
