package listen

import (
	"syscall"
	"time"
)

const tcpUserTimeout = 18 // tcp(7)

// limitSilence ends a TCP connection whose peer does not acknowledge what has been sent for so long: keepalive looks only
// at connections on which nothing is under way. What is set on a listening socket holds for those it accepts.
func limitSilence(c syscall.RawConn, limit time.Duration) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(limit.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}
