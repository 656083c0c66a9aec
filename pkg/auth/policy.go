package auth

import (
	"crypto/sha1" //nolint:gosec // it is how the lists are made
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/ccojocar/zxcvbn-go"
)

// Policy says which new passwords are too weak. The zero value takes any.
type Policy struct {
	MinLength   int    // characters
	MinStrength int    // 0 to 4, as zxcvbn estimates it: 2 resists 10^6 guesses, 3 10^8, 4 10^10
	Breached    string // a file of passwords that are known, see isBreached; empty: none
}

// estimated is how much of a password is looked at: the estimate takes time by the cube of it.
const estimated = 64

// ErrWeak is returned by Policy.Check.
var ErrWeak = errors.New("password is too weak")

// Check says what is wrong with a new password of a user. It never repeats it.
func (p Policy) Check(password, user string) error {
	password, err := normalise(password)
	if err != nil {
		return err
	}
	if n := utf8.RuneCountInString(password); n < p.MinLength {
		return fmt.Errorf("%w: %d characters, at least %d", ErrWeak, n, p.MinLength)
	}
	local, domain, _ := strings.Cut(user, "@")
	looked := string([]rune(password)[:min(estimated, utf8.RuneCountInString(password))])
	if score := zxcvbn.PasswordStrength(looked, []string{user, local, domain, "postern"}).Score; score < p.MinStrength {
		return fmt.Errorf("%w: strength %d of 4, at least %d; several unrelated words do", ErrWeak, score, p.MinStrength)
	}
	if p.Breached == "" {
		return nil
	}
	known, err := isBreached(p.Breached, password)
	if err != nil {
		return fmt.Errorf("list of breached passwords: %w", err)
	}
	if known {
		return fmt.Errorf("%w: it is in the list of breached passwords", ErrWeak)
	}
	return nil
}

// isBreached looks a password up in a file as Have I Been Pwned gives it out: SHA-1 in hexadecimal capitals, one a line, in
// order, perhaps with ":" and how often it was seen. The file may be larger than memory.
func isBreached(path, password string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	sum := sha1.Sum([]byte(password)) //nolint:gosec // as above
	return searchLines(f, info.Size(), strings.ToUpper(hex.EncodeToString(sum[:])))
}

// searchLines looks for a line that begins with key among sorted lines.
func searchLines(f io.ReaderAt, size int64, key string) (bool, error) {
	lo, hi := int64(0), size // the line begins in [lo, hi)
	for lo < hi {
		mid := lo + (hi-lo)/2
		line, begin, err := lineFrom(f, mid, lo)
		if err != nil {
			return false, err
		}
		word := strings.ToUpper(line[:min(len(line), len(key))])
		switch {
		case word == key:
			return true, nil
		case word < key:
			lo = begin + int64(len(line)) + 1
		default:
			hi = begin
		}
	}
	return false, nil
}

// maxListed is octets of a line: a hash and a count have fewer.
const maxListed = 128

// lineFrom returns the line that at is in, and where it begins; no line begins before from.
func lineFrom(f io.ReaderAt, at, from int64) (line string, begin int64, err error) {
	start := max(from, at-maxListed)
	buf := make([]byte, at-start+maxListed)
	n, err := f.ReadAt(buf, start)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", 0, err
	}
	text := string(buf[:n])
	head := strings.LastIndexByte(text[:at-start], '\n') + 1
	if head == 0 && start != from {
		return "", 0, errors.New("not a list of hashes: a line is too long")
	}
	line, _, ended := strings.Cut(text[head:], "\n")
	if !ended && err == nil {
		return "", 0, errors.New("not a list of hashes: a line is too long")
	}
	return line, start + int64(head), nil
}
