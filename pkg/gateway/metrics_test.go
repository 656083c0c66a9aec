package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMetrics holds the list of metrics in docs/operations.md to what a gateway that has been used shows.
func TestMetrics(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, found := range regexp.MustCompile("(?m)^\\| `(postern_\\w+)").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, found[1])
	}
	slices.Sort(documented)

	shared.account(t, "metrics@example.org")
	if err := shared.deliver("sender@example.com", "metrics@example.org", strings.NewReader("Subject: x\r\n\r\nx\r\n")); err != nil {
		t.Fatal(err)
	}
	i := dialTLS(t, shared.imap)
	i.send("a LOGIN metrics@example.org \"%s\"\r\nb SELECT INBOX\r\nc LOGOUT", password)
	i.until("c OK")
	p := dialTLS(t, shared.pop3)
	p.send("USER metrics@example.org\r\nPASS %s\r\nQUIT", password)
	p.until("+OK Bye")

	var shown []string
	same := func() bool { // octets are counted when a session has ended
		if shown, err = metricNames("http://" + shared.http + "/metrics"); err != nil {
			t.Fatal(err)
		}
		return slices.Equal(shown, documented)
	}
	if !await(same) {
		t.Errorf("shown but not documented: %v; documented but not shown: %v", without(shown, documented), without(documented, shown))
	}
}

func metricNames(url string) ([]string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s, %w", url, resp.Status, err)
	}
	var names []string
	for _, found := range regexp.MustCompile(`(?m)^# TYPE (postern_\w+)`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, found[1])
	}
	slices.Sort(names)
	return names, nil
}

func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(name string) bool { return slices.Contains(other, name) })
}
