package postfix

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	// maxRequest is the longest request: an address has 254 octets at most (RFC 5321 §4.5.3.1.3), quoted or in UTF-8 some
	// more.
	maxRequest = 4 << 10
	// maxDigits is how many a length up to maxRequest has.
	maxDigits = 4
)

var errNotNetstring = errors.New("not a netstring of at most " + strconv.Itoa(maxRequest) + " octets")

// readNetstring reads "5:hello,". It returns io.EOF when there is nothing more, and keeps no more than maxRequest octets.
func readNetstring(in *bufio.Reader) (string, error) {
	n, err := readLength(in)
	if err != nil {
		return "", err
	}
	text := make([]byte, n+1)
	if _, err := io.ReadFull(in, text); err != nil {
		return "", io.ErrUnexpectedEOF
	}
	if text[n] != ',' {
		return "", errNotNetstring
	}
	return string(text[:n]), nil
}

// readLength reads the digits up to the colon; there are no leading zeros but in "0:".
func readLength(in *bufio.Reader) (int, error) {
	n := 0
	for digits := 0; digits <= maxDigits; digits++ {
		b, err := in.ReadByte()
		switch {
		case err != nil && digits > 0:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case b == ':' && digits > 0 && n <= maxRequest:
			return n, nil
		case b < '0' || b > '9' || digits == 1 && n == 0:
			return 0, errNotNetstring
		}
		n = 10*n + int(b-'0')
	}
	return 0, errNotNetstring
}

func writeNetstring(out io.Writer, text string) error {
	_, err := fmt.Fprintf(out, "%d:%s,", len(text), text)
	return err
}
