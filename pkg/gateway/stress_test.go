package gateway_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/pkg/store/postgres/pgtest"

	"github.com/emersion/go-imap/v2"
)

var stressFor = flag.Duration("stress", time.Minute, "how long TestFiftySessions goes on")

const (
	devices       = 50
	stressSenders = 2   // of mail by LMTP
	boxBound      = 400 // a mailbox with more messages is emptied
	idleFor       = 20 * time.Millisecond
)

var stressBoxes = []string{"INBOX", "One", "Two", "Three"}

// TestFiftySessions lets 50 connections of two users to two processes do everything at once in the same mailboxes, which
// are shared. Each keeps a picture of what
// it was told and complains at once of whatever contradicts it: a message number that means another message, an expunge at
// the wrong moment, a UID that changes its message, a mod-sequence that goes back or stands for two sets of flags. In the end
// all pictures must be what is there, every message acknowledged must have had a UID of its own, and none may have gone
// without reason (REQUIREMENTS 6, 7, 9, 10).
func TestFiftySessions(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Durable(t)
	s := &sessionsStress{T: t, w: newWorld(stressBoxes), end: time.Now().Add(*stressFor)}
	limits := "POSTERN_LIMITS_SESSIONS_PER_ACCOUNT=" + strconv.Itoa(2*devices)
	s.gateways = []*inProcess{startGateway(t, dsn, limits), startGateway(t, dsn, limits)}
	users := s.gateways[0].accounts(t, 2)
	s.user, s.guest = users[0], users[1]
	s.prepare()
	var wg sync.WaitGroup
	for i := range stressSenders {
		wg.Go(func() { s.deliver(i) })
	}
	all := make([]*believer, devices)
	for i := range all {
		all[i] = s.device(i)
		wg.Go(func() { s.live(all[i], rand.New(rand.NewPCG(uint64(i), 25))) })
	}
	wg.Wait()
	t.Logf("%d commands", s.commands.Load())
	if !t.Failed() {
		s.check(all)
	}
}

type sessionsStress struct {
	*testing.T
	w        *world
	gateways []*inProcess
	user     string // whose mailboxes they are
	guest    string // with whom they are shared
	end      time.Time
	made     atomic.Int64 // messages
	commands atomic.Int64
}

func (s *sessionsStress) device(i int) *believer {
	g := s.gateways[i%len(s.gateways)]
	d := &believer{w: s.w, addr: g.addr("imap"), user: s.user, qresync: i%3 != 0, seen: make(map[string]picture)}
	if i%4 == 3 {
		d.user, d.prefix = s.guest, "Other Users/"+s.user+"/"
	}
	return d
}

// prepare makes the mailboxes and shares them.
func (s *sessionsStress) prepare() {
	d := s.device(0)
	if err := d.connect(); err != nil {
		s.Fatal(err)
	}
	defer d.c.Close()
	for _, name := range stressBoxes[1:] {
		if _, err := d.ok("CREATE %s", name); err != nil {
			s.Fatal(err)
		}
	}
	for _, name := range stressBoxes {
		if _, err := d.ok("SETACL %s %s lrswite", name, s.guest); err != nil {
			s.Fatal(err)
		}
	}
}

func (s *sessionsStress) over() bool { return s.Failed() || time.Now().After(s.end) }

// deliver is a mail server.
func (s *sessionsStress) deliver(i int) {
	c := dialLMTP(s, s.gateways[i%len(s.gateways)].addr("lmtp"), 1)[0]
	for !s.over() {
		subject := fmt.Sprintf("delivered %d", s.made.Add(1))
		if err := c.deliver(s.user, fmt.Appendf(nil, "Subject: %s\r\n\r\nText.\r\n", subject)); err != nil {
			s.Error(err)
			return
		}
		s.w.came("INBOX", 1)
	}
}

// live is the life of a device.
func (s *sessionsStress) live(d *believer, r *rand.Rand) {
	if err := d.connect(); err != nil {
		s.Error(err)
		return
	}
	s.Cleanup(func() { d.c.Close() })
	for !s.over() {
		s.commands.Add(1)
		if err := s.step(d, r); err != nil {
			s.Errorf("%s, QRESYNC %t: %v", d.c.LocalAddr(), d.qresync, err)
			return
		}
	}
}

// step does one random thing, and then asks for what it has heard of.
func (s *sessionsStress) step(d *believer, r *rand.Rand) error {
	if d.pic == nil {
		return d.sel(stressBoxes[r.IntN(len(stressBoxes))])
	}
	if err := s.act(d, r); err != nil || d.pic == nil {
		return err
	}
	return d.fill(0)
}

func (s *sessionsStress) act(d *believer, r *rand.Rand) error {
	switch n := r.IntN(100); {
	case n < 12:
		return s.append(d, r)
	case n < 40:
		return s.store(d, r)
	case n < 50:
		return s.transfer(d, r, "COPY")
	case n < 60 || len(d.pic.msgs) > boxBound:
		return s.transfer(d, r, "MOVE")
	case n < 68:
		return s.expunge(d, r)
	case n < 76:
		return s.read(d, r)
	case n < 82:
		return s.search(d, r)
	case n < 88:
		return d.idle(idleFor)
	case n < 92:
		_, err := d.ok("NOOP")
		return err
	case n < 97:
		return d.sel(stressBoxes[r.IntN(len(stressBoxes))])
	}
	d.leave()
	if err := d.c.Close(); err != nil {
		return err
	}
	return d.connect()
}

// some picks up to 20 messages in a row: as the set a command takes, and what is known of them.
func (s *sessionsStress) some(d *believer, r *rand.Rand) (uid, set string, msgs []known) {
	n := len(d.pic.msgs)
	from := r.IntN(n)
	to := min(n, from+1+r.IntN(20))
	msgs = slices.Clone(d.pic.msgs[from:to])
	if r.IntN(2) == 0 || slices.ContainsFunc(msgs, func(m known) bool { return m.uid == 0 }) {
		return "", fmt.Sprintf("%d:%d", from+1, to), msgs
	}
	return "UID ", fmt.Sprintf("%d:%d", msgs[0].uid, msgs[len(msgs)-1].uid), msgs
}

func (s *sessionsStress) append(d *believer, r *rand.Rand) error {
	box := stressBoxes[r.IntN(len(stressBoxes))]
	subject := fmt.Sprintf("appended %d", s.made.Add(1))
	flags := []string{"", `\Seen`, `\Flagged $Label`}[r.IntN(3)]
	mail := "Subject: " + subject + "\r\n\r\n" + strings.Repeat("Text.\r\n", r.IntN(300))
	reply, err := d.ok("APPEND %s (%s) {%d+}\r\n%s", d.wire(box), flags, len(mail), mail)
	if err != nil {
		return err
	}
	s.w.came(box, 1)
	uid, err := strconv.ParseUint(reply.code[strings.LastIndexByte(reply.code, ' ')+1:], 10, 32)
	if err != nil {
		return fmt.Errorf("APPENDUID: %w", err)
	}
	return s.w.agreeSubject(box, imap.UID(uid), subject)
}

func (s *sessionsStress) store(d *believer, r *rand.Rand) error {
	if len(d.pic.msgs) == 0 {
		return nil
	}
	uid, set, msgs := s.some(d, r)
	flag := []string{`\Seen`, `\Flagged`, `\Answered`, "$Label", `\Deleted`}[r.IntN(5)]
	if flag == `\Deleted` && slices.ContainsFunc(msgs, func(m known) bool { return m.uid == 0 }) {
		flag = `\Draft` // it would not be known which messages may go
	}
	if flag == `\Deleted` {
		s.w.mayLeave(d.box, msgs)
	}
	op := []string{"+FLAGS", "-FLAGS", "+FLAGS.SILENT", "FLAGS"}[r.IntN(4)]
	if strings.HasSuffix(op, ".SILENT") {
		defer s.silently(d, msgs) // a silent client asks
	}
	unless := ""
	if r.IntN(4) == 0 {
		unless = fmt.Sprintf("(UNCHANGEDSINCE %d) ", d.pic.modSeq+uint64(r.IntN(200)))
	}
	_, err := d.run("%sSTORE %s %s%s (%s)", uid, set, unless, op, flag)
	return err
}

// silently makes the device ask again: it was not told what became of the flags.
func (s *sessionsStress) silently(d *believer, msgs []known) {
	for _, m := range msgs {
		if i, ok := d.pic.findKnown(m.uid); ok {
			d.pic.msgs[i].uid = 0
		}
	}
}

func (s *sessionsStress) transfer(d *believer, r *rand.Rand, how string) error {
	if len(d.pic.msgs) == 0 {
		return nil
	}
	to := stressBoxes[r.IntN(len(stressBoxes))]
	if how == "MOVE" && to == d.box {
		return nil
	}
	uid, set, _ := s.some(d, r)
	d.copied = ""
	reply, err := d.run("%s%s %s %s", uid, how, set, d.wire(to))
	if err != nil {
		return err
	}
	code := reply.code
	if how == "MOVE" {
		code = d.copied
	}
	if reply.name != "OK" || !strings.HasPrefix(code, "COPYUID ") {
		return nil // the messages had gone
	}
	words := strings.Fields(code)
	from, err := parseSet(words[2])
	if err != nil {
		return err
	}
	copies, err := parseSet(words[3])
	if err != nil {
		return err
	}
	return s.w.transferred(d.box, to, from, copies, how == "MOVE")
}

func (s *sessionsStress) expunge(d *believer, r *rand.Rand) error {
	if len(d.pic.msgs) == 0 || r.IntN(2) == 0 {
		_, err := d.ok("EXPUNGE")
		return err
	}
	uid, set, _ := s.some(d, r)
	if uid == "" {
		return nil
	}
	_, err := d.ok("UID EXPUNGE %s", set)
	return err
}

func (s *sessionsStress) read(d *believer, r *rand.Rand) error {
	if len(d.pic.msgs) == 0 {
		return nil
	}
	uid, set, _ := s.some(d, r)
	items := []string{"BODY.PEEK[HEADER.FIELDS (Subject)]", "BODY[HEADER.FIELDS (Subject)]", "UID FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (Subject)]"}
	_, err := d.run("%sFETCH %s (%s)", uid, set, items[r.IntN(len(items))])
	return err
}

// search: what is found are numbers the client knows.
func (s *sessionsStress) search(d *believer, r *rand.Rand) error {
	key := []string{"ALL", "UNSEEN", "KEYWORD $Label", "SUBJECT delivered", "NOT DELETED"}[r.IntN(5)]
	_, err := d.ok("SEARCH %s", key)
	return err
}

// check compares everything when nothing happens any more.
func (s *sessionsStress) check(all []*believer) {
	truth := make(map[string][]known)
	d := s.device(0)
	if err := d.connect(); err != nil {
		s.Fatal(err)
	}
	defer d.c.Close()
	for _, box := range stressBoxes {
		if err := d.sel(box); err != nil {
			s.Fatal(err)
		}
		if _, err := d.ok("UID FETCH 1:* (UID FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (Subject)])"); err != nil {
			s.Fatal(err)
		}
		truth[box] = d.pic.msgs
		s.w.account(s.T, box, d.next, d.pic.msgs)
		s.Logf("%s: %d messages of %d", box, len(d.pic.msgs), d.next-1)
	}
	for _, d := range all {
		if d.pic == nil {
			continue
		}
		if err := s.catchUp(d); err != nil {
			s.Error(err)
		} else if !slices.Equal(d.pic.msgs, truth[d.box]) {
			s.Errorf("%s, QRESYNC %t, %s: the picture is\n%v\nthere is\n%v", d.c.LocalAddr(), d.qresync, d.box, d.pic.msgs, truth[d.box])
		}
	}
}

// catchUp lets a device hear all that is to be heard.
func (s *sessionsStress) catchUp(d *believer) error {
	for range 2 {
		if _, err := d.ok("NOOP"); err != nil {
			return err
		}
		if err := d.fill(0); err != nil {
			return err
		}
	}
	return nil
}
