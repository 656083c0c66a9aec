package pop3

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestReadAhead: a client that keeps to the order gets more and more messages from one query; another gets what it asks for.
func TestReadAhead(t *testing.T) {
	t.Parallel()
	small := "S: a\r\n\r\n" + strings.Repeat("x", 100) + "\r\n"
	large := "S: a\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 10_000)
	for _, c := range []struct {
		name     string
		messages []string
		say      string
		want     string // UIDs of each query
	}{
		{"in order", slices.Repeat([]string{small}, 10), "RETR 1;RETR 2;RETR 3;RETR 4;RETR 5;RETR 10", "1 2:3 4:7 10"},
		{"backwards", slices.Repeat([]string{small}, 5), "RETR 5;RETR 4;RETR 3", "5 4 3"},
		{"skipping what is marked", slices.Repeat([]string{small}, 5), "DELE 3;RETR 1;RETR 2;RETR 4", "1 2,4"},
		{"deleting on the way", slices.Repeat([]string{small}, 7), "RETR 1;DELE 1;RETR 2;DELE 2;RETR 3;DELE 3;RETR 4", "1 2:3 4:7"},
		{"again", slices.Repeat([]string{small}, 3), "RETR 1;RETR 1", "1 1"},
		{"headers", slices.Repeat([]string{small}, 5), "TOP 1 0;TOP 2 0;TOP 3 0;RETR 3;TOP 4 0", "1 2:3 3 4"},
		{"large ones one by one", slices.Repeat([]string{large}, 4), "RETR 1;RETR 2;RETR 3", "1 2 3"},
		{"no further than the end", slices.Repeat([]string{small}, 2), "RETR 1;RETR 2", "1 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.deliver(c.messages...)
			client := w.login()
			for line := range strings.SplitSeq(c.say, ";") {
				client.say(line)
				client.hear("+OK")
				if !strings.HasPrefix(line, "DELE") {
					client.hearLines()
				}
			}
			var asked []string
			for _, uids := range w.store.queries() {
				asked = append(asked, uids.String())
			}
			if got := strings.Join(asked, " "); got != c.want {
				t.Errorf("asked for %s, want %s", got, c.want)
			}
		})
	}
}

// TestReadAheadBound: what is chosen is at most 32 messages, and 1 MiB unless one alone is more.
func TestReadAheadBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sizes := []int{10, 300 << 10, 500 << 10, 500 << 10, 10}
	for i := range 100 {
		w.deliver(fmt.Sprintf("S: %d\r\n\r\n%s\r\n", i, strings.Repeat("x", sizes[i%len(sizes)])))
	}
	c := w.login()
	for n := 1; n <= 100; n++ {
		c.say(fmt.Sprintf("RETR %d", n))
		c.hear("+OK")
		c.hearLines()
	}
	for _, uids := range w.store.queries() {
		nums, _ := uids.Nums()
		octets := 0
		for _, uid := range nums {
			octets += sizes[int(uid-1)%len(sizes)]
		}
		if len(nums) > aheadMessages || octets > aheadOctets && len(nums) > 1 {
			t.Errorf("%v: %d messages, %d octets in one query", uids, len(nums), octets)
		}
	}
}
