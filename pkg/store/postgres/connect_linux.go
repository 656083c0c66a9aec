package postgres

import (
	"strings"
	"syscall"
)

const tcpUserTimeout = 18 // tcp(7)

// limitSilence ends a TCP connection whose peer no longer acknowledges what we send; keepalive does not look at those.
func limitSilence(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var err error
	if e := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(silenceTimeout.Milliseconds()))
	}); e != nil {
		return e
	}
	return err
}
