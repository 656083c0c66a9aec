package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// probeLimit bounds one attempt; a server that hangs longer is not ready.
const probeLimit = 5 * time.Second

// errStarting means that the server is there but does not take connections at the moment (SQLSTATE 57P03).
var errStarting = errors.New("the server is starting up or shutting down")

// errRefused means that the server is up and will not have us, now or later.
var errRefused = errors.New("the server refuses")

// probe opens one connection the way a client does and reports whether it was let in. The start-up message is the
// whole of the protocol that is needed: PostgreSQL, Frontend/Backend Protocol, "Message Formats".
func probe(ctx context.Context, socketDir string) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socketPath(socketDir))
	if err != nil {
		return err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := c.Write(startupMessage()); err != nil {
		return err
	}
	if err := readWelcome(c); err != nil {
		return err
	}
	_, err = c.Write([]byte{'X', 0, 0, 0, 4}) // Terminate, or the server logs a lost connection
	return err
}

func startupMessage() []byte {
	const protocol = 3 << 16
	body := binary.BigEndian.AppendUint32(nil, protocol)
	body = append(body, "user\x00"+superuser+"\x00database\x00"+database+"\x00\x00"...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
}

// readWelcome reads until the server is ready for a query, or says why not.
func readWelcome(r io.Reader) error {
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		size := binary.BigEndian.Uint32(head[1:])
		if size < 4 || size > 1<<16 {
			return fmt.Errorf("not a PostgreSQL server: message of %d octets", size)
		}
		body := make([]byte, size-4)
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		switch head[0] {
		case 'Z': // ReadyForQuery
			return nil
		case 'E':
			return serverError(body)
		}
	}
}

// serverError reads the fields of an ErrorResponse: an octet that names the field, a string, NUL.
func serverError(body []byte) error {
	fields := map[byte]string{}
	for len(body) > 1 {
		end := 1
		for end < len(body) && body[end] != 0 {
			end++
		}
		fields[body[0]] = string(body[1:end])
		body = body[min(end+1, len(body)):]
	}
	switch fields['C'] {
	case "57P03": // cannot_connect_now
		return fmt.Errorf("%w: %s", errStarting, fields['M'])
	case "53300": // too_many_connections: it is up, which is the question
		return nil
	}
	return fmt.Errorf("%w: %s (%s)", errRefused, fields['M'], fields['C'])
}
