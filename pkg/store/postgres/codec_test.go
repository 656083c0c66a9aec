package postgres

import (
	"testing"

	"postern/pkg/store"
)

// TestMixedCompression has processes with different settings write to one database, and each read it all.
func TestMixedCompression(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var all []*account
	var want []string
	for _, use := range []string{"none", "s2", "zstd"} {
		a := f.on(f.open(func(o *Options) { o.Compression = use }))
		all = append(all, a)
		for _, text := range []string{letter(use, 10), letter(use, 700<<10), ""} {
			appendTo(t, a, f.inbox, draftOf(t, text))
			want = append(want, text)
		}
	}
	for _, a := range all {
		snap := f.openInbox(a)
		for i, text := range want {
			if got := octetsOf(t, a, store.Inbox, snap.UID(i)); string(got) != text {
				t.Errorf("message %d: %d octets, want %d", i, len(got), len(text))
			}
		}
	}
}
