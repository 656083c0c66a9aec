package imap

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// TestCrowd lets 50 clients do random things to one mailbox at once. Each knows only what it hears, and what it hears must
// fit: numbers stand for the messages they stood for, EXPUNGE comes when it may, and a UID is one message for ever.
func TestCrowd(t *testing.T) {
	t.Parallel()
	from := accounts(inMemory)
	if *overPostgres {
		from = inPostgres(t)
	}
	w := newWorld(t, from)
	w.inbox(t, 50, "Subject: first\r\n\r\n")
	subjects := &sync.Map{}
	members := make([]*member, 50)
	for i := range members {
		members[i] = &member{
			client: w.login(t), subjects: subjects, name: "m" + strconv.Itoa(i), r: rand.New(rand.NewPCG(uint64(i), 1)),
		}
	}
	var g errgroup.Group
	for _, m := range members {
		g.Go(m.play)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if err := m.settle(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m.uids, members[0].uids) {
			t.Fatalf("%s knows %v, %s knows %v", m.name, m.uids, members[0].name, members[0].uids)
		}
	}
}

// member is one client of a crowd.
type member struct {
	client   *client
	subjects *sync.Map // of messages, by UID, as anyone has seen them
	name     string
	r        *rand.Rand
	uids     []uint32 // of the messages it knows, 0 if it has not asked
	commands int
}

func (m *member) play() error {
	if err := m.run("SELECT INBOX"); err != nil {
		return err
	}
	for range 25 {
		if err := m.run(m.choose()); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// settle learns all there is, twice: what was told, and what is there.
func (m *member) settle() error {
	for _, command := range []string{"NOOP", "UID FETCH 1:* (UID)"} {
		if err := m.run(command); err != nil {
			return err
		}
	}
	if slices.Contains(m.uids, 0) || !slices.IsSorted(m.uids) {
		return fmt.Errorf("%s knows %v", m.name, m.uids)
	}
	return nil
}

// choose makes up a command.
func (m *member) choose() string {
	if len(m.uids) == 0 {
		return "NOOP"
	}
	a, b := m.r.IntN(len(m.uids))+1, m.r.IntN(len(m.uids))+1
	switch m.r.IntN(10) {
	case 0, 1:
		return fmt.Sprintf("FETCH %d:%d (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])", a, b)
	case 2:
		return "UID FETCH 1:* (FLAGS)"
	case 3:
		return fmt.Sprintf("STORE %d +FLAGS (\\Deleted)", a)
	case 4:
		return fmt.Sprintf("STORE %d:%d FLAGS.SILENT (\\Seen)", a, min(a+3, len(m.uids)))
	case 5:
		return "EXPUNGE"
	case 6:
		return "SEARCH UNSEEN"
	case 7:
		return fmt.Sprintf("COPY %d INBOX", a)
	case 8:
		text := fmt.Sprintf("Subject: %s-%d\r\n\r\n", m.name, m.commands)
		return fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(text), text)
	}
	return "NOOP"
}

// run runs a command and takes in what is heard.
func (m *member) run(command string) error {
	m.commands++
	tag := "c" + strconv.Itoa(m.commands)
	if err := m.client.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := m.client.conn.Write([]byte(tag + " " + command + "\r\n")); err != nil {
		return err
	}
	for {
		s, err := m.client.response()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", command, err)
		case strings.HasPrefix(s, tag+" OK "), strings.HasPrefix(s, tag+" NO [EXPUNGEISSUED] "):
			return nil
		case !strings.HasPrefix(s, "* "):
			return fmt.Errorf("%s: %s", command, s)
		}
		if err := m.hear(command, s); err != nil {
			return fmt.Errorf("%s: %s: %w (of %v)", command, s, err, m.uids)
		}
	}
}

var (
	numbered = regexp.MustCompile(`^\* (\d+) (EXISTS|EXPUNGE|FETCH)`)
	tellsUID = regexp.MustCompile(`UID (\d+)`)
	subject  = regexp.MustCompile(`Subject: (\S+)`)
)

func (m *member) hear(command, s string) error {
	match := numbered.FindStringSubmatch(s)
	if match == nil {
		return nil
	}
	n, err := strconv.Atoi(match[1])
	if err != nil {
		return err
	}
	verb, _, _ := strings.Cut(command, " ")
	switch {
	case match[2] == "EXISTS" && n < len(m.uids):
		return fmt.Errorf("there were %d", len(m.uids))
	case match[2] == "EXISTS":
		m.uids = append(m.uids, make([]uint32, n-len(m.uids))...)
	case n < 1 || n > len(m.uids):
		return fmt.Errorf("there are %d", len(m.uids))
	case match[2] == "EXPUNGE" && (verb == "FETCH" || verb == "STORE" || verb == "SEARCH"):
		return fmt.Errorf("expunge during %s", verb)
	case match[2] == "EXPUNGE":
		m.uids = slices.Delete(m.uids, n-1, n)
	default:
		return m.hearFetch(n, s)
	}
	return nil
}

// hearFetch checks what is said of message n.
func (m *member) hearFetch(n int, s string) error {
	match := tellsUID.FindStringSubmatch(s)
	if match == nil {
		return nil
	}
	uid, err := strconv.ParseUint(match[1], 10, 32)
	if err != nil {
		return err
	}
	if known := m.uids[n-1]; known != 0 && known != uint32(uid) {
		return fmt.Errorf("message %d was UID %d", n, known)
	}
	m.uids[n-1] = uint32(uid)
	if match = subject.FindStringSubmatch(s); match != nil {
		if was, seen := m.subjects.LoadOrStore(uid, match[1]); seen && was != match[1] {
			return fmt.Errorf("UID %d was %q", uid, was)
		}
	}
	return nil
}
