package bench

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// readers are the ways in which octets can arrive.
var readers = map[string]func(string) *reader{
	"at once":      func(s string) *reader { return newReader(strings.NewReader(s)) },
	"octet-wise":   func(s string) *reader { return newReader(iotest.OneByteReader(strings.NewReader(s))) },
	"tiny buffer":  func(s string) *reader { return &reader{src: strings.NewReader(s), buf: make([]byte, 3)} },
	"with the end": func(s string) *reader { return newReader(iotest.DataErrReader(strings.NewReader(s))) },
}

// TestReader reads lines, octets that only count and a dotted text, however they arrive.
func TestReader(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*bufferSize)
	for name, reading := range readers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := reading("first\r\nbare\n\r\n" + long + "\r\n0123456789after\r\nFrom: x\r\n..dot\r\n\r\n.\r\nlast\r\nno end")
			for _, want := range []string{"first", "bare", "", long} {
				if got, err := r.line(); err != nil || string(got) != want {
					t.Fatalf("got %.40q, %v, want %.40q", got, err, want)
				}
			}
			if err := r.skip(10); err != nil {
				t.Fatal(err)
			}
			if got, err := r.line(); err != nil || string(got) != "after" {
				t.Fatalf("got %q, %v", got, err)
			}
			if n, err := r.dotted(); err != nil || n != int64(len("From: x\r\n.dot\r\n\r\n")) {
				t.Fatalf("dotted: %d, %v", n, err)
			}
			if got, err := r.line(); err != nil || string(got) != "last" {
				t.Fatalf("got %q, %v", got, err)
			}
			if _, err := r.line(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("the end: %v", err)
			}
		})
	}
}

// TestReaderEnds: a connection that ends early is an error for every way of reading.
func TestReaderEnds(t *testing.T) {
	t.Parallel()
	for what, read := range map[string]func(*reader) error{
		"line":   func(r *reader) error { _, err := r.line(); return err },
		"skip":   func(r *reader) error { return r.skip(100) },
		"dotted": func(r *reader) error { _, err := r.dotted(); return err },
	} {
		if err := read(newReader(strings.NewReader("some"))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
