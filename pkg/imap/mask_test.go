package imap

import (
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// TestCommandsBelong has every command belong to something that is offered: a misspelling would keep it from ever being there.
func TestCommandsBelong(t *testing.T) {
	t.Parallel()
	known := func(k imap.Cap) bool { return slices.Contains(allMaskable(), string(k)) }
	for name, row := range commands {
		for _, k := range row.belongs {
			if k != capObsolete && !known(k) {
				t.Errorf("%s belongs to %s, which is not offered", name, k)
			}
		}
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ disable, want string }{
		{"", ""},
		{"nonsense,IMAP4rev1", ""},
		{"move", "IMAP4rev2,MOVE"},
		{"LITERAL+", "IMAP4rev2,LITERAL+,LITERAL-"},
		{"condstore", "CONDSTORE,QRESYNC"},
		{"auth=login", "AUTH=LOGIN"},
		{"metadata", "FILTERS,LIST-METADATA,METADATA,METADATA-SERVER"},
		{"Enable", "ENABLE,IMAP4rev2,QRESYNC,UIDONLY,UTF8=ACCEPT"},
	} {
		var got []string
		for k := range newMask(strings.Split(tt.disable, ",")) {
			got = append(got, string(k))
		}
		slices.Sort(got)
		if strings.Join(got, ",") != tt.want {
			t.Errorf("%s masks %v, want %s", tt.disable, got, tt.want)
		}
	}
}

func TestCheckDisable(t *testing.T) {
	t.Parallel()
	got, err := CheckDisable([]string{"notify", "idle", "IDLE", "auth=plain"})
	if err != nil || strings.Join(got, " ") != "AUTH=PLAIN IDLE NOTIFY" {
		t.Errorf("%v, %v", got, err)
	}
	for _, name := range []string{"", "IMAP4rev1", "STARTTLS"} {
		if _, err := CheckDisable([]string{"IDLE", name}); err == nil || !strings.Contains(err.Error(), "MOVE") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestMaskedIsUnknown takes one capability after another away: it is no longer offered, its commands are unknown, and the rest
// of the session works.
func TestMaskedIsUnknown(t *testing.T) {
	t.Parallel()
	for _, name := range allMaskable() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.server.Disable = []string{name}
			b.server.UIDOnly, b.server.MessageLimit, b.server.SaveLimit = true, 5000, 5000
			b.start()
			p := b.dial(t, "a")
			for _, line := range p.do(t, "b CAPABILITY") {
				if slices.ContainsFunc(strings.Fields(line), func(w string) bool { return w == name || strings.HasPrefix(w, name+"=") }) {
					t.Errorf("still offered: %s", line)
				}
			}
			for command, row := range commands {
				if len(row.belongs) == 1 && string(row.belongs[0]) == name && row.in&loggedIn != 0 {
					p.say(t, "c "+command)
					if heard := p.until(t, "c "); heard[len(heard)-1] != "c BAD Unknown command." {
						t.Errorf("%s: %q", command, heard)
					}
				}
			}
			p.do(t, "d SELECT INBOX")
			p.do(t, "e LOGOUT")
			if err := b.stop(t, patience); err != nil {
				t.Error(err)
			}
		})
	}
}
