// Package freeport finds addresses for programs that must be told where to listen before they do, as tests and
// measurements start them.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
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

// taken are the ports that this process has been given. A socket of UDP at each tells other processes that ask here: nobody
// else knows of a port before the program listens on it. They last as long as the process.
var taken struct {
	sync.Mutex
	marks []net.PacketConn
}

// Addr returns an address on 127.0.0.1 where nobody listens, and that nobody else who asks gets while this process lives.
func Addr() (string, error) {
	for range tries {
		addr := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(end-first))
		mark, err := net.ListenPacket("udp", addr)
		if inUse(err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("find a free port: %w", err)
		}
		taken.Lock()
		taken.marks = append(taken.marks, mark)
		taken.Unlock()
		l, err := net.Listen("tcp", addr)
		if inUse(err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("find a free port: %w", err)
		}
		return addr, l.Close()
	}
	return "", fmt.Errorf("find a free port: %d of those between %d and %d are in use", tries, first, end)
}

func inUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES)
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
