package transcript

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

var sectionLine = regexp.MustCompile(`^-- (\S+) --$`)

// sections reads the messages below the conversation.
func sections(lines []string) (script int, found map[string]string) {
	script, found = len(lines), make(map[string]string)
	name := ""
	for i, line := range lines {
		if m := sectionLine.FindStringSubmatch(line); m != nil {
			name, script = m[1], min(script, i)
			found[name] = ""
		} else if name != "" && i < len(lines)-1 {
			found[name] += lineOf(line)
		}
	}
	return script, found
}

// lineOf is a line of the file as it goes out: its end is CRLF, or, with \c, left out.
func lineOf(text string) string {
	text, cut := strings.CutSuffix(text, `\c`)
	if cut {
		return unescape(text)
	}
	return unescape(text) + "\r\n"
}

var escaped = regexp.MustCompile(`\\x[0-9a-f]{2}`)

// unescape undoes \xNN.
func unescape(s string) string {
	return escaped.ReplaceAllStringFunc(s, func(x string) string {
		b, err := strconv.ParseUint(x[2:], 16, 8)
		if err != nil {
			panic(err) // the pattern admits nothing else
		}
		return string([]byte{byte(b)})
	})
}

// escape writes octets as \xNN: those of characters that do not print, and, where a line is not UTF-8, all that are not
// ASCII.
func escape(s string) string {
	valid := utf8.ValidString(s)
	var b strings.Builder
	for len(s) > 0 {
		r, size := rune(s[0]), 1
		if valid {
			r, size = utf8.DecodeRuneInString(s)
		}
		if r == '\t' || strconv.IsPrint(r) && (valid || r < utf8.RuneSelf) {
			b.WriteString(s[:size])
		} else {
			for _, octet := range []byte(s[:size]) {
				fmt.Fprintf(&b, `\x%02x`, octet)
			}
		}
		s = s[size:]
	}
	return b.String()
}
