package gateway_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const tales = 40 // of each kind

// tale is something that a client does in the storm with what go-imap's client has no words for: several messages in one
// APPEND (RFC 3502), REPLACE (RFC 8508), RENAME of an INBOX with mail in it, DELETE of a mailbox with mail in it, MOVE to and
// from a mailbox of somebody else's (RFC 4314).
type tale interface {
	// live does it; an error means that the connection broke and nobody knows.
	live(c *plainClient) error
	acknowledged() bool
	check(t *testing.T, found *findings)
}

func newTales() []tale {
	var all []tale
	for i := range tales {
		all = append(all, &batchTale{n: i}, &replaceTale{n: i}, &deleteTale{n: i}, &givenTale{n: i})
		if i%8 == 0 {
			all = append(all, &renameTale{n: i})
		}
	}
	return all
}

// tellAll lives tales one after the other, spread over the storm.
func (st *storm) tellAll(all []tale) {
	var c *plainClient
	for i, y := range all {
		for c == nil {
			if c = dialPlain(st.s.imap); c == nil && !st.pause() {
				return
			}
		}
		if err := y.live(c); err != nil {
			_ = c.Close() // it is of no more use
			c = nil
		}
		st.await(int64(deliveries * i / len(all)))
	}
	if c != nil {
		_ = c.Close() // it is of no more use
	}
}

// plainClient speaks IMAP line by line.
type plainClient struct {
	*tls.Conn
	r *bufio.Reader
}

// dialPlain returns a client that is logged in and has selected Tales, or nil.
func dialPlain(addr string) *plainClient {
	c := dialPlainAs(addr, crashUser)
	if c == nil {
		return nil
	}
	if _, err := c.do("SELECT Tales"); err != nil {
		_ = c.Close() // it is of no more use
		return nil
	}
	return c
}

// dialPlainAs returns a client that is logged in, or nil.
func dialPlainAs(addr, user string) *plainClient {
	nc, err := tls.Dial("tcp", addr, insecure)
	if err != nil {
		return nil
	}
	c := &plainClient{Conn: nc, r: bufio.NewReader(nc)}
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err == nil {
		if _, err = c.r.ReadString('\n'); err == nil {
			_, err = c.do("LOGIN %s %q", user, password)
		}
		if err == nil {
			return c
		}
	}
	_ = c.Close() // it is of no more use
	return nil
}

var errRefused = errors.New("refused")

// do runs a command and returns all that was heard. What is no OK is an error too.
func (c *plainClient) do(format string, a ...any) (heard string, err error) {
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, "t "+fmt.Sprintf(format, a...)+"\r\n"); err != nil {
		return "", err
	}
	for {
		line, err := c.r.ReadString('\n')
		heard += line
		switch {
		case err != nil:
			return heard, err
		case strings.HasPrefix(line, "t OK"):
			return heard, nil
		case strings.HasPrefix(line, "t "):
			return heard, fmt.Errorf("%w: %s", errRefused, line)
		}
	}
}

// taleMail is a mail that can be found again.
func taleMail(id string) string {
	msg := fmt.Sprintf("Message-ID: <%s@tales>\r\n\r\n%s\r\n", id, strings.Repeat("once ", len(id)))
	return fmt.Sprintf("{%d+}\r\n%s", len(msg), msg)
}

// findings is what is there after the storm: how often each tale's mail is in each mailbox.
type findings struct {
	boxes map[string]map[string][]kept
	names []string
}

func (f *findings) count(box, id string) int { return len(f.boxes[box][id+"@tales"]) }

// everywhere is how often a mail is in any mailbox.
func (f *findings) everywhere(id string) (n int) {
	for box := range f.boxes {
		n += f.count(box, id)
	}
	return n
}

func checkTales(t *testing.T, s *server, all []tale) {
	t.Helper()
	found := &findings{boxes: make(map[string]map[string][]kept), names: s.mailboxes(t, "*")}
	for _, name := range found.names {
		found.boxes[name] = s.mailbox(t, name)
	}
	acked := 0
	for _, y := range all {
		y.check(t, found)
		if y.acknowledged() {
			acked++
		}
	}
	if acked < len(all)/2 {
		t.Errorf("only %d of %d tales were acknowledged", acked, len(all))
	}
}

// batchTale is one APPEND of five messages: all are there, or none.
type batchTale struct {
	n  int
	is outcome
}

func (y *batchTale) id(i int) string { return fmt.Sprintf("batch-%d-%d", y.n, i) }

func (y *batchTale) acknowledged() bool { return y.is == done }

func (y *batchTale) live(c *plainClient) error {
	y.is = unknown
	command := "APPEND Tales"
	for i := range 5 {
		command += " " + taleMail(y.id(i))
	}
	if _, err := c.do("%s", command); err != nil {
		return err
	}
	y.is = done
	return nil
}

func (y *batchTale) check(t *testing.T, found *findings) {
	t.Helper()
	var counts []int
	for i := range 5 {
		counts = append(counts, found.count("Tales", y.id(i)))
	}
	all, none := slices.Equal(counts, []int{1, 1, 1, 1, 1}), slices.Equal(counts, []int{0, 0, 0, 0, 0})
	if !all && (!none || y.is == done) {
		t.Errorf("%+v is there %v times", *y, counts)
	}
}

// replaceTale is a draft that is replaced again and again, in the end by one in another mailbox: there is one of them at any
// time, the last that was acknowledged or the one after it.
type replaceTale struct {
	n    int
	last int // acknowledged; -1 is none
	is   outcome
}

func (y *replaceTale) id(i int) string { return fmt.Sprintf("replace-%d-%d", y.n, i) }

const replacements = 3

func (y *replaceTale) acknowledged() bool { return y.is == done }

func (y *replaceTale) live(c *plainClient) error {
	y.last = -1
	y.is = unknown
	heard, err := c.do("APPEND Tales %s", taleMail(y.id(0)))
	for i := 1; err == nil; i++ {
		y.last = i - 1
		if i > replacements {
			y.is = done
			return nil
		}
		box := "Tales"
		if i == replacements {
			box = "Replaced"
		}
		heard, err = c.do("UID REPLACE %d %s %s", appendedUID(heard), box, taleMail(y.id(i)))
	}
	return err
}

// appendedUID finds the UID in APPENDUID.
func appendedUID(heard string) uint64 {
	_, after, _ := strings.Cut(heard, "[APPENDUID ")
	after, _, _ = strings.Cut(after, "]")
	_, uid, _ := strings.Cut(after, " ")
	n, _ := strconv.ParseUint(uid, 10, 32) // 0 if there is none, which is BAD
	return n
}

func (y *replaceTale) check(t *testing.T, found *findings) {
	t.Helper()
	if y.is == notAsked {
		return
	}
	total, at := 0, -1
	for i := range replacements + 1 {
		n := found.everywhere(y.id(i))
		if total += n; n > 0 {
			at = i
		}
	}
	ok := total == 1 && at == y.last || y.is == unknown && total == 1 && at == y.last+1 || y.last < 0 && total == 0
	if moved := at == replacements; !ok || moved && found.count("Replaced", y.id(at)) != 1 {
		t.Errorf("%+v: %d of them are there, the latest is %d", *y, total, at)
	}
}

// renameTale renames INBOX, which has mail of its own and is being delivered to: its mail is in INBOX or in the new mailbox,
// and nowhere twice. (The deliveries are looked for by checkDeliveries, in all of these.)
type renameTale struct {
	n          int
	append, is outcome
}

func (y *renameTale) id() string { return fmt.Sprintf("rename-%d", y.n) }

func (y *renameTale) acknowledged() bool { return y.is == done }

func (y *renameTale) live(c *plainClient) error {
	y.append = unknown
	if _, err := c.do("APPEND INBOX %s", taleMail(y.id())); err != nil {
		return err
	}
	y.append, y.is = done, unknown
	if _, err := c.do("RENAME INBOX %s", renamedPrefix+y.id()); err != nil {
		return err
	}
	y.is = done
	return nil
}

// renamedPrefix begins the names of what was INBOX.
const renamedPrefix = "Was/"

func (y *renameTale) check(t *testing.T, found *findings) {
	t.Helper()
	n := found.everywhere(y.id())
	if n > 1 || n == 0 && y.append == done {
		t.Errorf("%+v is there %d times", *y, n)
	}
	if is := found.count(renamedPrefix+y.id(), y.id()); y.is == done && is != 1 {
		t.Errorf("%+v is %d times in the new mailbox", *y, is)
	}
}

// deleteTale makes a mailbox with mail in it and deletes it: it is there with its mail, or neither is.
type deleteTale struct {
	n                  int
	create, append, is outcome
}

func (y *deleteTale) name() string { return fmt.Sprintf("Gone-%d", y.n) }

func (y *deleteTale) acknowledged() bool { return y.is == done }

func (y *deleteTale) live(c *plainClient) error {
	y.create = unknown
	if _, err := c.do("CREATE %s", y.name()); err != nil {
		return err
	}
	y.create, y.append = done, unknown
	if _, err := c.do("APPEND %s %s", y.name(), taleMail(y.name())); err != nil {
		return err
	}
	y.append, y.is = done, unknown
	if _, err := c.do("DELETE %s", y.name()); err != nil {
		return err
	}
	y.is = done
	return nil
}

func (y *deleteTale) check(t *testing.T, found *findings) {
	t.Helper()
	there := slices.Contains(found.names, y.name())
	n := found.everywhere(y.name())
	switch {
	case y.is == done && there, y.create == done && y.is == notAsked && !there:
		t.Errorf("%+v: the mailbox is there: %v", *y, there)
	case n > 1, n == 1 && !there, y.append == done && there && n != 1:
		t.Errorf("%+v: the mail is there %d times", *y, n)
	}
}
