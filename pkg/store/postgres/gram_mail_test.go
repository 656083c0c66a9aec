package postgres

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

// words are what random mails are made of.
var words = []string{
	"会議", "東京", "京都", "大阪府", "資料", "見積書", "カタカナ", "ｶﾀｶﾅ", "ひらがな", "お世話に", "なります", "第３回", "3月", "Ａ社", "ー", "々",
	"株式会社", "添付", "。", "、", "「確認」", "　", "髙橋", "𠮷野家", "がぎ", "か\u3099",
	"meeting", "Lunch", "report", "REPORT", "a", "to", "naïve", "café", "cafe\u0301", "Straße", "STRASSE", "x-1", "don't", "…", "!?", "a.b", "<tag>",
	"привет", "МИР", "Ελλάδα", "שלום", "مرحبا", "สวัสดี", "ครับ", "ไทย", "안녕", "한국어", "🎉", "👨‍👩‍👧", "🇯🇵", "☺️", "é", "việt", "नमस्ते",
	"12345", "2024-05-12", "0x7f", "ﬁn", "①②", "㌔", "İstanbul", "ΣΊΣΥΦΟΣ", "l'été", "\u00a0", "ſ", "K",
}

// japaneseWords are those of words that the old Japanese charsets have.
func japaneseWords() []string {
	var list []string
	for _, w := range words {
		if _, err := japanese.ISO2022JP.NewEncoder().String(w); err == nil {
			if _, err := japanese.ShiftJIS.NewEncoder().String(w); err == nil {
				list = append(list, w)
			}
		}
	}
	return list
}

var japaneseText = japaneseWords()

// charsets are those of random mails.
var charsets = []struct {
	name string
	enc  encoding.Encoding
}{
	{"utf-8", nil},
	{"iso-2022-jp", japanese.ISO2022JP},
	{"shift_jis", japanese.ShiftJIS},
	{"euc-jp", japanese.EUCJP},
	{"utf-8", nil},
	{"iso-8859-1", charmap.ISO8859_1},
	{"utf-8", nil},
}

// phrase joins random words, with and without spaces.
func phrase(r *rand.Rand, from []string, n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(from[r.IntN(len(from))])
		if r.IntN(3) > 0 {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// randomMail makes a mail in some charset and encoding, with encoded headers, perhaps in parts.
func randomMail(r *rand.Rand, i int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s <user%d@example.org>\r\n", encodedWord(r, phrase(r, words, 1+r.IntN(2))), r.IntN(20))
	fmt.Fprintf(&b, "To: %s\r\n", []string{"ann@example.org", "bob@example.com, =?utf-8?q?Zo=C3=AB?= <zoe@example.net>"}[r.IntN(2)])
	fmt.Fprintf(&b, "Subject: %s\r\n", encodedWord(r, phrase(r, words, 1+r.IntN(4))))
	fmt.Fprintf(&b, "Message-ID: <%x.%d@mail.example.org>\r\nDate: Mon, %d May 2024 10:00:00 +0900\r\n", r.Uint64(), i, 1+r.IntN(28))
	switch r.IntN(8) {
	case 0:
		b.WriteString("X-Empty:\r\nX-Fold: one\r\n\ttwo  three\r\n")
	case 1:
		fmt.Fprintf(&b, "X-Raw: %s\r\nCc: c@example.org\r\n", phrase(r, words, 2))
	}
	if r.IntN(4) > 0 {
		b.WriteString(textPart(r))
		return b.String()
	}
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n")
	b.WriteString(textPart(r))
	b.WriteString("\r\n--b\r\n")
	if r.IntN(2) == 0 {
		b.WriteString("Content-Type: message/rfc822\r\n\r\n" + randomMail(r, i))
	} else {
		fmt.Fprintf(&b, "Content-Type: application/pdf; name=\"=?utf-8?b?%s?=\"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAwQ=",
			base64.StdEncoding.EncodeToString([]byte("資料 "+phrase(r, words, 1))))
	}
	b.WriteString("\r\n--b--\r\n")
	return b.String()
}

func encodedWord(r *rand.Rand, s string) string {
	c := charsets[r.IntN(len(charsets))]
	if c.enc != nil {
		coded, err := c.enc.NewEncoder().String(s)
		if err != nil {
			return "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
		}
		return "=?" + c.name + "?B?" + base64.StdEncoding.EncodeToString([]byte(coded)) + "?="
	}
	if r.IntN(3) == 0 {
		return s // raw
	}
	var q strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&q, "=%02X", s[i])
	}
	return "=?utf-8?Q?" + q.String() + "?="
}

// textPart makes the header and body of a text.
func textPart(r *rand.Rand) string {
	c := charsets[r.IntN(len(charsets))]
	text := phrase(r, words, 3+r.IntN(30))
	if c.enc != nil {
		text = phrase(r, japaneseText, 3+r.IntN(30))
		coded, err := c.enc.NewEncoder().String(text)
		if err != nil {
			c.name = "utf-8"
		} else {
			text = coded
		}
	}
	subtype := "plain"
	if r.IntN(4) == 0 {
		subtype = "html"
		text = "<p>" + strings.ReplaceAll(text, " ", "<br>") + "</p><style>hidden</style>&eacute;"
	}
	head := fmt.Sprintf("Content-Type: text/%s; charset=%s\r\nContent-Transfer-Encoding: ", subtype, c.name)
	switch r.IntN(3) {
	case 0:
		return head + "8bit\r\n\r\n" + text + "\r\n"
	case 1:
		coded := base64.StdEncoding.EncodeToString([]byte(text))
		var lines strings.Builder
		for len(coded) > 76 {
			lines.WriteString(coded[:76] + "\r\n")
			coded = coded[76:]
		}
		return head + "base64\r\n\r\n" + lines.String() + coded + "\r\n"
	}
	var qp strings.Builder
	w := quotedprintable.NewWriter(&qp)
	if _, err := w.Write([]byte(text)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return head + "quoted-printable\r\n\r\n" + qp.String() + "\r\n"
}
