package message

import (
	"slices"
	"testing"
)

func TestDecodedParams(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]string{
		`x/y; name=plain`:                            {},
		`x/y; name*=utf-8''caf%C3%A9%20menu.pdf`:     {"café menu.pdf"},
		`x/y; name*=iso-8859-1'fr'caf%E9`:            {"café"},
		`x/y; name*=iso-2022-jp'ja'%1B$BF|K%5C%1B(B`: {"日本"},
		`x/y; name*0*=utf-8'fr'caf%C3; name*1*=%A9;` +
			` name*2=" %41"`: {"café %41"},
		`x/y; name*1="c"; name*0="ab"; filename*=''d`: {"abc", "d"},
		`x/y; name*=%41%4; z*x=1; w*=''`:              {"A%4", ""},
		`x/y; name*0="a'b'c"`:                         {"a'b'c"},
		`x/y; name*=utf-8'caf%C3%A9`:                  {""},
	} {
		_, _, params := parseContentType(value)
		if got := decodedParams(params); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}
