package imap

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/pkg/imap/wire"
)

// TestCommands: the table itself keeps the rules.
func TestCommands(t *testing.T) {
	t.Parallel()
	for name, row := range commands {
		bare := strings.TrimPrefix(name, "UID ")
		switch {
		case name != bare != row.flags.has(byUID):
			t.Errorf("%s: byUID is wrong", name)
		case row.flags.has(usesSeqs) && row.flags.has(mayExpunge) && bare != "COPY" && bare != "MOVE" && bare != "REPLACE":
			t.Errorf("%s: rule 3: RFC 3501 §7.4.1 forbids EXPUNGE during it", name)
		case row.flags.has(usesSeqs|byUID) && row.in != inSelected:
			t.Errorf("%s: it needs a mailbox", name)
		}
	}
}

// parser makes a parser describe what it has read, or what was expected.
func parser[R any](parse func(*wire.Decoder, flags) (R, error), describe func(R) string) func(line string) string {
	return func(line string) string {
		r, err := parse(decoderOf(line), 0)
		if err != nil {
			return "!" + strings.TrimPrefix(err.Error(), "expected ")
		}
		return describe(r)
	}
}

func plainly[R any](r R) string { return fmt.Sprintf("%+v", r) }

func describeSelect(r selectRequest) string {
	s := fmt.Sprintf("%s readonly=%v condstore=%v", r.mailbox, r.readOnly, r.condStore)
	if q := r.resync; q != nil {
		s += fmt.Sprintf(" since %d.%d known=%v %v=%v", q.uidValidity, q.modSeq, q.known, q.seqs, q.uids)
	}
	return s
}

func describeAppend(r appendRequest) string {
	m := r.first
	if m.literal == nil {
		return fmt.Sprintf("%s %v %s made=%v", r.mailbox, m.flags, m.received.Format(time.RFC3339), m.form != nil)
	}
	return fmt.Sprintf("%s %v %s %d binary=%v", r.mailbox, m.flags, m.received.Format(time.RFC3339), m.literal.Size, m.literal.Binary)
}

func TestParse(t *testing.T) {
	t.Parallel()
	parsers := map[string]func(string) string{
		"NOOP":   parser(parseNothing, plainly),
		"DELETE": parser(parseMailbox, plainly),
		"RENAME": parser(parseRename, plainly),
		"LOGIN":  parser(parseLogin, plainly),
		"AUTHENTICATE": parser(parseAuthenticate, func(r authenticateRequest) string {
			return fmt.Sprintf("%s %q %v", r.mechanism, r.initial, r.initial == nil)
		}),
		"ID":      parser(parseID, plainly),
		"ENABLE":  parser(parseEnable, plainly),
		"LIST":    parser(parseList, listRequest.describe),
		"LSUB":    parser(parseLsub, plainly),
		"STATUS":  parser(parseStatus, plainly),
		"CREATE":  parser(parseCreate, plainly),
		"SELECT":  parser(parseSelect, describeSelect),
		"EXAMINE": parser(parseExamine, describeSelect),
		"APPEND":  parser(parseAppend, describeAppend),
	}
	for _, tt := range []struct{ line, want string }{
		{"NOOP", "{}"},
		{"NOOP ", "!the end of the command at octet 0"},
		{"DELETE a/b", "a/b"},
		{"DELETE", "!a space at octet 0"},
		{"DELETE  a", "!a string at octet 1"},
		{"RENAME inbox {1}\r\nx", "{from:INBOX to:x}"},
		{"RENAME a", "!a space at octet 2"},

		{`LOGIN a "b c"`, "{user:a password:b c}"},
		{`LOGIN {2+}` + "\r\n" + `a" ` + "\"gr\xc3\xbc\xc3\x9fe\"", `{user:a" password:grüße}`},
		{"LOGIN a b c", "!the end of the command at octet 4"},
		{"AUTHENTICATE plain", `PLAIN "" true`},
		{"AUTHENTICATE PLAIN =", `PLAIN "" false`},
		{"AUTHENTICATE SCRAM-SHA-256 AGE=", `SCRAM-SHA-256 "\x00a" false`},
		{"AUTHENTICATE PLAIN ", "!an initial response at octet 7"},
		{"AUTHENTICATE PLAIN ab", "!base64 before this at octet 9"},

		{"ID NIL", "map[]"},
		{`ID ("Name" "x" "os" NIL)`, "map[name:x os:]"},
		{`ID ("a")`, "!a value for each field before this at octet 6"},
		{"ID (" + strings.Repeat(`"a" "b" `, 31) + ")", "!at most 30 fields at octet 242"},
		{`ID "a"`, "map[]"},

		{"ENABLE condstore X", "[CONDSTORE X]"},
		{"ENABLE", "!a capability at octet 0"},
		{"ENABLE" + strings.Repeat(" X", 101), "!at most 100 capabilities at octet 202"},

		{`LIST "" *`, "*"},
		{`LIST "" ""`, "root"},
		{`LIST a/ "%%*/*%"`, "a/*/*"},
		{`LIST "" inbox/%`, "INBOX/%"},
		{`LIST a ("" %)`, "a%"},
		{`LIST "" (a "b*" {1}` + "\r\nc)", "a b* c"},
		{`LIST "" ()`, "!a mailbox pattern before this at octet 6"},
		{`LIST "" ((a))`, "!a mailbox pattern at octet 5"},
		{`LIST (SUBSCRIBED special-use subscribed) "" /a/ RETURN (CHILDREN)`, "a select SUBSCRIBED SPECIAL-USE tell children"},
		{`LIST (REMOTE recursivematch SUBSCRIBED) "" *`, "* select SUBSCRIBED recursive tell"},
		{`LIST () "" * RETURN ()`, "*"},
		{`LIST (RECURSIVEMATCH) "" *`, "!SUBSCRIBED or SPECIAL-USE beside RECURSIVEMATCH before this at octet 17"},
		{`LIST (REMOTE RECURSIVEMATCH) "" *`, "!SUBSCRIBED or SPECIAL-USE beside RECURSIVEMATCH before this at octet 24"},
		{`LIST (X) "" *`, "!SUBSCRIBED, SPECIAL-USE, REMOTE or RECURSIVEMATCH before this at octet 3"},
		{
			`LIST "" * RETURN (STATUS (MESSAGES deleted) METADATA (/shared/a "/private/B") SUBSCRIBED)`,
			"* tell status MESSAGES DELETED metadata /shared/a /private/b",
		},
		{`LIST "" * RETURN (METADATA /shared/a)`, "* metadata /shared/a"},
		{`LIST "" * RETURN (STATUS ())`, "!a status item at octet 23"},
		{`LIST "" * RETURN (STATUS)`, "!a space at octet 20"},
		{`LIST "" * RETURN (METADATA ())`, "!an entry, or options alone, before this at octet 25"},
		{`LIST "" * RETURN (X)`, "!a return option before this at octet 15"},
		{`LIST "" * X (SUBSCRIBED)`, "!RETURN before this at octet 7"},
		{`LSUB "" a RETURN ()`, "!the end of the command at octet 5"},

		{"STATUS inbox (messages SIZE)", "{mailbox:INBOX items:[MESSAGES SIZE]}"},
		{"STATUS a ()", "!a status item at octet 5"},
		{"STATUS a (DELETED-NONE)", "!a status item before this at octet 16"},
		{"STATUS a MESSAGES", "!'(' at octet 3"},

		{"CREATE a/", "{mailbox:a use:[]}"},
		{`CREATE a (USE (\Sent \x))`, `{mailbox:a use:[\Sent \x]}`},
		{`CREATE a (USE (Sent))`, `!'\\' at octet 9`},
		{`CREATE a (X (\Sent))`, "!USE before this at octet 5"},
		{`CREATE a (USE (` + strings.Repeat(`\a `, 17) + `\a))`, "!at most 16 uses at octet 59"},

		{"SELECT a", "a readonly=false condstore=false"},
		{"EXAMINE a ()", "a readonly=true condstore=false"},
		{"SELECT a (CONDSTORE)", "a readonly=false condstore=true"},
		{"SELECT a (QRESYNC (1 0))", "a readonly=false condstore=false since 1.1 known= ="},
		{"SELECT a (QRESYNC (1 2 3:5,7))", "a readonly=false condstore=false since 1.2 known=3:5,7 ="},
		{"SELECT a (QRESYNC (1 2 3:5 (1,2 3:4)) CONDSTORE)", "a readonly=false condstore=true since 1.2 known=3:5 1,2=3:4"},
		{"SELECT a (QRESYNC (1 2 (1,2 3:4)))", "a readonly=false condstore=false since 1.2 known= 1,2=3:4"},
		{"SELECT a (QRESYNC (1 2 1:*))", `!a set without "*" before this at octet 20`},
		{"SELECT a (QRESYNC (1 2 (* 1)))", `!a set without "*" before this at octet 21`},
		{"SELECT a (QRESYNC (1))", "!a space at octet 14"},
		{"SELECT a (QRESYNC 1 2)", "!'(' at octet 12"},
		{"SELECT a (X)", "!CONDSTORE or QRESYNC before this at octet 5"},

		{"APPEND a {3}", "a [] 0001-01-01T00:00:00Z 3 binary=false"},
		{`APPEND a (\seen x) " 1-Feb-2006 15:04:05 +0000" ~{3+}`, `a [\Seen x] 2006-02-01T15:04:05Z 3 binary=true`},
		{`APPEND a "x" {3}`, `!a date such as " 1-Feb-2006 15:04:05 +0100" before this at octet 6`},
		{"APPEND a {2000000}", "!literal exceeds 1048576 octets"},
		{"APPEND a x", "!a literal before this at octet 4"},
	} {
		name, args, found := strings.Cut(tt.line, " ")
		if found {
			args = " " + args
		}
		if got := parsers[name](args); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.line, got, tt.want)
		}
	}
}
