// Package freeport finds addresses for programs that must be told where to listen before they do, as tests and
// measurements start them.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
)

// Ports below those that systems hand out for port 0 and to outgoing connections (32768 and above on Linux, 49152 on
// others): a port that is free here is not taken by a connection before the program listens on it, nor while it is
// restarted.
const (
	first = 14_000
	end   = 32_000
)

// tries is how many ports may be found in use before something else must be wrong.
const tries = 1_000

// Addr returns an address on 127.0.0.1 where nobody listens. It is taken at random, so that programs that ask at the same
// time do not get the same.
func Addr() (string, error) {
	for range tries {
		addr := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(end-first))
		l, err := net.Listen("tcp", addr)
		if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("find a free port: %w", err)
		}
		return addr, l.Close()
	}
	return "", fmt.Errorf("find a free port: %d of those between %d and %d are in use", tries, first, end)
}

// For is Addr for a test.
func For(t testing.TB) string {
	t.Helper()
	addr, err := Addr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
