package store

import (
	"errors"
	"testing"
)

func TestParseRights(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "aetxkpiwsrl": "lrswipkxtea", "lr": "lr", "c": "kx", "d": "te", "cd": "kxte", "rr": "r",
	} {
		r, err := ParseRights(in)
		if err != nil || r.String() != want {
			t.Errorf("%q: %q, %v; want %q", in, r, err, want)
		}
	}
	for _, in := range []string{"L", "b", "l r", "lé", "0"} {
		if r, err := ParseRights(in); !errors.Is(err, ErrRights) {
			t.Errorf("%q: %q, %v", in, r, err)
		}
	}
	if AllRights.String() != "lrswipkxtea" || !AllRights.Has(RightAdminister|RightLookup) || RightRead.Has(AllRights) {
		t.Error(AllRights)
	}
}
