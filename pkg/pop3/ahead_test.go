package pop3

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern/pkg/store"
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
		{"skipping some", slices.Repeat([]string{small}, 9), "RETR 1;RETR 2;RETR 3;RETR 4;RETR 7;RETR 6;RETR 7", "1 2:3 4:7 6 7:8"},
		{"large ones too", slices.Repeat([]string{large}, 4), "RETR 1;RETR 2;RETR 3;RETR 4", "1 2:3 4"},
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

// TestReadAheadFails: what could not be read ahead is read when it is asked for. The store may have failed long before.
func TestReadAheadFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deliver(slices.Repeat([]string{"S: a\r\n\r\nb\r\n"}, 7)...)
	c := w.login()
	retr := func(n int, want string) {
		t.Helper()
		c.say(fmt.Sprintf("RETR %d", n))
		if c.hear(want); want == "+OK" {
			c.hearLines()
		}
	}
	retr(1, "+OK")
	w.store.fail("page 2", store.ErrUnavailable) // the first of a query: it fails now
	retr(2, "-ERR")
	retr(2, "+OK")
	retr(3, "+OK")
	w.store.fail("page 4", store.ErrUnavailable)
	retr(4, "+OK")
	w.store.fail("page 5", store.ErrUnavailable)
	w.store.fail("messages", store.ErrUnavailable) // and it still does
	retr(5, "-ERR")
	w.store.heal()
	retr(5, "+OK")
}

// TestReadAheadBound: there is an end to what is asked for ahead.
func TestReadAheadBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const count = 3 * aheadMessages
	w.deliver(slices.Repeat([]string{"S: a\r\n\r\nb\r\n"}, count)...)
	c := w.login()
	for n := 1; n <= count; n++ {
		c.say(fmt.Sprintf("RETR %d", n))
		c.hear("+OK")
		c.hearLines()
	}
	for _, uids := range w.store.queries() {
		if nums, _ := uids.Nums(); len(nums) > aheadMessages {
			t.Errorf("%v: %d messages in one query", uids, len(nums))
		}
	}
}
