package imap

import (
	"strings"
	"testing"

	"postern/pkg/store"
)

// FuzzParseRights: what is read of SETACL is what a client could have been told, and the owner's path of a name comes back
// as the name.
func FuzzParseRights(f *testing.F) {
	for _, line := range []string{
		` INBOX bob@example.org lrswipkxteacd`, ` "Other Users/a=2Fb@example.org/x" -anyone +d`, ` a @example.org ""`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseSetACL(decoderOf(line+"\r\n"), 0)
		if err != nil {
			return
		}
		again, err := store.ParseIdentifier(r.change.String())
		again.Rights = r.change.Rights
		if err != nil || again != r.change.ACLEntry {
			t.Errorf("%q: %+v, then %+v, %v", line, r.change, again, err)
		}
		if rights, err := store.ParseRights(spellRights(r.change.Rights)); err != nil || !rights.Has(r.change.Rights) {
			t.Errorf("%q: rights %v, then %v, %v", line, r.change.Rights, rights, err)
		}
		p, ok := otherPath(r.mailbox)
		if !ok || p.owner == "" {
			return
		}
		if q, ok := otherPath(ownerPrefix(p.owner) + p.name); !ok || q != p {
			t.Errorf("%q: %+v, then %+v", r.mailbox, p, q)
		}
	})
}

// FuzzParseSetQuota: limits are never negative and fit.
func FuzzParseSetQuota(f *testing.F) {
	f.Add(` "" (STORAGE 10 MESSAGE 0)`)
	f.Add(` "Other Users/bob@example.org" (X-FOO 1125899906842625)`)
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseSetQuota(decoderOf(line+"\r\n"), 0)
		if err == nil && (r.limits.Octets < 0 || r.limits.Messages < 0 || r.limits.Mailboxes < 0 || len(r.others) > 16) {
			t.Errorf("%q: %+v", line, r)
		}
	})
}

func TestOtherPath(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]path{
		"Other Users/bob@example.org/a/b":     {"bob@example.org", "a/b"},
		"Other Users/BOB@Example.org./inbox":  {"bob@example.org", "INBOX"},
		"Other Users/a=2Fb=2A=25=3D@x.org/c":  {"a/b*%=@x.org", "c"},
		"Other Users/bob@example.org":         {},
		"Other Users/bob/x":                   {},
		"Other Users//x":                      {},
		"Other Users/bob@example.org/a//b":    {},
		"Other Users/bob@example.org/\xff":    {},
		"Other Users":                         {},
		"Other Users/bob@example.org/" + "/x": {"bob@example.org", "x"},
	} {
		if got, ok := otherPath(name); !ok || got != want {
			t.Errorf("%q: %+v, %v; want %+v", name, got, ok, want)
		}
	}
	for _, name := range []string{"INBOX", "Other", "Other Users2", "other users/bob@example.org/x", "x/Other Users/a@b/c"} {
		if p, ok := otherPath(name); ok {
			t.Errorf("%q: %+v", name, p)
		}
	}
	prefix := ownerPrefix("a/b*%=@x.org")
	if prefix != "Other Users/a=2Fb=2A=25=3D@x.org/" || strings.Count(prefix, "/") != 2 {
		t.Error(prefix)
	}
}

// TestDeepName: a name as long as a line costs no more than a look at it, however many levels it claims to have.
func TestDeepName(t *testing.T) {
	t.Parallel()
	name := others + "bob@example.org" + strings.Repeat("/x", 500_000)
	if p, ok := otherPath(name); !ok || p != (path{}) {
		t.Errorf("%.60s…, %v", p.name, ok)
	}
}
