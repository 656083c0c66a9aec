package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// response is one line from a server, its literals in place. The parser is the test's own, and strict: what the server
// writes must be readable by somebody who never saw its code.
type response struct {
	tag  string // "*" or "+" or a command's
	num  uint32 // of "* 3 EXISTS"
	name string // "EXISTS", "FETCH", "OK"
	code string // of "OK [APPENDUID 1 2] ..."
	rest string // what follows the name; its literals are in literals
	list []any  // of FETCH: names and values
}

// readResponse reads a whole response.
func readResponse(r *bufio.Reader) (*response, error) {
	line, err := readWithLiterals(r)
	if err != nil {
		return nil, err
	}
	resp := &response{}
	resp.tag, resp.rest, _ = strings.Cut(line, " ")
	if resp.tag == "+" {
		return resp, nil
	}
	resp.name, resp.rest, _ = strings.Cut(resp.rest, " ")
	if n, err := strconv.ParseUint(resp.name, 10, 32); err == nil {
		resp.num = uint32(n)
		resp.name, resp.rest, _ = strings.Cut(resp.rest, " ")
	}
	if strings.HasPrefix(resp.rest, "[") {
		end := strings.Index(resp.rest, "]")
		if end < 0 {
			return nil, fmt.Errorf("no end of the response code: %q", line)
		}
		resp.code = resp.rest[1:end]
	}
	if resp.name == "FETCH" {
		var ok bool
		p := &listParser{s: resp.rest}
		if resp.list, ok = p.value().([]any); !ok || p.s != "" || len(resp.list)%2 != 0 {
			return nil, fmt.Errorf("not a list of pairs: %q", line)
		}
	}
	return resp, nil
}

// readWithLiterals reads a line; a literal in it becomes a quoted string in which nothing is escaped, as the test's messages
// hold no quotes.
func readWithLiterals(r *bufio.Reader) (string, error) {
	var all strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		line, ok := strings.CutSuffix(line, "\r\n")
		if !ok {
			return "", fmt.Errorf("line does not end in CRLF: %q", line)
		}
		open := strings.LastIndexByte(line, '{')
		if open < 0 || !strings.HasSuffix(line, "}") {
			all.WriteString(line)
			return all.String(), nil
		}
		n, err := strconv.Atoi(line[open+1 : len(line)-1])
		if err != nil {
			return "", fmt.Errorf("size of the literal: %q", line)
		}
		octets := make([]byte, n)
		if _, err := io.ReadFull(r, octets); err != nil {
			return "", err
		}
		all.WriteString(line[:open] + `"` + string(octets) + `"`)
	}
}

// listParser reads "(UID 3 FLAGS (\Seen) BODY[HEADER] "...")".
type listParser struct{ s string }

// value reads a list, a string or an atom; nil at the end of a list.
func (p *listParser) value() any {
	p.s = strings.TrimLeft(p.s, " ")
	switch {
	case p.s == "":
		return nil
	case p.s[0] == ')':
		p.s = p.s[1:]
		return nil
	case p.s[0] == '(':
		p.s = p.s[1:]
		list := []any{}
		for v := p.value(); v != nil; v = p.value() {
			list = append(list, v)
		}
		return list
	case p.s[0] == '"':
		text, rest, _ := strings.Cut(p.s[1:], `"`)
		p.s = rest
		return text
	}
	return p.atom()
}

// atom reads to the next space or parenthesis that is not in brackets.
func (p *listParser) atom() string {
	depth := 0
	for i := range len(p.s) {
		switch c := p.s[i]; {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case depth == 0 && (c == ' ' || c == ')' || c == '('):
			word := p.s[:i]
			p.s = p.s[i:]
			return word
		}
	}
	word := p.s
	p.s = ""
	return word
}

var errSet = errors.New("not a set of numbers")

// parseSet reads "1:3,7" as single numbers.
func parseSet(s string) ([]imap.UID, error) {
	var uids []imap.UID
	for word := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(word, ":")
		if !isRange {
			last = first
		}
		lo, err1 := strconv.ParseUint(first, 10, 32)
		hi, err2 := strconv.ParseUint(last, 10, 32)
		if err1 != nil || err2 != nil || lo == 0 || hi < lo || hi-lo > 1<<20 {
			return nil, fmt.Errorf("%w: %q", errSet, s)
		}
		for uid := lo; uid <= hi; uid++ {
			uids = append(uids, imap.UID(uid))
		}
	}
	return uids, nil
}
