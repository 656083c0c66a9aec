package order

import "strings"

// BaseSubject returns the base subject of a decoded subject (RFC 5256 §2.1), and whether what was removed shows that the
// message is a reply or a forward.
func BaseSubject(decoded string) (base string, reply bool) {
	s := oneSpace(decoded) // step 1
	for {
		s = cutTrailers(s, &reply) // step 2
		s = cutLeaders(s, &reply)  // steps 3 to 5
		inner, ok := cutForward(s) // step 6
		if !ok {
			return s, reply
		}
		s, reply = inner, true
	}
}

// oneSpace makes tabs, ends of lines and runs of spaces one space.
func oneSpace(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for i := range len(s) {
		switch c := s[i]; c {
		case ' ', '\t', '\r', '\n':
			if !space {
				b.WriteByte(' ')
			}
			space = true
		default:
			b.WriteByte(c)
			space = false
		}
	}
	return b.String()
}

// cutTrailers removes subj-trailer = "(fwd)" / WSP from the end as often as it is there.
func cutTrailers(s string, reply *bool) string {
	const forwarded = "(fwd)"
	for {
		s = strings.TrimRight(s, " ")
		if n := len(s) - len(forwarded); n < 0 || !strings.EqualFold(s[n:], forwarded) {
			return s
		}
		s = s[:len(s)-len(forwarded)]
		*reply = true
	}
}

// cutLeaders removes subj-leader = (*subj-blob subj-refwd) / WSP and each subj-blob that leaves something, as often as they
// are there. Where no subj-refwd follows the blobs at the beginning, none will when there is one blob less: so each is looked
// at once.
func cutLeaders(s string, reply *bool) string {
	for {
		s = strings.TrimLeft(s, " ")
		rest, last := cutBlobs(s)
		if after, ok := cutRefwd(rest); ok {
			s, *reply = after, true
			continue
		}
		if rest == "" {
			return last
		}
		return rest
	}
}

// cutBlobs removes all subj-blob = "[" *BLOBCHAR "]" *WSP from the beginning; last is s from the last of them on.
func cutBlobs(s string) (rest, last string) {
	last = s
	for {
		after, ok := cutBlob(s)
		if !ok {
			return s, last
		}
		s, last = after, s
	}
}

func cutBlob(s string) (string, bool) {
	if s == "" || s[0] != '[' {
		return s, false
	}
	end := strings.IndexAny(s[1:], "[]")
	if end < 0 || s[1+end] != ']' {
		return s, false
	}
	return strings.TrimLeft(s[end+2:], " "), true
}

// cutRefwd removes subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":".
func cutRefwd(s string) (string, bool) {
	for _, word := range []string{"re", "fwd", "fw"} {
		if len(s) < len(word) || !strings.EqualFold(s[:len(word)], word) {
			continue
		}
		rest, _ := cutBlob(strings.TrimLeft(s[len(word):], " "))
		if strings.HasPrefix(rest, ":") {
			return rest[1:], true
		}
	}
	return s, false
}

// cutForward removes subj-fwd-hdr = "[fwd:" and subj-fwd-trl = "]" if both are there.
func cutForward(s string) (string, bool) {
	const header = "[fwd:"
	if len(s) <= len(header) || !strings.EqualFold(s[:len(header)], header) || s[len(s)-1] != ']' {
		return s, false
	}
	return s[len(header) : len(s)-1], true
}
