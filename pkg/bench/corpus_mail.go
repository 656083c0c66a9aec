package bench

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"mime/quotedprintable"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

const lineEnd = "\r\n"

// Mail writes message n. Its line ends are CRLF, the last one too.
func (c *Corpus) Mail(n int) []byte { return c.mail(n, "") }

// mail writes message n, its Message-ID told from those of other runs, which may be "".
func (c *Corpus) mail(n int, run string) []byte {
	m := c.plan(n)
	b := new(bytes.Buffer)
	c.header(b, m, run)
	t := m.text(c.small)
	switch m.kind {
	case alternative:
		writeParts(b, m, "alternative", t.write, t.writeHTML)
	case attached:
		writeParts(b, m, "mixed", t.write, c.file(m, "application/pdf", "attachment"))
	case inline:
		writeParts(b, m, "related", t.writeHTML, c.file(m, "image/png", "inline"))
	case forwarded:
		writeParts(b, m, "mixed", t.write, c.forward(m))
	case report:
		writeParts(b, m, "report; report-type=delivery-status", t.write, m.status, c.returned(m))
	default:
		t.write(b)
	}
	return b.Bytes()
}

func (c *Corpus) header(b *bytes.Buffer, m mail, run string) {
	when := m.date.Format(time.RFC1123Z)
	if !c.small {
		fmt.Fprintf(b, "Received: from mx%d.example.net (mx%d.example.net [192.0.2.%d])\r\n\tby in.example.org (Postfix) with ESMTPS id %012X\r\n\tfor <%s>; %s\r\n",
			m.from%7, m.from%7, m.from%250, m.r.Uint64N(1<<48), address(m.to), when)
		fmt.Fprintf(b, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s%d;\r\n\th=from:to:subject:date:message-id; bh=%s;\r\n", m.from%3, c.cut(m.r, 44))
		for range 4 {
			fmt.Fprintf(b, "\t%s\r\n", c.cut(m.r, 72))
		}
	}
	root, path := c.root(m)
	subject := root.subject()
	if m.parent >= 0 {
		subject = "Re: " + subject
	}
	fmt.Fprintf(b, "From: %s\r\nTo: %s\r\n", person(m.from), person(m.to))
	if m.to%5 == 0 {
		fmt.Fprintf(b, "Cc: %s,\r\n\t%s\r\n", person((m.to+1)%people), person((m.to+9)%people))
	}
	fmt.Fprintf(b, "Subject: %s\r\nDate: %s\r\nMessage-ID: %s\r\n", subject, when, messageID(m.n, run))
	if m.parent >= 0 {
		fmt.Fprintf(b, "In-Reply-To: %s\r\n", messageID(m.parent, run))
		b.WriteString("References:")
		for i := min(len(path), 8); i > 0; i-- {
			fmt.Fprintf(b, " %s\r\n", messageID(path[i-1], run))
		}
	}
	if !c.small {
		b.WriteString("User-Agent: Mozilla Thunderbird\r\nX-Spam-Status: No, score=-2." + strconv.Itoa(m.from%10) + lineEnd)
	}
	b.WriteString("MIME-Version: 1.0\r\n")
}

// messageID names message n of a run.
func messageID(n int, run string) string {
	if run != "" {
		run = "." + run
	}
	return "<m" + strconv.Itoa(n) + run + "@bench.example>"
}

// subject of a conversation, as it stands in the header.
func (m mail) subject() string {
	r := rand.New(rand.NewPCG(uint64(m.n), 3))
	switch m.language {
	case jis:
		octets, _ := japanese.ISO2022JP.NewEncoder().String(sentence(r, japaneseWords, 3, "") + strconv.Itoa(m.n))
		return encodedWord("ISO-2022-JP", octets)
	case japanese8, raw:
		return encodedWord("UTF-8", sentence(r, japaneseWords, 3, "")+strconv.Itoa(m.n))
	case german:
		return encodedWord("UTF-8", sentence(r, germanWords, 3, " ")+" "+strconv.Itoa(m.n))
	}
	s := sentence(r, englishWords, 3+r.IntN(4), " ")
	if m.n%9 == 0 {
		return "[list-" + strconv.Itoa(m.n%4) + "] " + s
	}
	return s
}

func encodedWord(charset, octets string) string {
	return "=?" + charset + "?B?" + base64.StdEncoding.EncodeToString([]byte(octets)) + "?="
}

// body is the text of a mail, before it is encoded.
type body struct {
	m    mail
	text string // UTF-8, lines with CRLF
}

// wordsInLine are the most: then no line is wrapped.
const wordsInLine = 11

// text makes a mail's text: mostly short, some long.
func (m mail) text(small bool) body {
	lines := 4 + skewed(m.r, 120)
	if small {
		lines = 2 + skewed(m.r, 12)
	}
	words, space := englishWords, " "
	switch m.language {
	case german:
		words = germanWords
	case french:
		words = frenchWords
	case jis, japanese8, raw:
		words, space = japaneseWords, ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d%s", greetings[m.language], m.n, lineEnd+lineEnd)
	marked := m.r.IntN(lines)
	for i := range lines {
		if i == marked {
			b.WriteString(m.marks(space))
		}
		if m.n%11 == 3 && i%13 == 2 {
			b.WriteString(".") // a line that LMTP and POP3 must double the dot of
		}
		b.WriteString(sentence(m.r, words, 5+m.r.IntN(wordsInLine-4), space))
		b.WriteString(lineEnd)
	}
	return body{m: m, text: b.String()}
}

// marks are the words that searches look for in this mail.
func (m mail) marks(space string) string {
	s := ""
	if m.estimate {
		s += japaneseWord + space
	}
	if m.rare {
		s += " " + rareWord + " "
	}
	if m.common {
		s += " " + commonWord + " "
	}
	return s
}

// write writes the text as the body of a part, with the header that says how it is encoded.
func (t body) write(b *bytes.Buffer) {
	switch t.m.language {
	case english:
		b.WriteString("Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + t.text)
	case jis:
		octets, _ := japanese.ISO2022JP.NewEncoder().String(t.text) // its words have been tried
		b.WriteString("Content-Type: text/plain; charset=ISO-2022-JP\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + octets)
	case german:
		octets, _ := charmap.ISO8859_1.NewEncoder().String(t.text)
		b.WriteString("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
		quotedPrintable(b, octets)
	case french:
		b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
		quotedPrintable(b, t.text)
	case japanese8:
		b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		writeBase64(b, []byte(t.text))
	default:
		b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + t.text)
	}
}

// writeHTML writes the text with as much around it as mail programs put there.
func (t body) writeHTML(b *bytes.Buffer) {
	b.WriteString("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	var h strings.Builder
	h.WriteString("<html><head><style>td { font-family: sans-serif; padding: 0 8px }</style></head><body><table width=\"600\">\r\n")
	for line := range strings.Lines(t.text) {
		h.WriteString("<tr><td style=\"font-size: 14px; color: #333333\"><p class=\"text\">" + strings.TrimSpace(line) + "</p></td></tr>\r\n")
	}
	h.WriteString("</table></body></html>\r\n")
	quotedPrintable(b, h.String())
}

func quotedPrintable(b *bytes.Buffer, text string) {
	w := quotedprintable.NewWriter(b)
	_, _ = w.Write([]byte(text)) // a buffer takes everything
	_ = w.Close()
}

func writeBase64(b *bytes.Buffer, octets []byte) {
	text := base64.StdEncoding.EncodeToString(octets)
	for len(text) > 0 {
		n := min(76, len(text))
		b.WriteString(text[:n])
		b.WriteString(lineEnd)
		text = text[n:]
	}
}

// writeParts writes a multipart.
func writeParts(b *bytes.Buffer, m mail, subtype string, parts ...func(*bytes.Buffer)) {
	edge := fmt.Sprintf("=_edge_%d", m.n)
	sub, more, _ := strings.Cut(subtype, ";")
	if more != "" {
		more = ";" + more
	}
	fmt.Fprintf(b, "Content-Type: multipart/%s%s; boundary=\"%s\"\r\n\r\nThis is a message in several parts.\r\n", sub, more, edge)
	for _, part := range parts {
		fmt.Fprintf(b, "--%s\r\n", edge)
		part(b)
		b.WriteString(lineEnd)
	}
	fmt.Fprintf(b, "--%s--\r\n", edge)
}

// file is a part with octets that no server can compress: some tens of kilobytes, one in fifty more than a megabyte.
func (c *Corpus) file(m mail, contentType, disposition string) func(*bytes.Buffer) {
	size := 8<<10 + skewed(m.r, 160<<10)
	if m.r.IntN(40) == 0 {
		size = 1<<20 + m.r.IntN(1<<20)
	}
	return func(b *bytes.Buffer) {
		name := fmt.Sprintf("file-%d.%s", m.n, contentType[len(contentType)-3:])
		fmt.Fprintf(b, "Content-Type: %s; name=\"%s\"\r\nContent-Disposition: %s; filename=\"%[2]s\"\r\nContent-Transfer-Encoding: base64\r\n\r\n",
			contentType, name, disposition)
		writeBase64(b, fmt.Appendf(nil, "%%file %d of seed %d, and so unlike any other%%", m.n, c.seed)[:45])
		for size > 0 {
			at := m.r.IntN(len(c.pool)/poolLine-1) * poolLine
			n := min((size/poolLine+1)*poolLine, len(c.pool)-at)
			b.Write(c.pool[at : at+n])
			size -= n
		}
	}
}

// forward is another message as a part.
func (c *Corpus) forward(m mail) func(*bytes.Buffer) {
	return func(b *bytes.Buffer) {
		inner := mail{n: m.n, r: m.r, date: m.date.AddDate(0, 0, -1), from: m.to, to: m.from, parent: -1}
		b.WriteString("Content-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n")
		c.header(b, inner, "forwarded")
		inner.text(c.small).write(b)
	}
}

// status is the part of a report that programs read (RFC 3464).
func (m mail) status(b *bytes.Buffer) {
	fmt.Fprintf(b, "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n"+
		"Final-Recipient: rfc822; %s\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n", address(m.to))
}

// returned is the header of the mail that a report is about.
func (c *Corpus) returned(m mail) func(*bytes.Buffer) {
	return func(b *bytes.Buffer) {
		b.WriteString("Content-Type: text/rfc822-headers\r\n\r\n")
		c.header(b, mail{n: m.n, r: m.r, date: m.date, from: m.to, to: m.from, parent: -1}, "returned")
	}
}

const poolLine = 78 // 76 and the line end

// base64Lines makes a megabyte of noise.
func base64Lines(seed uint64) []byte {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	octets := make([]byte, 57*13_000)
	_, _ = rand.NewChaCha8(key).Read(octets) // it never fails
	var b bytes.Buffer
	writeBase64(&b, octets)
	return b.Bytes()
}

// cut is n characters of noise.
func (c *Corpus) cut(r *rand.Rand, n int) []byte {
	at := r.IntN(len(c.pool)/poolLine) * poolLine
	return c.pool[at : at+n]
}

// large is a message of about so many octets.
func (c *Corpus) large(octets int) []byte {
	m := c.plan(1 << 40)
	b := new(bytes.Buffer)
	c.header(b, m, "large")
	writeParts(b, m, "mixed", m.text(true).write, func(b *bytes.Buffer) {
		b.WriteString("Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		for b.Len() < octets {
			b.Write(c.pool)
		}
	})
	return b.Bytes()
}
