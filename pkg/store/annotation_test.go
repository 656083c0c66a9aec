package store

import (
	"errors"
	"strings"
	"testing"
)

func TestCanonicalEntry(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"/private/comment":           "/private/comment",
		"/Shared/Vendor/CMU/x-Color": "/shared/vendor/cmu/x-color",
		"/PRIVATE/a b":               "/private/a b",
		"/private":                   "",
		"/privatex/a":                "",
		"private/a":                  "",
		"/shared/":                   "",
		"/shared//a":                 "",
		"/shared/a/":                 "",
		"/shared/a*":                 "",
		"/shared/%":                  "",
		"/shared/\x7f":               "",
		"/shared/\x1f":               "",
		"/shared/ü":                  "",
		"/shared/\u212a":             "", // KELVIN SIGN, whose lower case is ASCII
		"":                           "",
		"/shared/" + strings.Repeat("x", MaxEntryName-8): "/shared/" + strings.Repeat("x", MaxEntryName-8),
		"/shared/" + strings.Repeat("x", MaxEntryName-7): "",
	} {
		got, err := CanonicalEntry(name)
		if got != want || (err == nil) == (want == "") || err != nil && !errors.Is(err, ErrName) {
			t.Errorf("CanonicalEntry(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
}

func FuzzCanonicalEntry(f *testing.F) {
	for _, s := range []string{"/private/comment", "/SHARED/x", "/shared/a//b", "//", "/private/\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := CanonicalEntry(name)
		if err != nil {
			return
		}
		again, err := CanonicalEntry(got)
		if err != nil || again != got || !strings.EqualFold(got, name) || IsPrivate(got) == BelowEntry(got, SharedEntries) {
			t.Errorf("CanonicalEntry(%q) = %q, then %q, %v", name, got, again, err)
		}
	})
}
