package bench

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// scripted is a session with a server that answers the lines that it is sent with the given texts, one after the other, and
// then closes the connection.
func scripted(t *testing.T, answers ...string) *imapConn {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close() })
	go func() {
		defer theirs.Close()
		for in := bufio.NewReader(theirs); len(answers) > 0; answers = answers[1:] {
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
			if answers[0] == "" {
				continue
			}
			if _, err := io.WriteString(theirs, answers[0]); err != nil {
				return // who does not read to the end has found it wrong
			}
		}
	}()
	return &imapConn{wire: &wire{reader: newReader(ours), w: bufio.NewWriter(ours), conn: ours, stop: func() bool { return true }}}
}

// TestResponses: literals are counted and skipped, whatever is in them, and other news is let pass.
func TestResponses(t *testing.T) {
	t.Parallel()
	c := scripted(t, "* 2 EXISTS\r\n"+
		"* 1 FETCH (UID 7 BODY[] {12}\r\na1 OK fake\r\n FLAGS (\\Seen))\r\n"+
		"* 2 FETCH (BODY[HEADER] ~{3}\r\n\r\n) BODY[TEXT] {0}\r\n)\r\n"+
		"* OK Still here {not a literal}\r\n"+
		"a1 OK done\r\n")
	type seen struct {
		n        int
		literals int
		octets   int64
	}
	var got []seen
	err := c.do("FETCH 1:* x", func(r response) error {
		if n, _, ok := r.numbered("FETCH "); ok {
			got = append(got, seen{n, r.literals, r.octets})
		}
		return nil
	})
	if want := []seen{{1, 1, 12}, {2, 2, 3}}; err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// TestWrongAnswers: what is not the answer to the command is an error that shows it.
func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"a1 NO [OVERQUOTA] full\r\n":        "the server answers NO [OVERQUOTA] full",
		"a1 BAD what\r\n":                   "the server answers BAD what",
		"a2 OK early\r\n":                   `waiting for the reply to a1: "a2 OK early"`,
		"* BYE later\r\n":                   `the server ends the session: "BYE later"`,
		"* 1 FETCH (BODY[] {900}\r\nhalf":   "EOF",
		"+ go ahead\r\n":                    `"+ go ahead"`,
		"* 1 FETCH (FLAGS ())\r\na1 OK\r\n": "wrong answer: 1 responses to X, not 2",
	} {
		c := scripted(t, answer)
		_, err := c.expect("X", "FETCH", 2)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", answer, err, want)
		}
	}
}

// TestLiterals: a server that does not announce LITERAL+ is waited for, and a refusal is heard in place of "+".
func TestLiterals(t *testing.T) {
	t.Parallel()
	text := []byte("Subject: x\r\n\r\n")
	c := scripted(t, "* 1 EXISTS\r\n+ go on\r\n", "", "", "a1 OK taken\r\n")
	if err := c.appendTo("x", text); err != nil {
		t.Errorf("taken: %v", err)
	}
	if err := scripted(t, "a1 NO too large\r\n").appendTo("x", text); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("refused: %v", err)
	}
	c = scripted(t, "", "", "", "a1 OK taken\r\n")
	c.caps = map[string]bool{"LITERAL+": true}
	if err := c.appendTo("x", text); err != nil {
		t.Errorf("without waiting: %v", err)
	}
}

// TestPieces has the small parsers.
func TestPieces(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]int64{"BODY[] {12}": 12, "~{0}": 0, "{12+}": -1, "}": -1, "{}": -1, "x {1}y": -1, "": -1} {
		n, ok := literalAt([]byte(line))
		if !ok {
			n = -1
		}
		if n != want {
			t.Errorf("literal at the end of %q: %d, want %d", line, n, want)
		}
	}
	for set, want := range map[string]int{"1": 1, "1:3": 3, "9:7,1": 4, "1,2,5:5": 3} {
		if got := setSize(set); got != want {
			t.Errorf("size of %s: %d, want %d", set, got, want)
		}
	}
	for list, want := range map[string]int{"": 0, " 1 2 33": 3, " (1 2 (3)(44 5))(6)": 6} {
		if got := countNumbers([]byte(list)); got != want {
			t.Errorf("numbers in %q: %d, want %d", list, got, want)
		}
	}
	if got := string(stuffed([]byte("a\r\n.b\r\n..\r\n"))); got != "a\r\n..b\r\n...\r\n.\r\n" {
		t.Errorf("dots: %q", got)
	}
	if _, ok := errors.AsType[unable](scripted(t, "").can("X")); !ok {
		t.Error("a capability that is not announced is no reason")
	}
}

// TestMedian: the middle, or between the two in the middle.
func TestMedian(t *testing.T) {
	t.Parallel()
	for want, values := range map[float64][]float64{0: nil, 2: {3, 1, 2}, 2.5: {4, 1, 3, 2}, 7: {7}} {
		if got := median(values); got != want {
			t.Errorf("median of %v is %v, want %v", values, got, want)
		}
	}
}

// TestSelect: patterns choose, and one that chooses nothing is an error.
func TestSelect(t *testing.T) {
	t.Parallel()
	if all, err := Select(nil); err != nil || len(all) != len(Steps()) {
		t.Errorf("all: %d, %v", len(all), err)
	}
	some, err := Select([]string{"store-*", "copy"})
	if err != nil || len(some) != 3 || some[0].Name != "store-bulk" || some[2].Name != "copy" {
		t.Errorf("some: %v, %v", some, err)
	}
	for _, p := range []string{"nonsense", "[", "store-* "} {
		if _, err := Select([]string{p}); err == nil {
			t.Errorf("%q selects something", p)
		}
	}
	names := make(map[string]bool)
	for _, s := range Steps() {
		if names[s.Name] || s.Title == "" || s.Unit == "" || s.Group == "" || s.run == nil {
			t.Errorf("step %+v", s)
		}
		names[s.Name] = true
	}
}

// TestRefused: a wrong password is an error of its own, by either way to log in; capabilities are learnt from any reply.
func TestRefused(t *testing.T) {
	t.Parallel()
	who := Login{"anna@example.org", `se"cret`}
	for _, caps := range []map[string]bool{nil, {"SASL-IR": true, "AUTH=PLAIN": true}} {
		c := scripted(t, "a1 NO [AUTHENTICATIONFAILED] no\r\n")
		c.caps = caps
		if err := c.login(who); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), who.Address) {
			t.Errorf("with %v: %v", caps, err)
		}
	}
	for _, answer := range []string{
		"a1 OK [CAPABILITY IMAP4rev1 idle] in\r\n", "* CAPABILITY IMAP4rev1 IDLE\r\na1 OK in\r\n",
	} {
		c := scripted(t, answer)
		if err := c.login(who); err != nil || !c.caps["IDLE"] {
			t.Errorf("%q: %v, %v", answer, c.caps, err)
		}
	}
	c := scripted(t, "a1 OK in\r\n", "* CAPABILITY IMAP4rev1 IDLE\r\na2 OK\r\n")
	if err := c.login(who); err != nil || !c.caps["IDLE"] {
		t.Errorf("asked for: %v, %v", c.caps, err)
	}
}

// TestForeignMail: an account with mail that no Bench has put there is left alone.
func TestForeignMail(t *testing.T) {
	t.Parallel()
	c := scripted(t, "a1 OK none\r\n", "* STATUS INBOX (MESSAGES 12)\r\na2 OK\r\n", "a3 OK made\r\n")
	if _, err := c.claim("anna@example.org"); err == nil || !strings.Contains(err.Error(), "anna@example.org has 12 messages") {
		t.Errorf("12 messages: %v", err)
	}
	c = scripted(t, "a1 OK none\r\n", "* STATUS INBOX (MESSAGES 0)\r\na2 OK\r\n", "a3 OK made\r\n")
	if _, err := c.claim("anna@example.org"); err != nil || c.tags != 3 {
		t.Errorf("an empty one: %v", err)
	}
	c = scripted(t, "* LIST () \"/\" bench-was-here\r\na1 OK\r\n")
	if marked, err := c.claim("anna@example.org"); err != nil || !marked || c.tags != 1 {
		t.Errorf("one that has been used before: %v", err)
	}
}

// TestDropSelected: a mailbox is left before it is deleted, for some servers end a session whose mailbox goes.
func TestDropSelected(t *testing.T) {
	t.Parallel()
	for _, caps := range []map[string]bool{nil, {"UNSELECT": true}} {
		c := scripted(t, "* 3 EXISTS\r\na1 OK\r\n", "a2 OK left\r\n", "a3 NO there is none\r\n")
		c.caps = caps
		if n, err := c.selectBox(workBox, nil); n != 3 || err != nil {
			t.Fatalf("SELECT: %d, %v", n, err)
		}
		if err := c.drop(workBox); err != nil || c.tags != 3 {
			t.Errorf("after %d commands: %v", c.tags, err)
		}
	}
}
