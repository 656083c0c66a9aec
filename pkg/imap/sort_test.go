package imap

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"testing"

	"postern/pkg/imap/wire"
	"postern/pkg/order"
)

func (r sortRequest) describe() string {
	return strings.TrimSpace(fmt.Sprintf("%v %s", r.by, r.searchRequest.describe()))
}

func TestParseSort(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ line, want string }{
		{` (DATE) UTF-8 ALL`, `[{1 false}]`},
		{` (reverse SUBJECT Arrival) us-ascii SEEN`, `[{5 true} {0 false}] +\Seen`},
		{` (SIZE REVERSE SIZE CC) UTF-8 1:2 UID 3`, `[{2 false} {3 false}] seq 1:2 uid 3:3`},
		{` (FROM TO DISPLAYFROM REVERSE DISPLAYTO) "UTF-8" SUBJECT "日本"`, `[{4 false} {6 false} {7 false} {8 true}] Subject="日本"`},
		{` (SUBJECT) ISO-8859-1 TEXT {1}` + "\r\n\xe9", `[{5 false}] text="é"`},
	} {
		r, err := parseSort(decoderOf(tt.line), 0)
		if err != nil {
			t.Errorf("SORT%s: %v", tt.line, err)
		} else if r.describe() != tt.want {
			t.Errorf("SORT%s: %s, want %s", tt.line, r.describe(), tt.want)
		}
	}
	r, err := parseSort(decoderOf(` RETURN (MIN COUNT) (DATE) UTF-8 ALL`), byUID)
	if err != nil || r.ret == nil || !r.ret.ReturnMin || !r.ret.ReturnCount || r.ret.ReturnAll || !r.byUID {
		t.Errorf("SORT RETURN: %+v, %v", r, err)
	}
}

func TestParseSortBad(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		``, ` `, ` ()`, ` (DATE)`, ` (DATE) UTF-8`, ` (DATE) UTF-8 `, ` (DATE)UTF-8 ALL`, ` DATE UTF-8 ALL`, ` (DATE UTF-8 ALL`,
		` (REVERSE) UTF-8 ALL`, ` (REVERSE  DATE) UTF-8 ALL`, ` ((DATE)) UTF-8 ALL`, ` (DATE,SIZE) UTF-8 ALL`, ` (X) UTF-8 ALL`,
		` RETURN (DATE) UTF-8 ALL`, ` RETURN () RETURN () (DATE) UTF-8 ALL`, ` (DATE) UTF-8 NOSUCH`, ` (DATE) CHARSET UTF-8 ALL x`,
	} {
		if r, err := parseSort(decoderOf(line), 0); err == nil && r.refusal == nil {
			t.Errorf("SORT%s: %s, want an error", line, r.describe())
		}
	}
}

func FuzzParseSort(f *testing.F) {
	f.Add(` RETURN (MIN PARTIAL 1:2) (REVERSE DATE SUBJECT) UTF-8 OR (1:* SEEN) NOT UID 5`)
	f.Fuzz(func(t *testing.T, line string) {
		if r, err := parseSort(decoderOf(line), byUID); err == nil && r.refusal == nil && (len(r.by) == 0 || len(r.by) > len(sortKeys)) {
			t.Fatalf("%q: %d sort keys", line, len(r.by))
		}
	})
}

func TestParseThread(t *testing.T) {
	t.Parallel()
	for _, line := range []string{` REFERENCES UTF-8 ALL`, ` refs us-ascii SEEN`, ` OrderedSubject UTF-8 1:2`} {
		if r, err := parseThread(decoderOf(line), 0); err != nil || r.run == nil {
			t.Errorf("THREAD%s: %v", line, err)
		}
	}
	for _, line := range []string{``, ` `, ` JWZ UTF-8 ALL`, ` REFERENCES`, ` REFERENCES UTF-8`, ` REFERENCES UTF-8 ALL `, ` (REFS) UTF-8 ALL`} {
		if r, err := parseThread(decoderOf(line), 0); err == nil && r.refusal == nil {
			t.Errorf("THREAD%s: want an error", line)
		}
	}
}

func FuzzParseThread(f *testing.F) {
	f.Add(` REFERENCES UTF-8 OR (1:* SEEN) NOT UID 5`)
	f.Fuzz(func(t *testing.T, line string) {
		if r, err := parseThread(decoderOf(line), byUID); err == nil && r.refusal == nil && r.run == nil {
			t.Fatalf("%q: no algorithm", line)
		}
	})
}

// TestWriteThreads: nesting as deep as a mailbox is long is written without recursion, and in full.
func TestWriteThreads(t *testing.T) {
	t.Parallel()
	const n = 100_000
	rows := make([]order.Fields, 0, order.MaxRows)
	msgs := make([]order.Message, 0, n)
	for i := range n { // each second message has the next as a child, and one more
		rows = append(rows, order.Fields{Sent: int64(i), ID: uint64(i + 1)})
		if parent := i - 1 - i%2; i > 0 {
			rows[len(rows)-1].Refs = []uint64{uint64(max(0, parent) + 1)}
		}
		if len(rows) == order.MaxRows || i == n-1 {
			b := order.NewBlock(rows)
			for j := range rows {
				msgs = append(msgs, order.Message{Key: b.Key(j)})
			}
			rows = rows[:0]
		}
	}
	nums := make([]uint32, n)
	for i := range nums {
		nums[i] = uint32(i + 1)
	}
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	writeThreads(wire.NewEncoder(w), order.References(msgs), nums)
	_ = w.Flush() // it goes to memory
	text := out.String()
	if open, closed := strings.Count(text, "("), strings.Count(text, ")"); open != closed || open < n/2 {
		t.Errorf("%d parentheses open, %d close", open, closed)
	}
	if words := strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' }); len(words) != n {
		t.Errorf("%d messages written, want %d", len(words), n)
	}
	if !strings.HasPrefix(text, "* THREAD (1 ") {
		t.Errorf("%.60q", text)
	}
}
