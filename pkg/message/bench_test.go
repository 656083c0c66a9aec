package message

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"strings"
	"testing"
)

// sample is a mail as most are: some header, a text, its HTML, an attachment of the given size.
func sample(attachment int) []byte {
	var b strings.Builder
	b.WriteString("Received: from mx.example.org (mx.example.org [192.0.2.1])\r\n\tby mail.example.net with ESMTPS id 4F2A\r\n" +
		"\tfor <bob@example.net>; Mon, 7 Feb 2022 21:52:25 +0900\r\nFrom: =?utf-8?B?5bGx55Sw5aSq6YOO?= <taro@example.jp>\r\n" +
		"To: Bob <bob@example.net>, Carol <carol@example.net>\r\nSubject: =?utf-8?B?5Lya6K2w44Gu44GK55+l44KJ44Gb?=\r\n" +
		"Date: Mon, 7 Feb 2022 21:52:20 +0900\r\nMessage-ID: <4F2A.1644238340@example.jp>\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=\"=_mixed_1\"\r\n\r\n--=_mixed_1\r\n" +
		"Content-Type: multipart/alternative; boundary=\"=_alternative_2\"\r\n\r\n--=_alternative_2\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	b.WriteString(strings.Repeat("The quick brown fox jumps over the lazy dog, =E6=97=A5=E6=9C=AC.\r\n", 50))
	b.WriteString("--=_alternative_2\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>\r\n")
	b.WriteString(strings.Repeat("<p class=\"x\">The <b>quick</b> brown fox &amp; 日本語の文章です。</p>\r\n", 50))
	b.WriteString("</body></html>\r\n--=_alternative_2--\r\n--=_mixed_1\r\nContent-Type: application/pdf; name=\"a.pdf\"\r\n" +
		"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"a.pdf\"\r\n\r\n")
	b.WriteString(strings.Repeat("JVBERi0xLjQKJcOkw7zDtsOfCjIgMCBvYmoKPDwvTGVuZ3RoIDMgMCBSL0ZpbHRlci9GbGF0ZURl\r\n", attachment/78))
	b.WriteString("--=_mixed_1--\r\n")
	return []byte(b.String())
}

var sampleSizes = []struct {
	name string
	size int
}{{"10K", 0}, {"200K", 190 << 10}, {"5M", 5 << 20}}

// BenchmarkSpool is to be read beside its floor: hashing and keeping the octets in the same way, without a thought.
func BenchmarkSpool(b *testing.B) {
	for _, m := range sampleSizes {
		raw := sample(m.size)
		dir := b.TempDir()
		b.Run(m.name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				s, err := Spool(bytes.NewReader(raw), SpoolOptions{Dir: dir})
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(m.name+"/floor", func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if err := copyAndHash(struct{ io.Reader }{bytes.NewReader(raw)}, dir, len(raw) > DefaultMemory); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func copyAndHash(r io.Reader, dir string, toFile bool) error {
	hash := sha256.New()
	var to io.Writer = &bytes.Buffer{}
	if toFile {
		f, err := os.CreateTemp(dir, "")
		if err != nil {
			return err
		}
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
		defer f.Close()
		to = f
	}
	_, err := io.CopyBuffer(io.MultiWriter(hash, to), r, make([]byte, largeRead))
	hash.Sum(nil)
	return err
}

func BenchmarkParse(b *testing.B) {
	for _, m := range sampleSizes {
		raw := sample(m.size)
		b.Run(m.name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				p := newParser()
				p.write(raw)
				p.finish()
			}
		})
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	s := spool(b, sample(0), SpoolOptions{})
	raw, err := s.Part().AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		var p Part
		if err := p.UnmarshalBinary(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHeaderFields(b *testing.B) {
	s := spool(b, sample(0), SpoolOptions{})
	b.ReportAllocs()
	for b.Loop() {
		r, err := s.Part().Section(s, Section{Kind: HeaderFields, Fields: []string{"From", "To", "Subject", "Date"}})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFold folds texts, which is half of what it takes to look for something in a message that has been read, and to index it.
func BenchmarkFold(b *testing.B) {
	for _, text := range []struct{ name, line string }{
		{"ascii", "The quick brown fox jumps over the lazy dog.\r\n"},
		{"japanese", "日本語の文章をここに書きます。カタカナも。\r\n"},
		{"mixed", "システム 12 をOSのabcで使う。Hello world。\r\n"},
	} {
		b.Run(text.name, func(b *testing.B) {
			var f folder
			var folded []byte
			src := []byte(strings.Repeat(text.line, searchChunk/len(text.line)))
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				folded = f.append(folded[:0], src)
			}
		})
	}
}

func BenchmarkSearch(b *testing.B) {
	text := func(charset, line string) []byte {
		return []byte("Subject: x\r\nContent-Type: text/plain; charset=" + charset + "\r\n\r\n" + strings.Repeat(line, (1<<20)/len(line)))
	}
	for _, m := range []struct {
		name string
		raw  []byte
	}{
		{"mixed", sample(190 << 10)},
		{"ascii", text("us-ascii", "The quick brown fox jumps over the lazy dog.\r\n")},
		{"japanese", text("utf-8", "日本語の文章をここに書きます。カタカナも。\r\n")},
		{"iso-2022-jp", text("iso-2022-jp", "\x1b$BF|K\\8l$NJ8>O$r$3$3$K=q$-$^$9!#\x1b(B\r\n")},
	} {
		s := spool(b, m.raw, SpoolOptions{Memory: 1 << 30})
		b.Run(m.name, func(b *testing.B) {
			b.SetBytes(int64(len(m.raw)))
			b.ReportAllocs()
			for b.Loop() {
				if found, err := s.Part().Search(s, InText, "会社"); found || err != nil {
					b.Fatal(found, err)
				}
			}
		})
	}
}
