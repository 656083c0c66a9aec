// IMAP URLs (RFC 5092) of messages, their sections and fragments of these.

package imap

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"postern/pkg/imap/wire"
	"postern/pkg/message"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// capURLPartial offers PARTIAL in URLs (RFC 5550 §5.7.1).
const capURLPartial imap.Cap = "URL-PARTIAL"

// messageURL is an IMAP URL of a message or of something in it.
type messageURL struct {
	host, user  string // of an absolute URL; host is without the port
	mailbox     string // empty means the selected one
	uidValidity uint32 // 0 means any
	uid         imap.UID
	section     message.Section // the whole message, if there is none
	partial     *imap.SectionPartial
}

// parseURL understands absolute URLs, "imap://user@host/mailbox;UIDVALIDITY=1/;UID=2/;SECTION=1.2/;PARTIAL=0.100", those
// that begin with the path, and those that begin with ";UID=" and are relative to the selected mailbox.
func parseURL(s string) (u messageURL, ok bool) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return u, false
	}
	rest := s
	if server, path, absolute := cutServer(s); absolute {
		if u.user, u.host, ok = parseServer(server); !ok {
			return u, false
		}
		rest = path
	}
	if strings.HasPrefix(rest, "/") {
		if rest, ok = u.parseMailbox(rest[1:]); !ok {
			return u, false
		}
	}
	if rest, ok = u.parseUID(rest); !ok {
		return u, false
	}
	if rest, ok = u.parseSection(rest); !ok {
		return u, false
	}
	rest, ok = u.parsePartial(rest)
	return u, ok && rest == ""
}

// cutServer cuts "imap://server/path", or "//server/path".
func cutServer(s string) (server, path string, ok bool) {
	const scheme = "imap:"
	if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
		s = s[len(scheme):]
	}
	after, ok := strings.CutPrefix(s, "//")
	i := strings.IndexByte(after, '/')
	if !ok || i < 0 {
		return "", "", ok
	}
	return after[:i], after[i:], true
}

// parseServer understands "user;AUTH=*@host:143".
func parseServer(s string) (user, host string, ok bool) {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		name, auth, _ := strings.Cut(s[:at], ";")
		if _, known := cutFold(auth, "AUTH="); auth != "" && !known {
			return "", "", false
		}
		decoded, err := url.PathUnescape(name)
		if err != nil {
			return "", "", false
		}
		user, s = decoded, s[at+1:]
	}
	host = s
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		if _, err := strconv.ParseUint(s[i+1:], 10, 16); err != nil && s[i+1:] != "" {
			return "", "", false
		}
		host = s[:i]
	}
	host, err := url.PathUnescape(host)
	return user, host, err == nil && host != ""
}

// cutFold is strings.CutPrefix in any case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// parseMailbox reads the mailbox's name, which is UTF-8, and its UIDVALIDITY (RFC 5092 §6.1), up to ";UID=".
func (u *messageURL) parseMailbox(s string) (rest string, ok bool) {
	i := strings.IndexByte(s, ';')
	if i < 0 {
		return "", false
	}
	name, rest := s[:i], s[i:]
	if after, found := cutFold(rest, ";UIDVALIDITY="); found {
		if u.uidValidity, rest, ok = cutNumber(after); !ok {
			return "", false
		}
		if rest, ok = strings.CutPrefix(rest, "/"); !ok {
			return "", false
		}
	} else if name, ok = strings.CutSuffix(name, "/"); !ok {
		return "", false
	}
	mailbox, err := url.PathUnescape(name)
	u.mailbox = mailbox
	return rest, err == nil && mailbox != "" && utf8.ValidString(mailbox)
}

// cutNumber reads a number above 0.
func cutNumber(s string) (n uint32, rest string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	v, err := strconv.ParseUint(s[:i], 10, 32)
	return uint32(v), s[i:], err == nil && v > 0
}

func (u *messageURL) parseUID(s string) (rest string, ok bool) {
	after, ok := cutFold(s, ";UID=")
	if !ok {
		return "", false
	}
	uid, rest, ok := cutNumber(after)
	u.uid = imap.UID(uid)
	return rest, ok
}

// parseSection reads "/;SECTION=1.2" (RFC 5092 §6.1), of which what follows is what stands in BODY[…].
func (u *messageURL) parseSection(s string) (rest string, ok bool) {
	after, found := cutFold(s, "/;SECTION=")
	if !found {
		return s, true
	}
	if i := strings.Index(after, "/;"); i >= 0 {
		after, rest = after[:i], after[i:]
	}
	text, err := url.PathUnescape(after)
	if err != nil || text == "" || strings.ContainsAny(text, "\r\n;") {
		return "", false
	}
	d := wire.NewDecoder(bufio.NewReader(strings.NewReader("["+text+"]\r\n")), wire.DecoderOptions{
		Continue: func() error { return errors.ErrUnsupported }, // there are no literals in URLs
	})
	d.Begin(wire.Limits{Line: maxLine})
	it, ok := parseSection(d, true).(*sectionItem)
	if !ok || d.End() != nil || it.partial != nil {
		return "", false
	}
	u.section = it.section
	return rest, true
}

// parsePartial reads "/;PARTIAL=0.100". Without a length it is all that follows.
func (u *messageURL) parsePartial(s string) (rest string, ok bool) {
	after, found := cutFold(s, "/;PARTIAL=")
	if !found {
		return s, true
	}
	offset, length, limited := strings.Cut(after, ".")
	from, err := strconv.ParseUint(offset, 10, 62)
	u.partial = &imap.SectionPartial{Offset: int64(from), Size: 1 << 62}
	if err != nil || !limited {
		return "", err == nil
	}
	size, err := strconv.ParseUint(length, 10, 62)
	u.partial.Size = int64(size)
	return "", err == nil && size > 0
}

// resolveURL returns the octets that a URL stands for. It marks nothing as \Seen. What does not lead to a message that this
// user may read is BADURL (RFC 4469 §5), whatever the reason.
func (c *conn) resolveURL(ctx context.Context, s string) (*io.SectionReader, error) {
	u, ok := parseURL(s)
	if !ok || u.host != "" && !c.isHere(u) || u.partial != nil && !c.offers(capURLPartial) {
		return nil, badURL(s)
	}
	account, snap, err := c.openURL(ctx, u)
	if err == nil {
		var r *io.SectionReader
		if r, err = readURL(ctx, account, snap, u); err == nil {
			return r, nil
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrName), errors.Is(err, message.ErrNoSection):
		return nil, badURL(s)
	case replyFor(err).result == resultRefused: // it says no more than this
		return nil, badURL(s)
	}
	return nil, err
}

// isHere reports whether an absolute URL means this server and this user.
func (c *conn) isHere(u messageURL) bool {
	host := strings.EqualFold(u.host, c.srv.Hostname)
	if t, ok := c.stream.net.(interface{ ConnectionState() tls.ConnectionState }); ok && !host {
		host = strings.EqualFold(u.host, t.ConnectionState().ServerName)
	}
	return host && (u.user == "" || strings.EqualFold(u.user, c.user))
}

// openURL finds the mailbox.
func (c *conn) openURL(ctx context.Context, u messageURL) (store.Account, *store.Snapshot, error) {
	if u.mailbox == "" {
		if c.sel == nil {
			return nil, nil, store.ErrNotFound
		}
		return c.sel.account, c.sel.snap, nil
	}
	at, err := c.locate(ctx, u.mailbox, store.RightRead)
	if err != nil {
		return nil, nil, err
	}
	box, snap, err := at.open(ctx)
	if err == nil && u.uidValidity != 0 && u.uidValidity != box.UIDValidity {
		err = store.ErrNotFound
	}
	return at.account, snap, err
}

// readURL finds what the URL means in the mailbox.
func readURL(ctx context.Context, a store.Account, snap *store.Snapshot, u messageURL) (*io.SectionReader, error) {
	want := store.WithBody
	whole := len(u.section.Path) == 0 && u.section.Kind == message.Whole
	if !whole {
		want |= store.WithPart
	}
	for m, err := range a.Messages(ctx, snap, imap.UIDSetNum(u.uid), want) {
		if err != nil {
			return nil, err
		}
		r := io.NewSectionReader(m.Body, 0, m.Size)
		if !whole {
			if r, err = m.Part.Section(m.Body, u.section); err != nil {
				return nil, err
			}
		}
		return fragment(r, u.partial), nil
	}
	return nil, store.ErrNotFound
}

// maxBadURL is how much of a URL is said again.
const maxBadURL = 500

// badURL is the refusal of a URL, which it names as far as a response code can (RFC 4469 §5, url-resp-text).
func badURL(s string) refusal {
	said := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f || strings.ContainsRune(`]\`, r) {
			return '?'
		}
		return r
	}, s[:min(len(s), maxBadURL)])
	if said == "" {
		said = "?"
	}
	return refusal{code: "BADURL " + said, text: "That URL is of no message you can read."}
}
