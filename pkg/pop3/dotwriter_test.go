package pop3

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net/textproto"
	"strings"
	"testing"
)

// wire sends text in pieces cut at the given places.
func wire(t *testing.T, text string, padding int, cuts ...int) string {
	t.Helper()
	var b bytes.Buffer
	out := bufio.NewWriterSize(&b, 16)
	w := newDotWriter(out)
	from := 0
	for _, cut := range append(cuts, len(text)) {
		if _, err := io.WriteString(w, text[from:cut]); err != nil {
			t.Fatal(err)
		}
		from = cut
	}
	if err := w.close(padding); err != nil {
		t.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDotWriter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		padding  int
		want     string
	}{
		{"empty", "", 0, ".\r\n"},
		{"a line", "a\r\n", 0, "a\r\n.\r\n"},
		{"dot", ".\r\n", 0, "..\r\n.\r\n"},
		{"dots", "..\r\n.a\r\n", 0, "...\r\n..a\r\n.\r\n"},
		{"after lone LF", "a\n.\nb\r\n", 0, "a\n..\nb\r\n.\r\n"},
		{"after lone CR", "a\r.b\r\n", 0, "a\r.b\r\n.\r\n"},
		{"no line end", "a", 1, "a\r\n.\r\n"},
		{"no line end, padding forgotten", "a", 0, "a\r\n.\r\n"},
		{"ends in LF", "a\n", 0, "a\n\r\n.\r\n"},
		{"ends in CR", "a\r", 1, "a\r\r\n.\r\n"},
		{"header only", "S: a\r\n", 1, "S: a\r\n\r\n.\r\n"},
		{"header only, no line end", "S: a", 2, "S: a\r\n\r\n.\r\n"},
		{"NUL", "\x00a\x00\x00\r\n", 0, "\x80a\x80\x80\r\n.\r\n"},
		{"NUL and dot", "\x00\n.\x00", 1, "\x80\n..\x80\r\n.\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for cut := range len(c.in) + 1 {
				if got := wire(t, c.in, c.padding, cut); got != c.want {
					t.Errorf("cut at %d: got %q, want %q", cut, got, c.want)
				}
			}
		})
	}
}

// TestDotWriterRoundTrip lets the standard library read what we write, for random messages and every place to cut them.
func TestDotWriterRoundTrip(t *testing.T) {
	t.Parallel()
	words := []string{".", "..", "\r\n", "\r\n.", "\r\n.\r\n", "a", "text", " ", "\t"}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		var text strings.Builder
		for range r.IntN(12) {
			text.WriteString(words[r.IntN(len(words))])
		}
		text.WriteString("\r\n")
		for cut := range text.Len() + 1 {
			sent := wire(t, text.String(), 0, cut)
			if !strings.HasSuffix(sent, "\r\n.\r\n") {
				t.Fatalf("seed %d: %q ends in %q", seed, text.String(), sent)
			}
			in := bufio.NewReader(strings.NewReader(sent + "+OK next\r\n"))
			got, err := io.ReadAll(textproto.NewReader(in).DotReader())
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.ReplaceAll(text.String(), "\r\n", "\n"); string(got) != want {
				t.Fatalf("seed %d, cut at %d: got %q, want %q", seed, cut, got, want)
			}
			if rest, err := io.ReadAll(in); err != nil || string(rest) != "+OK next\r\n" {
				t.Fatalf("seed %d: %q is left, %v", seed, rest, err)
			}
		}
	}
}
