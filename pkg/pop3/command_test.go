package pop3

import (
	"errors"
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	number := func(s string) (any, error) { return parseNumber(s) }
	optional := func(s string) (any, error) { return parseOptionalNumber(s) }
	top := func(s string) (any, error) { return parseTop(s) }
	sasl := func(s string) (any, error) { return parseAuth(s) }
	for _, c := range []struct {
		name  string
		parse func(string) (any, error)
		in    string
		want  any // nil: refused
	}{
		{"number", number, "1", uint32(1)},
		{"number, spaces", number, " 12 ", uint32(12)},
		{"largest number", number, "4294967295", uint32(4294967295)},
		{"number too large", number, "4294967296", nil},
		{"zero", number, "0", nil},
		{"sign", number, "+1", nil},
		{"hexadecimal", number, "0x1", nil},
		{"no number", number, "", nil},
		{"two numbers", number, "1 2", nil},
		{"optional", optional, "", uint32(0)},
		{"optional, given", optional, "7", uint32(7)},
		{"optional, zero", optional, "0", nil},
		{"top", top, "1 0", topRequest{1, 0}},
		{"top, many", top, "3  99999999999", topRequest{3, 99999999999}},
		{"top, too many", top, "3 9223372036854775808", nil},
		{"top, no lines", top, "3", nil},
		{"auth", sasl, "", authRequest{}},
		{"auth, mechanism", sasl, "plain", authRequest{mechanism: "PLAIN"}},
		{"auth, initial response", sasl, "PLAIN AGEAYg==", authRequest{"PLAIN", []byte("\x00a\x00b")}},
		{"auth, empty initial response", sasl, "EXTERNAL =", authRequest{"EXTERNAL", []byte{}}},
		{"auth, no base64", sasl, "PLAIN ?", nil},
		{"auth, too many", sasl, "PLAIN a b", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := c.parse(c.in)
			if c.want == nil {
				var r *refusal
				if !errors.As(err, &r) || r.result != resultBad {
					t.Errorf("got %v, %v; want a refusal", got, err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %#v, %v; want %#v", got, err, c.want)
			}
		})
	}
}
