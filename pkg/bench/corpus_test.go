package bench

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

// TestCorpusStays: figures can be compared only while the mails are the same. Whoever changes them, changes this.
func TestCorpusStays(t *testing.T) {
	t.Parallel()
	for small, want := range map[bool]string{false: "7b65838e0b3b8474", true: "d63276a3c57f9e0d"} {
		c, again, other := NewCorpus(1, small), NewCorpus(1, small), NewCorpus(2, small)
		all, seen := sha256.New(), make(map[string]int)
		for n := range 250 {
			mail := c.Mail(n)
			all.Write(mail)
			_, text, _ := bytes.Cut(mail, []byte("Message-ID"))
			if same, ok := seen[string(text)]; ok {
				t.Errorf("small %v: mails %d and %d are alike", small, same, n)
			}
			seen[string(text)] = n
			if n%50 == 0 && !bytes.Equal(mail, again.Mail(n)) {
				t.Errorf("small %v: mail %d is another one the second time", small, n)
			}
			if n%50 == 0 && bytes.Equal(mail, other.Mail(n)) {
				t.Errorf("small %v: mail %d does not depend on the seed", small, n)
			}
		}
		if got := hex.EncodeToString(all.Sum(nil)[:8]); got != want {
			t.Errorf("small %v: the mails are those of %s, they were %s", small, got, want)
		}
	}
}

// disputed returns a line that servers may treat differently: with a bare CR or LF, an octet 0, or too long (RFC 5322 §2.1.1).
func disputed(mail []byte) []byte {
	for line := range bytes.Lines(mail) {
		text, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || len(text) > 998 || bytes.ContainsAny(text, "\r\x00") {
			return line
		}
	}
	return nil
}

// TestMails: each is well-formed, and the corpus has every kind and language.
func TestMails(t *testing.T) {
	t.Parallel()
	c := NewCorpus(1, false)
	kinds, languages := make(map[kind]int), make(map[language]int)
	for n := range 250 {
		m, text := c.plan(n), c.mail(n, "run")
		kinds[m.kind]++
		languages[m.language]++
		if found := disputed(text); found != nil {
			t.Errorf("mail %d has %.50q", n, found)
		}
		parsed, err := netmail.ReadMessage(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("mail %d: %v", n, err)
		}
		if date, err := parsed.Header.Date(); err != nil || !date.Equal(m.date) {
			t.Errorf("mail %d: date %v, %v", n, date, err)
		}
		if id := parsed.Header.Get("Message-ID"); id != messageID(n, "run") {
			t.Errorf("mail %d is %s", n, id)
		}
		if parts, err := countParts(parsed); err != nil || parts != partsOf[m.kind] {
			t.Errorf("mail %d: %d parts of kind %d, %v", n, parts, m.kind, err)
		}
	}
	if len(kinds) != len(partsOf) || len(languages) != int(raw)+1 {
		t.Errorf("kinds %v, languages %v", kinds, languages)
	}
}

var partsOf = map[kind]int{plain: 0, alternative: 2, attached: 2, inline: 2, forwarded: 2, report: 3}

func countParts(m *netmail.Message) (int, error) {
	media, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(media, "multipart/") {
		return 0, err
	}
	for r, n := multipart.NewReader(m.Body, params["boundary"]), 0; ; n++ {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if _, err := io.Copy(io.Discard, p); err != nil {
			return n, err
		}
	}
}

// TestSoughtWords: what searches look for is in no other text, and is found often enough to say something.
func TestSoughtWords(t *testing.T) {
	t.Parallel()
	words := strings.Join(append(append(append(append([]string(nil), englishWords...), germanWords...), frenchWords...), syllables...), " ")
	for _, w := range []string{rareWord, commonWord} {
		if strings.Contains(words, w) {
			t.Errorf("%q is in another text", w)
		}
	}
	if strings.Contains(strings.Join(japaneseWords, ""), japaneseWord) {
		t.Errorf("%q is in another text", japaneseWord)
	}
	c := NewCorpus(1, false)
	for what, found := range map[string]func(mail) bool{
		"rare": func(m mail) bool { return m.rare }, "common": func(m mail) bool { return m.common },
		"Japanese": func(m mail) bool { return m.estimate }, "sender": func(m mail) bool { return m.from == soughtPerson },
	} {
		if n := c.count(2000, found); n == 0 || n > 800 {
			t.Errorf("%s: in %d of 2,000", what, n)
		}
	}
}

// TestCharsets: every word can be written in the charset of its language.
func TestCharsets(t *testing.T) {
	t.Parallel()
	for _, w := range append(append([]string{japaneseWord, greetings[jis]}, japaneseWords...), kanjiNames...) {
		if _, err := japanese.ISO2022JP.NewEncoder().String(w); err != nil {
			t.Errorf("%s: %v", w, err)
		}
	}
	for _, w := range germanWords {
		if _, err := charmap.ISO8859_1.NewEncoder().String(w); err != nil {
			t.Errorf("%s: %v", w, err)
		}
	}
}

// TestLarge: the message that is fetched in parts is large, and ends.
func TestLarge(t *testing.T) {
	t.Parallel()
	mail := NewCorpus(1, true).large(large)
	if len(mail) < large || len(mail) > large+2<<20 || !bytes.HasSuffix(mail, []byte("--\r\n")) || disputed(mail) != nil {
		t.Errorf("%d octets that end with %q", len(mail), mail[len(mail)-20:])
	}
}
