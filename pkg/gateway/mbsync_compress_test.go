package gateway_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// TestMbsyncCompressed: mbsync compresses when it can, and flushes in a way that no block ends where a command does. What is
// done on the device reaches the server.
func TestMbsyncCompressed(t *testing.T) {
	t.Parallel()
	const user = "compressed@example.org"
	s, tap := program(t, user)
	s.fill(t, user, 0, 20)
	d := newDevice(t, tap.server, user)
	out := command(t, d.dir, nil, "mbsync", "-c", d.rc, "-a", "-Dn")
	if !strings.Contains(out, "COMPRESS DEFLATE") || !strings.Contains(out, "OK Compressing from here on.") {
		t.Errorf("it does not compress:\n%.2000s", out)
	}
	if n := len(d.state()); n != 20 {
		t.Errorf("%d mails came", n)
	}
	japanese := makeMaildir(t, filepath.Join(d.dir, "mail", "&U9dP4Q-"))
	if err := os.Rename(d.find(10), filepath.Join(japanese, "cur", "moved-10:2,S")); err != nil {
		t.Fatal(err)
	}
	addFlag(t, d.find(11), "F")
	addFlag(t, d.find(12), "T")
	d.sync()
	s.wantMessages(t, user, map[string]uint32{"INBOX": 18, "受信": 1})
	if !s.holds(t, user, "INBOX", 1, &imap.SearchCriteria{Flag: []imap.Flag{imap.FlagFlagged}}) {
		t.Error("the flag did not come")
	}
	tap.wantUsed(t, "COMPRESS=DEFLATE", "NAMESPACE", "SASL-IR")
}
