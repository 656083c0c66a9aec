package freeport

import (
	"net"
	"testing"
)

// TestAddr: an address can be listened on, and is given to nobody else, whether it is or not.
func TestAddr(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for i := range 200 {
		addr, err := Addr()
		if err != nil {
			t.Fatal(err)
		}
		if seen[addr] {
			t.Errorf("%s twice", addr)
		}
		seen[addr] = true
		if other, err := net.ListenPacket("udp", addr); err == nil {
			t.Errorf("%s is not marked", addr)
			_ = other.Close() // it is only asked whether it can be had
		}
		if i%50 > 0 {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
}
