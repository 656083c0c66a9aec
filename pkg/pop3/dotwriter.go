package pop3

import (
	"bufio"
	"bytes"
)

// dotWriter sends a multi-line reply (RFC 1939 §3). A dot after any line feed is doubled, whether or not a CR stood before
// it: clients differ in what they take for the end of a line, and one that took a lone LF would see the reply end
// early. NUL is not allowed in a message on the wire; it goes out as 0x80, which keeps sizes and offsets. Errors are
// sticky in the bufio.Writer.
type dotWriter struct {
	w    *bufio.Writer
	tail [2]byte // the last octets sent; at the beginning as if after a line
}

func newDotWriter(w *bufio.Writer) *dotWriter { return &dotWriter{w, [2]byte{'\r', '\n'}} }

// Write sends octets of the message, as many at once as need no dot between them. It may be cut anywhere.
func (d *dotWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	doubled := d.tail[1] == '\n' && p[0] == '.'
	for rest := p; len(rest) > 0; doubled = true {
		if doubled {
			if err := d.w.WriteByte('.'); err != nil {
				return 0, err
			}
		}
		stretch := rest
		if i := bytes.Index(rest, []byte("\n.")); i >= 0 {
			stretch = rest[:i+1]
		}
		rest = rest[len(stretch):]
		if err := d.writeStretch(stretch); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (d *dotWriter) writeStretch(p []byte) error {
	d.remember(p)
	for {
		i := bytes.IndexByte(p, 0)
		if i < 0 {
			_, err := d.w.Write(p)
			return err
		}
		if _, err := d.w.Write(p[:i]); err != nil {
			return err
		}
		if err := d.w.WriteByte(0x80); err != nil {
			return err
		}
		p = p[i+1:]
	}
}

func (d *dotWriter) remember(p []byte) {
	if len(p) > 1 {
		d.tail[0] = p[len(p)-2]
	} else {
		d.tail[0] = d.tail[1]
	}
	d.tail[1] = p[len(p)-1]
}

// close sends the line ends the message lacks and the dot. The reply ends in exactly CRLF.CRLF even if padding is wrong.
func (d *dotWriter) close(padding int) error {
	for range padding {
		if err := d.writeStretch([]byte("\r\n")); err != nil {
			return err
		}
	}
	if d.tail != [2]byte{'\r', '\n'} {
		if err := d.writeStretch([]byte("\r\n")); err != nil {
			return err
		}
	}
	_, err := d.w.WriteString(".\r\n")
	return err
}
