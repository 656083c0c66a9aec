package gateway_test

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

// known is what a believer knows of a message.
type known struct {
	uid    imap.UID // 0: not asked for yet
	flags  string   // sorted; of no meaning while uid is 0
	modSeq uint64
}

// picture is what a believer remembers of a mailbox: message n is at n-1.
type picture struct {
	msgs     []known
	modSeq   uint64 // HIGHESTMODSEQ, as SELECT gave it: everything up to here is in msgs
	validity string
}

// believer is a mail client that believes every word the server says and complains when two of them disagree.
type believer struct {
	w        *world
	addr     string
	user     string
	prefix   string // of the mailboxes' names: somebody else's, which are shared
	c        net.Conn
	in       *bufio.Reader
	tags     int
	qresync  bool
	box      string             // selected, or ""
	pic      *picture           // of box
	seen     map[string]picture // of other mailboxes, for QRESYNC
	strictly bool               // the running command forbids EXPUNGE
	earlier  bool               // SELECT (QRESYNC …) is running: numbers are settled at its end
	fetched  map[uint32]known   // by it
	exists   int                // as it says
	next     imap.UID           // UIDNEXT, as SELECT said
	copied   string             // the last untagged COPYUID
}

const patience = time.Minute

func (d *believer) connect() error {
	c, err := tls.Dial("tcp", d.addr, insecure)
	if err != nil {
		return err
	}
	d.c, d.in, d.box, d.pic = c, bufio.NewReaderSize(c, 64<<10), "", nil
	if _, err := readResponse(d.in); err != nil {
		return err
	}
	if _, err := d.ok("LOGIN %s %q", d.user, password); err != nil {
		return err
	}
	if d.qresync {
		_, err = d.ok("ENABLE QRESYNC")
	}
	return err
}

// ok is run for commands that must succeed.
func (d *believer) ok(format string, args ...any) (*response, error) {
	r, err := d.run(format, args...)
	if err == nil && r.name != "OK" {
		err = fmt.Errorf("%q is answered %s %s", fmt.Sprintf(format, args...), r.name, r.rest)
	}
	return r, err
}

// run sends a command and takes in all that comes before its tagged reply. BAD is never right.
func (d *believer) run(format string, args ...any) (*response, error) {
	command := fmt.Sprintf(format, args...)
	d.tags++
	tag := "t" + strconv.Itoa(d.tags)
	if _, err := io.WriteString(d.c, tag+" "+command+"\r\n"); err != nil {
		return nil, err
	}
	d.strictly = forbidsExpunge(command)
	r, err := d.await(tag)
	if err == nil && (r.name == "BAD" || r.name == "BYE") {
		err = fmt.Errorf("answered %s %s", r.name, r.rest)
	}
	if err != nil {
		return nil, fmt.Errorf("%.200s: %w", command, err)
	}
	return r, nil
}

// forbidsExpunge: RFC 3501 §7.4.1.
func forbidsExpunge(command string) bool {
	name, _, _ := strings.Cut(command, " ")
	return name == "FETCH" || name == "STORE" || name == "SEARCH"
}

// await reads up to the reply with a tag, or a continuation request.
func (d *believer) await(tag string) (*response, error) {
	for {
		_ = d.c.SetReadDeadline(time.Now().Add(patience))
		r, err := readResponse(d.in)
		if err != nil {
			return nil, err
		}
		if r.tag == tag || r.tag == "+" {
			return r, nil
		}
		if err := d.hear(r); err != nil {
			return nil, fmt.Errorf("%s: * %d %s %.200s: %w", d.box, r.num, r.name, r.rest, err)
		}
	}
}

// hear takes in an untagged response.
func (d *believer) hear(r *response) error {
	switch {
	case r.name == "BYE":
		return errors.New("the server leaves")
	case d.pic == nil:
		return nil
	case r.name == "EXISTS" && d.earlier:
		d.exists = int(r.num)
	case r.name == "EXISTS":
		if int(r.num) < len(d.pic.msgs) {
			return fmt.Errorf("there were %d", len(d.pic.msgs))
		}
		d.pic.msgs = append(d.pic.msgs, make([]known, int(r.num)-len(d.pic.msgs))...)
	case r.name == "EXPUNGE":
		if d.strictly || d.qresync {
			return errors.New("EXPUNGE must not be sent here")
		}
		if r.num == 0 || int(r.num) > len(d.pic.msgs) {
			return errors.New("no such message")
		}
		d.pic.msgs = slices.Delete(d.pic.msgs, int(r.num-1), int(r.num))
	case r.name == "VANISHED":
		return d.vanished(r.rest)
	case r.name == "FETCH":
		return d.hearFetch(r)
	case r.name == "OK" && strings.HasPrefix(r.code, "HIGHESTMODSEQ "):
		at, err := strconv.ParseUint(r.code[len("HIGHESTMODSEQ "):], 10, 63)
		d.pic.modSeq = max(d.pic.modSeq, at)
		return err
	case r.name == "OK" && strings.HasPrefix(r.code, "COPYUID "):
		d.copied = r.code
	case r.name == "OK" && strings.HasPrefix(r.code, "UIDNEXT "):
		next, err := strconv.ParseUint(r.code[len("UIDNEXT "):], 10, 32)
		d.next = imap.UID(next)
		return err
	case r.name == "OK" && strings.HasPrefix(r.code, "UIDVALIDITY "):
		d.pic.validity = r.code[len("UIDVALIDITY "):]
	}
	return nil
}

func (d *believer) vanished(rest string) error {
	set, early := strings.CutPrefix(rest, "(EARLIER) ")
	if d.strictly && !early || !d.qresync {
		return errors.New("VANISHED must not be sent here")
	}
	uids, err := parseSet(set)
	if err != nil {
		return err
	}
	for _, uid := range uids {
		if !d.pic.drop(uid) && !early {
			return fmt.Errorf("UID %d was not known", uid)
		}
	}
	return nil
}

// drop forgets a message. One that has not been asked for yet is any of those in its gap.
func (p *picture) drop(uid imap.UID) bool {
	for i, m := range p.msgs {
		switch {
		case m.uid == uid:
			p.msgs = slices.Delete(p.msgs, i, i+1)
			return true
		case m.uid > uid:
			if i > 0 && p.msgs[i-1].uid == 0 {
				p.msgs = slices.Delete(p.msgs, i-1, i)
				return true
			}
			return false
		}
	}
	if n := len(p.msgs); n > 0 && p.msgs[n-1].uid == 0 {
		p.msgs = p.msgs[:n-1]
		return true
	}
	return false
}

// hearFetch takes in what FETCH says of a message, asked for or not.
func (d *believer) hearFetch(r *response) error {
	var m known
	flags, subject := false, ""
	for i := 0; i < len(r.list); i += 2 {
		switch name, value := r.list[i].(string), r.list[i+1]; {
		case name == "UID":
			uid, err := strconv.ParseUint(value.(string), 10, 32)
			if err != nil {
				return err
			}
			m.uid = imap.UID(uid)
		case name == "FLAGS":
			flags, m.flags = true, spelled(value.([]any))
		case name == "MODSEQ":
			at, err := strconv.ParseUint(value.([]any)[0].(string), 10, 63)
			if err != nil {
				return err
			}
			m.modSeq = at
		case strings.HasPrefix(name, "BODY[HEADER.FIELDS"):
			subject = strings.TrimSpace(strings.TrimPrefix(value.(string), "Subject: "))
		}
	}
	if d.earlier {
		d.fetched[r.num] = m
		return nil
	}
	return d.learn(r.num, m, flags, subject)
}

// learn enters what was said of message number num into the picture, and into what the world knows.
func (d *believer) learn(num uint32, m known, flags bool, subject string) error {
	if num == 0 || int(num) > len(d.pic.msgs) {
		return fmt.Errorf("there are %d messages", len(d.pic.msgs))
	}
	have := &d.pic.msgs[num-1]
	switch {
	case have.uid == 0 && m.uid == 0:
		return nil // it will be asked for
	case have.uid == 0:
		have.uid = m.uid
	case m.uid != 0 && m.uid != have.uid:
		return fmt.Errorf("number %d was UID %d, not %d", num, have.uid, m.uid)
	}
	if m.modSeq != 0 && m.modSeq < have.modSeq {
		return fmt.Errorf("UID %d: mod-sequence %d after %d", have.uid, m.modSeq, have.modSeq)
	}
	have.modSeq = max(have.modSeq, m.modSeq)
	if flags {
		have.flags = m.flags
	}
	if flags && m.modSeq != 0 {
		if err := d.w.agreeFlags(d.box, have.uid, m.modSeq, m.flags); err != nil {
			return err
		}
	}
	if subject != "" {
		return d.w.agreeSubject(d.box, have.uid, subject)
	}
	return nil
}

// spelled is a list of flags as a text that can be compared. \Recent is a session's own.
func spelled(list []any) string {
	var flags []string
	for _, f := range list {
		if f != `\Recent` {
			flags = append(flags, f.(string))
		}
	}
	slices.Sort(flags)
	return strings.Join(flags, " ")
}

// wire is a mailbox's name as this user has it.
func (d *believer) wire(box string) string { return `"` + d.prefix + box + `"` }

// sel selects a mailbox, with what is remembered of it where possible.
func (d *believer) sel(box string) error {
	d.leave()
	before, ok := d.seen[box]
	d.box, d.pic = box, &picture{}
	if !d.qresync || !ok || before.modSeq == 0 {
		if _, err := d.ok("SELECT %s", d.wire(box)); err != nil {
			return err
		}
		return d.fill(0)
	}
	d.pic.msgs, d.earlier, d.fetched = slices.Clone(before.msgs), true, make(map[uint32]known)
	_, err := d.ok("SELECT %s (QRESYNC (%s %d))", d.wire(box), before.validity, before.modSeq)
	d.earlier = false
	if err != nil {
		return err
	}
	if d.pic.validity != before.validity {
		return fmt.Errorf("UIDVALIDITY %s was %s", d.pic.validity, before.validity)
	}
	return d.settle()
}

// settle puts what QRESYNC said into the picture: it must account for every message.
func (d *believer) settle() error {
	for _, m := range d.fetched {
		if i, ok := d.pic.find(m.uid); !ok {
			d.pic.msgs = slices.Insert(d.pic.msgs, i, m)
		}
	}
	if len(d.pic.msgs) != d.exists {
		return fmt.Errorf("%s: after QRESYNC %d messages are known, EXISTS says %d", d.box, len(d.pic.msgs), d.exists)
	}
	for num, m := range d.fetched {
		if err := d.learn(num, m, true, ""); err != nil {
			return err
		}
	}
	return nil
}

func (p *picture) find(uid imap.UID) (int, bool) {
	return slices.BinarySearchFunc(p.msgs, uid, func(m known, uid imap.UID) int { return cmp.Compare(m.uid, uid) })
}

// findKnown is find among messages of which some have not been asked for.
func (p *picture) findKnown(uid imap.UID) (int, bool) {
	i := slices.IndexFunc(p.msgs, func(m known) bool { return m.uid == uid && uid != 0 })
	return i, i >= 0
}

// fill asks for what is not known yet of the messages behind the first n. Those that are gone are told of later.
func (d *believer) fill(n int) error {
	i := slices.IndexFunc(d.pic.msgs[n:], func(m known) bool { return m.uid == 0 })
	if i < 0 {
		return nil
	}
	_, err := d.run("FETCH %d:%d (UID FLAGS MODSEQ)", n+i+1, len(d.pic.msgs))
	return err
}

// leave remembers the selected mailbox; only a picture without gaps can be built on.
func (d *believer) leave() {
	if d.pic != nil && !slices.ContainsFunc(d.pic.msgs, func(m known) bool { return m.uid == 0 }) {
		d.seen[d.box] = *d.pic
	}
	d.box, d.pic = "", nil
}

// idle waits for news for a moment.
func (d *believer) idle(moment time.Duration) error {
	if r, err := d.run("IDLE"); err != nil || r.tag != "+" {
		return fmt.Errorf("IDLE: %v, %w", r, err)
	}
	d.strictly = false
	for end := time.Now().Add(moment); ; {
		_ = d.c.SetReadDeadline(end)
		if _, err := d.in.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		_ = d.c.SetReadDeadline(time.Now().Add(patience))
		r, err := readResponse(d.in)
		if err == nil {
			err = d.hear(r)
		}
		if err != nil {
			return fmt.Errorf("IDLE: %w", err)
		}
	}
	if _, err := io.WriteString(d.c, "DONE\r\n"); err != nil {
		return err
	}
	_, err := d.await("t" + strconv.Itoa(d.tags))
	return err
}
