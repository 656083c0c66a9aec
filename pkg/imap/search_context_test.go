package imap

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/pkg/store"
	"postern/pkg/store/memory"

	"github.com/emersion/go-imap/v2"
)

// liveKeys are searches to be followed, of every kind of key.
var liveKeys = []string{
	"ALL", "FLAGGED", "OR SEEN SUBJECT lunch", "UNSEEN UID 5:*", "1:* KEYWORD work", "NOT (BODY hi FLAGGED)", "RECENT",
	"LARGER 40 NOT FLAGGED", "UID *", "MODSEQ 9 SEEN",
}

var updateLine = regexp.MustCompile(`^\* ESEARCH \(TAG "L(\d+)"\) UID(?: REMOVEFROM \(0 ([\d:,]+)\))?(?: ADDTO \(0 ([\d:,]+)\))?$`)

// TestLiveSearch lets random things happen to a mailbox while a client follows searches. What it has been told must always
// be what the search finds.
func TestLiveSearch(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		f := newFollower(t, seed)
		for i := range liveKeys {
			f.p.say(t, fmt.Sprintf("L%d UID SEARCH RETURN (UPDATE ALL) %s", i, liveKeys[i]))
			f.known[i] = f.found(f.p.until(t, fmt.Sprintf("L%d OK", i)))
		}
		for range 60 {
			f.step()
			if f.r.IntN(3) == 0 {
				f.check()
			}
		}
		f.check()
		f.p.do(t, "x LOGOUT")
	}
}

// follower is a client that follows searches, and the hand that changes the mailbox.
type follower struct {
	t       *testing.T
	r       *rand.Rand
	p       *pipe
	account store.Account
	box     store.Mailbox
	known   []imap.UIDSet // by place in liveKeys
	next    imap.UID
}

func newFollower(t *testing.T, seed uint64) *follower {
	b := newBench(t)
	b.start()
	t.Cleanup(func() {
		if err := b.stop(t, time.Second); err != nil {
			t.Error(err)
		}
	})
	f := &follower{t: t, r: rand.New(rand.NewPCG(seed, 1)), known: make([]imap.UIDSet, len(liveKeys)), next: 1}
	var err error
	if f.account, err = b.store.Account(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if f.box, err = f.account.Mailbox(t.Context(), "INBOX"); err != nil {
		t.Fatal(err)
	}
	for range f.r.IntN(8) {
		f.add()
	}
	f.p = b.dial(t, "l")
	f.p.do(t, "x SELECT INBOX")
	return f
}

func (f *follower) add() {
	subject := []string{"lunch", "hello"}[f.r.IntN(2)]
	octets := "Subject: " + subject + "\r\n\r\n" + strings.Repeat("hi ", f.r.IntN(10)) + "\r\n"
	if err := deliver(f.t, f.account, f.box.ID, []byte(octets), nil, 1); err != nil {
		f.t.Fatal(err)
	}
	f.next++
}

// step changes something and has the client hear of it, or of a part; it returns what it heard.
func (f *follower) step() []string {
	uids := imap.UIDSetNum(imap.UID(f.r.IntN(int(f.next))+1), imap.UID(f.r.IntN(int(f.next))+1))
	var err error
	switch f.r.IntN(6) {
	case 0, 1:
		f.add()
	case 2:
		_, err = f.account.Expunge(f.t.Context(), f.box.ID, uids, store.Actor{})
	default:
		flags := []imap.Flag{[]imap.Flag{imap.FlagSeen, imap.FlagFlagged, "work"}[f.r.IntN(3)]}
		op := []imap.StoreFlagsOp{imap.StoreFlagsAdd, imap.StoreFlagsDel, imap.StoreFlagsSet}[f.r.IntN(3)]
		_, err = f.account.SetFlags(f.t.Context(), f.box.ID, uids, store.FlagChange{Op: op, Flags: flags})
	}
	if err != nil {
		f.t.Fatal(err)
	}
	lines := f.p.do(f.t, []string{"x NOOP", "x FETCH 1:* UID", `x UID STORE 1:* +FLAGS (\Answered)`, "x CHECK"}[f.r.IntN(4)])
	f.hear(lines)
	return lines
}

func (f *follower) hear(lines []string) {
	for _, line := range lines {
		m := updateLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		var i int
		if _, err := fmt.Sscan(m[1], &i); err != nil {
			f.t.Fatal(err)
		}
		gone, come := uidSet(m[2]), uidSet(m[3])
		if size(common(f.known[i], gone)) != size(gone) || size(common(f.known[i], come)) > 0 {
			f.t.Fatalf("%s: %q, but the client knows %v", liveKeys[i], line, f.known[i])
		}
		f.known[i] = union(subtract(f.known[i], gone), come)
	}
}

// check compares with what a new search finds.
func (f *follower) check() {
	f.hear(f.p.do(f.t, "x NOOP"))
	for i, keys := range liveKeys {
		lines := f.p.do(f.t, "x UID SEARCH RETURN (ALL) "+keys)
		f.hear(lines)
		if found := f.found(lines); found.String() != f.known[i].String() {
			f.t.Fatalf("%s: %v are found, the client knows %v", keys, found, f.known[i])
		}
	}
}

var allFound = regexp.MustCompile(` ALL ([\d:,]+)`)

func (f *follower) found(lines []string) imap.UIDSet {
	if m := allFound.FindStringSubmatch(strings.Join(lines, "")); m != nil {
		return uidSet(m[1])
	}
	return nil
}

func uidSet(s string) imap.UIDSet {
	if s == "" {
		return nil
	}
	return decoderOf(s).UIDSet()
}

// TestLiveAges: messages join and leave a result as time goes by, without anything else happening.
func TestLiveAges(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := memory.New()
	a, err := s.Account(t.Context(), s.AddAccount(testUser, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	box, err := a.Mailbox(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if err := deliver(t, a, box.ID, []byte("a: b\r\n\r\n"), nil, 3); err != nil {
		t.Fatal(err)
	}
	_, snap, err := a.Open(t.Context(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	age := now.Sub(snap.Received(1))
	for _, tt := range []struct {
		age  time.Duration
		want string
	}{{age, "[1 2 3]"}, {age - 2*time.Second, "[]"}, {age + 2*time.Second, "[]"}} {
		l := liveSearch{ages: []time.Duration{tt.age}, checked: now.Add(-time.Second)}
		if got := fmt.Sprint(l.aged(snap, now, nil)); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.age-age, got, tt.want)
		}
	}
}

func TestFollowable(t *testing.T) {
	t.Parallel()
	for keys, want := range map[string]bool{
		"ALL": true, "1:*": true, "*:1 SEEN": true, "NOT 1:*": true, "UID 5:*": true, "UID 1:5 RECENT YOUNGER 5": true,
		"1": false, "*": false, "2:*": false, "OR SEEN NOT 1:4": false, "$": false, "NOT ($)": false,
	} {
		d := decoderOf(keys)
		k := parseProgram(d, "", firstWord(d))
		if got := followable(&k); got != want {
			t.Errorf("%s: %v", keys, got)
		}
	}
	d := decoderOf("YOUNGER 3 NOT OR OLDER 4 (SEEN OLDER 5)")
	k := parseProgram(d, "", firstWord(d))
	ages := agesIn(&k, nil)
	if slices.Sort(ages); fmt.Sprint(ages) != "[3s 4s 5s]" {
		t.Errorf("ages %v", ages)
	}
}

func FuzzParseCancelUpdate(f *testing.F) {
	f.Add(` "a" "b"`)
	f.Fuzz(func(t *testing.T, line string) {
		d := decoderOf(line)
		tags, err := parseCancelUpdate(d, 0)
		if err == nil && (len(tags) == 0 || len(tags) > maxCancel) {
			t.Fatalf("%q: %d tags", line, len(tags))
		}
	})
}

// TestLiveSearchTooLong has searches followed whose criteria would have to be kept for as long as the mailbox is selected.
func TestLiveSearchTooLong(t *testing.T) {
	t.Parallel()
	c := newWorld(t).login(t)
	c.exchange(t, "a SELECT INBOX")
	for i, long := range []string{"UID " + strings.Repeat("1,", maxLiveOctets/2) + "1", strings.Repeat("(", 40) + "ALL" + strings.Repeat(")", 40)} {
		got := c.exchange(t, "b UID SEARCH RETURN (UPDATE) "+long)
		if refused := strings.HasPrefix(got[0], `* NO [NOUPDATE "b"]`); refused != (i == 0) {
			t.Errorf("%.40s…: %q", long, got)
		}
	}
}
