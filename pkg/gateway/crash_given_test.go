package gateway_test

import (
	"fmt"
	"strings"
	"testing"
)

// givenBox is the mailbox of crashFriend's that crashUser moves mail to.
const givenBox = "Other Users/" + crashFriend + "/Given"

// shareGiven makes it and gives crashUser all rights.
func shareGiven(t *testing.T, s *server) {
	t.Helper()
	c := dialPlainAs(s.imap, crashFriend)
	if c == nil {
		t.Fatal("crashFriend cannot log in")
	}
	defer c.Close()
	for _, command := range []string{"CREATE Given", "SETACL Given " + crashUser + " lrswipkxte", "SELECT Given"} {
		if _, err := c.do("%s", command); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
}

// givenTale is two mails that are moved to a mailbox of another account together, where one is moved on to a second mailbox of
// the first. At any time each of them is in one place, both accounts taken together, and with its octets, which each account
// seals with a key of its own.
type givenTale struct {
	n                int
	append, give, is outcome
}

func (y *givenTale) id(i int) string { return fmt.Sprintf("given-%d-%d", y.n, i) }

func (y *givenTale) acknowledged() bool { return y.is == done }

func (y *givenTale) live(c *plainClient) error {
	y.append = unknown
	heard, err := c.do("APPEND Tales %s %s", taleMail(y.id(0)), taleMail(y.id(1)))
	if err != nil {
		return err
	}
	y.append, y.give = done, unknown
	heard, err = c.do("UID MOVE %s %q", uidsIn(heard, "APPENDUID", 1), givenBox)
	if err != nil {
		return err
	}
	y.give, y.is = done, unknown
	first, _, _ := strings.Cut(uidsIn(heard, "COPYUID", 2), ":")
	for _, command := range []string{fmt.Sprintf("SELECT %q", givenBox), "UID MOVE " + first + " Replaced", "SELECT Tales"} {
		if _, err := c.do("%s", command); err != nil {
			return err
		}
	}
	y.is = done
	return nil
}

// uidsIn finds the nth set behind UIDVALIDITY in a response code.
func uidsIn(heard, code string, nth int) string {
	_, after, _ := strings.Cut(heard, "["+code+" ")
	after, _, _ = strings.Cut(after, "]")
	if words := strings.Fields(after); len(words) > nth {
		return words[nth]
	}
	return "0" // which is BAD
}

func (y *givenTale) check(t *testing.T, found *findings) {
	t.Helper()
	for i := range 2 {
		all, given := found.everywhere(y.id(i)), found.count(givenBox, y.id(i))
		switch {
		case all > 1, all == 0 && y.append == done:
			t.Errorf("%+v: mail %d is there %d times", *y, i, all)
		case y.give == done && i == 1 && given != 1, y.is == done && i == 0 && found.count("Replaced", y.id(i)) != 1:
			t.Errorf("%+v: mail %d is not where it was moved to", *y, i)
		}
	}
	if a, b := found.count("Tales", y.id(0)), found.count("Tales", y.id(1)); a != b {
		t.Errorf("%+v: one of two mails has been moved: %d and %d are left", *y, a, b)
	}
}

// checkQuotas compares what the counters of both accounts say with what is in their mailboxes.
func checkQuotas(t *testing.T, s *server) {
	t.Helper()
	for _, user := range []string{crashUser, crashFriend} {
		c := dialPlainAs(s.imap, user)
		if c == nil {
			t.Fatalf("%s cannot log in", user)
		}
		defer c.Close()
		heard, err := c.do(`LIST "" * RETURN (STATUS (MESSAGES SIZE UNSEEN DELETED UIDNEXT))`)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(heard, "\r\n") {
			if status, ok := strings.CutPrefix(line, "* STATUS "); ok && !strings.Contains(line, "Other Users") {
				compareStatus(t, c, status)
			}
		}
	}
}

// compareStatus holds a STATUS, of which the name is the first part, against the messages themselves.
func compareStatus(t *testing.T, c *plainClient, status string) {
	t.Helper()
	name := status[:strings.LastIndexByte(status, '(')-1]
	var messages, size, unseen, deleted, uidNext int
	if _, err := fmt.Sscanf(status[len(name)+1:], "(MESSAGES %d SIZE %d UNSEEN %d DELETED %d UIDNEXT %d)",
		&messages, &size, &unseen, &deleted, &uidNext); err != nil {
		t.Fatalf("%q: %v", status, err)
	}
	if _, err := c.do("EXAMINE %s", name); err != nil {
		t.Fatal(err)
	}
	heard, err := c.do("UID FETCH 1:* (FLAGS RFC822.SIZE)")
	if err != nil {
		t.Fatal(err)
	}
	var n, octets, seen, marked int
	for _, line := range strings.Split(heard, "\r\n") {
		_, after, ok := strings.Cut(line, "RFC822.SIZE ")
		if !ok {
			continue
		}
		var one int
		if _, err := fmt.Sscanf(after, "%d", &one); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		n, octets = n+1, octets+one
		if strings.Contains(line, `\Seen`) {
			seen++
		}
		if strings.Contains(line, `\Deleted`) {
			marked++
		}
	}
	if n != messages || octets != size || n-seen != unseen || marked != deleted {
		t.Errorf("STATUS %s: there are %d messages of %d octets, %d unseen, %d deleted", status, n, octets, n-seen, marked)
	}
}
