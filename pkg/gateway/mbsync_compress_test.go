package gateway_test

import (
	"bytes"
	"strings"
	"testing"
)

// TestMbsyncCompressed: mbsync compresses when it can, and flushes in a way that no block ends where a command does.
func TestMbsyncCompressed(t *testing.T) {
	t.Parallel()
	const user = "compressed@example.org"
	shared.account(t, user)
	for i := range 20 {
		if err := shared.deliver("sender@example.com", user, bytes.NewReader(corpusMail(i, user))); err != nil {
			t.Fatal(err)
		}
	}
	d := newDevice(t, shared, user)
	out := command(t, d.dir, nil, "mbsync", "-c", d.rc, "-a", "-Dn")
	if !strings.Contains(out, "COMPRESS DEFLATE") || !strings.Contains(out, "OK Compressing from here on.") {
		t.Errorf("it does not compress:\n%.2000s", out)
	}
	if n := len(d.state()); n != 20 {
		t.Errorf("%d mails came", n)
	}
}
