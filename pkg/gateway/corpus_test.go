package gateway_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
)

// corpusMail makes mail number n: mostly short, some long, one in ten in Japanese, one in fifty with an attachment, all of
// them different and each with its number in Message-ID. Line ends are CRLF.
func corpusMail(n int, to string) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Sender %d <sender%d@example.com>\r\nTo: <%s>\r\n", n%17, n%17, to)
	fmt.Fprintf(&b, "Date: Thu, %02d Oct 2026 %02d:%02d:00 +0000\r\nMessage-ID: <corpus-%d@example.com>\r\nMIME-Version: 1.0\r\n",
		1+n%28, n%24, n%60, n)
	switch {
	case n%50 == 0:
		attachment(&b, r, n)
	case n%10 == 0:
		fmt.Fprintf(&b, "Subject: =?UTF-8?B?%s?=\r\n", base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "会議の件 %d", n)))
		b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
		b.WriteString(strings.Repeat("来週の打ち合わせについてご連絡いたします。\r\n", 1+r.IntN(60)))
	default:
		fmt.Fprintf(&b, "Subject: Mail number %d\r\nContent-Type: text/plain\r\n\r\n", n)
		for range 1 + r.IntN(200) {
			b.WriteString(".dots and words, words and dots " + strings.Repeat("x", r.IntN(40)) + "\r\n")
		}
	}
	return b.Bytes()
}

func attachment(b *bytes.Buffer, r *rand.Rand, n int) {
	fmt.Fprintf(b, "Subject: With an attachment %d\r\nContent-Type: multipart/mixed; boundary=\"edge-%d\"\r\n\r\n", n, n)
	fmt.Fprintf(b, "--edge-%d\r\nContent-Type: text/plain\r\n\r\nSee the attachment.\r\n", n)
	fmt.Fprintf(b, "--edge-%d\r\nContent-Type: application/octet-stream; name=data.bin\r\n", n)
	b.WriteString("Content-Disposition: attachment; filename=data.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	data := make([]byte, 50_000+r.IntN(500_000))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	for text := base64.StdEncoding.EncodeToString(data); len(text) > 0; {
		line := text[:min(76, len(text))]
		b.WriteString(line + "\r\n")
		text = text[len(line):]
	}
	fmt.Fprintf(b, "--edge-%d--\r\n", n)
}
