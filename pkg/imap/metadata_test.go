package imap

import (
	"fmt"
	"strings"
	"testing"

	"postern/pkg/store"
)

func (r getMetadataRequest) describe() string {
	return fmt.Sprintf("%q %s depth=%d max=%d", r.mailbox, strings.Join(r.entries, " "), r.depth, r.maxSize)
}

func (r setMetadataRequest) describe() string {
	s := fmt.Sprintf("%q", r.mailbox)
	for _, a := range r.values {
		if a.Value == nil {
			s += " " + a.Entry + "=nil"
			continue
		}
		s += fmt.Sprintf(" %s=%q", a.Entry, a.Value)
	}
	return s
}

func TestParseGetMetadata(t *testing.T) {
	t.Parallel()
	parse := parser(parseGetMetadata, getMetadataRequest.describe)
	for line, want := range map[string]string{
		` INBOX /shared/a`: `"INBOX" /shared/a depth=0 max=-1`,
		` "" (/Private/A "/shared/b" {9}` + "\r\n/shared/c)": `"" /private/a /shared/b /shared/c depth=0 max=-1`,
		` (DEPTH 1 MAXSIZE 5) inbox /shared`:                 `"INBOX" /shared depth=1 max=5`,
		` INBOX (maxsize 5 depth INFINITY) (/shared/a)`:      `"INBOX" /shared/a depth=2 max=5`,
		` INBOX (/shared/a /SHARED/A)`:                       `"INBOX" /shared/a depth=0 max=-1`,
		` INBOX`:                                             `!a space at octet 6`,
		` () INBOX /shared/a`:                                `"INBOX" /shared/a depth=0 max=-1`,
		` INBOX ()`:                                          `!an entry, or options alone, before this at octet 9`,
		` INBOX /a`:                                          `!an entry below /private or /shared before this at octet 9`,
		` INBOX (/shared/a /shared/a*)`:                      `!a space or ")" at octet 27`,
		` INBOX (/shared/a "/shared/a*")`:                    `!an entry below /private or /shared before this at octet 30`,
		` INBOX (DEPTH 3) /shared/a`:                         `!0, 1 or infinity before this at octet 15`,
		` INBOX (DEPTH) /shared/a`:                           `!a space at octet 13`,
		` (SIZE 1) INBOX /shared/a`:                          `!MAXSIZE or DEPTH before this at octet 6`,
		` INBOX (DEPTH 1 /shared/a)`:                         `!an entry, or options alone, before this at octet 26`,
		` (DEPTH 1) INBOX (MAXSIZE 1) /shared/a`:             `!an entry below /private or /shared before this at octet 25`,
	} {
		if got := parse(line); got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

func TestParseSetMetadata(t *testing.T) {
	t.Parallel()
	parse := parser(parseSetMetadata, setMetadataRequest.describe)
	for line, want := range map[string]string{
		` INBOX (/shared/a "x" /private/b nil)`:                      `"INBOX" /shared/a="x" /private/b=nil`,
		` "" (/shared/a ~{3+}` + "\r\n" + `a` + "\x00" + `b)`:        `"" /shared/a="a\x00b"`,
		` "" (/shared/a {0}` + "\r\n" + ` /shared/b {1+}` + "\r\nx)": `"" /shared/a="" /shared/b="x"`,
		` INBOX (/shared/a "x" /shared/a "y")`:                       `"INBOX" /shared/a="y"`,
		` INBOX`:                                                     `!a space at octet 6`,
		` INBOX ()`:                                                  `!an entry and its value before this at octet 9`,
		` INBOX (/shared/a)`:                                         `!an entry and its value before this at octet 18`,
		` INBOX (/shared/a x)`:                                       `!a quoted string or a literal at octet 18`,
		` INBOX (/shared/a ~"x")`:                                    `!a literal at octet 19`,
		` INBOX /shared/a "x"`:                                       `!'(' at octet 7`,
	} {
		if got := parse(line); got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add(` (DEPTH 1 MAXSIZE 5) inbox (/shared/a "/private/b")`, false)
	f.Add(` INBOX (DEPTH infinity) /shared`, false)
	f.Add(` "" (/shared/a ~{1+}`+"\r\n\x00"+` /private/b NIL)`, true)
	f.Fuzz(func(t *testing.T, line string, set bool) {
		var entries []string
		if set {
			r, err := parseSetMetadata(decoderOf(line), 0)
			if err != nil {
				return
			}
			for _, a := range r.values {
				entries = append(entries, a.Entry)
			}
		} else {
			r, err := parseGetMetadata(decoderOf(line), 0)
			if err != nil {
				return
			}
			entries = r.entries
		}
		if len(entries) == 0 || len(entries) > maxEntries {
			t.Fatalf("%q: %d entries", line, len(entries))
		}
		seen := make(map[string]bool)
		for _, entry := range entries {
			root := entry == store.PrivateEntries || entry == store.SharedEntries
			if canonical, err := store.CanonicalEntry(entry); !root && (err != nil || canonical != entry) || seen[entry] {
				t.Fatalf("%q: entry %q", line, entry)
			}
			seen[entry] = true
		}
	})
}

// TestMetadataMany: as many as there can be are answered, and one more is refused.
func TestMetadataMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.login(t)
	var line strings.Builder
	for i := range store.MaxAnnotations {
		fmt.Fprintf(&line, " /private/%d \"x\"", i)
	}
	for _, step := range []struct{ entries, want string }{
		{line.String()[1:], "a OK"},
		{`/private/more "x"`, "a NO [METADATA TOOMANY]"},
		{line.String()[1:] + ` /private/more "x"`, "a BAD"},
	} {
		heard := c.exchange(t, "a SETMETADATA INBOX ("+step.entries+")")
		if !strings.HasPrefix(heard[len(heard)-1], step.want) {
			t.Errorf("%.30s…: heard %q, want %q", step.entries, heard, step.want)
		}
	}
}
