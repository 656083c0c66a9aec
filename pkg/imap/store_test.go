package imap

import (
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func (r storeRequest) describe() string {
	op := map[imap.StoreFlagsOp]string{imap.StoreFlagsSet: "=", imap.StoreFlagsAdd: "+", imap.StoreFlagsDel: "-"}[r.change.Op]
	s := fmt.Sprint(spellSet(r.set), op, r.change.Flags)
	if r.silent {
		s += " silent"
	}
	if r.change.UnchangedSince != nil {
		s += fmt.Sprint(" unless since ", *r.change.UnchangedSince)
	}
	return s
}

func TestParseStore(t *testing.T) {
	t.Parallel()
	tests := []struct{ line, want string }{
		{` 1 FLAGS (\Seen)`, `1:1=[\Seen]`},
		{` 1:3 +FLAGS (\seen $Forwarded)`, `1:3+[\Seen $Forwarded]`},
		{` 1 -flags.silent (\Deleted)`, `1:1-[\Deleted] silent`},
		{` * +FLAGS.SILENT \Deleted`, `*:*+[\Deleted] silent`},
		{` 1 FLAGS \Seen \Flagged x`, `1:1=[\Seen \Flagged x]`},
		{` 1 FLAGS ()`, `1:1=[]`},
		{` 1 FLAGS (\Recent \Seen)`, `1:1=[\Seen]`},
		{` 1 FLAGS \Recent`, `1:1=[]`},
		{` 7,5,9 (UNCHANGEDSINCE 320162338) +FLAGS.SILENT (\Deleted)`, `7:7,5:5,9:9+[\Deleted] silent unless since 320162338`},
		{` 1 (unchangedsince 0) FLAGS (a)`, `1:1=[a] unless since 0`},
		{` 1 () FLAGS (a)`, `1:1=[a]`},
		{``, ``},
		{` 1`, ``},
		{` 1 FLAGS`, ``},
		{` 1 FLAGS `, ``},
		{` 1 FLAGS (`, ``},
		{` 1 FLAGS (\Seen`, ``},
		{` 1 FLAGS (\NoSuch)`, ``},
		{` 1 FLAGS (a"b)`, ``},
		{` 1 FLAGS (\Seen) \Seen`, ``},
		{` 1 *FLAGS (\Seen)`, ``},
		{` 1 FLAGS.LOUD (\Seen)`, ``},
		{` 1 + FLAGS (\Seen)`, ``},
		{` 1 (UNCHANGEDSINCE) FLAGS (\Seen)`, ``},
		{` 1 (UNCHANGEDSINCE x) FLAGS (\Seen)`, ``},
		{` 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 2) FLAGS (\Seen)`, ``},
		{` 1 (UNCHANGEDSINCE 1)FLAGS (\Seen)`, ``},
		{` 0 FLAGS (\Seen)`, ``},
		{` a FLAGS (\Seen)`, ``},
	}
	for _, tt := range tests {
		r, err := parseStore(decoderOf(tt.line), 0)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("STORE%s: %s, want an error", tt.line, r.describe())
		case tt.want != "" && err != nil:
			t.Errorf("STORE%s: %v", tt.line, err)
		case tt.want != "" && r.describe() != tt.want:
			t.Errorf("STORE%s: %s, want %s", tt.line, r.describe(), tt.want)
		}
	}
}

func FuzzParseStore(f *testing.F) {
	f.Add(` 1:* +FLAGS.SILENT (\Seen $x)`)
	f.Add(` 7,* (UNCHANGEDSINCE 3) -FLAGS \Seen \Recent`)
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseStore(decoderOf(line), byUID)
		if err != nil {
			return
		}
		for _, flag := range r.change.Flags {
			if flag == "" || flag == recentFlag || strings.ContainsAny(string(flag), " ()\r\n\x00") {
				t.Fatalf("%q sets flag %q", line, flag)
			}
		}
	})
}

func TestParseCopy(t *testing.T) {
	t.Parallel()
	tests := []struct{ line, want string }{
		{` 1:2 Trash`, `1:2 Trash`},
		{` 1,* "Two words"`, `1:1,*:* Two words`},
		{` 1 inbox`, `1:1 INBOX`},
		{` 1 {5}` + "\r\nTrash", `1:1 Trash`},
		{` 1 &ZeVnLIqe-`, `1:1 日本語`},
		{` 1`, ``},
		{` Trash`, ``},
		{` 1 Trash 2`, ``},
		{` 1 "Trash`, ``},
	}
	for _, tt := range tests {
		r, err := parseCopy(decoderOf(tt.line), 0)
		switch {
		case tt.want == "" && err == nil:
			t.Errorf("COPY%s: want an error", tt.line)
		case tt.want != "" && err != nil:
			t.Errorf("COPY%s: %v", tt.line, err)
		case tt.want != "" && fmt.Sprint(spellSet(r.set), " ", r.dest) != tt.want:
			t.Errorf("COPY%s: %s %s, want %s", tt.line, spellSet(r.set), r.dest, tt.want)
		}
	}
}
