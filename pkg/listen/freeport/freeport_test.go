package freeport

import (
	"net"
	"testing"
)

// TestAddr: an address can be listened on, and the next is another.
func TestAddr(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 20 {
		addr, err := Addr()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		if seen[addr] {
			t.Errorf("%s twice", addr)
		}
		seen[addr] = true
	}
}
