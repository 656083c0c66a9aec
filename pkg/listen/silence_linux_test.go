package listen

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// TestSilence: what is set on the listening socket holds for the connections it accepts, and is below ten minutes.
func TestSilence(t *testing.T) {
	t.Parallel()
	l := open1(t, Options{Addr: "127.0.0.1:0"})
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*countedConn).Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[int]int)
	var failed error
	if err := raw.Control(func(fd uintptr) {
		for level, option := range map[int]int{syscall.IPPROTO_TCP: tcpUserTimeout, syscall.SOL_SOCKET: syscall.SO_KEEPALIVE} {
			value, err := syscall.GetsockoptInt(int(fd), level, option)
			got[option], failed = value, errors.Join(failed, err)
		}
	}); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if limit := time.Duration(got[tcpUserTimeout]) * time.Millisecond; limit != silence || limit >= 10*time.Minute {
		t.Errorf("unacknowledged data is waited for %v", limit)
	}
	if got[syscall.SO_KEEPALIVE] == 0 {
		t.Error("no keepalive")
	}
}
