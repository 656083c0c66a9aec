// ID (RFC 2971).

package imap

import (
	"context"
	"strings"

	"postern/pkg/imap/wire"

	"go.uber.org/zap"
)

// maxID is how many fields a client may send (RFC 2971 §3.3), and how much of one goes to the log.
const (
	maxID    = 30
	maxIDLog = 100
)

// parseID returns the fields a client sends about itself, by name.
func parseID(d *wire.Decoder, _ flags) (map[string]string, error) {
	fields := make(map[string]string)
	if d.SP(); d.Peek() != '(' {
		d.NString()
		return fields, d.End()
	}
	name, n := "", 0
	d.List(func() {
		if n++; n > 2*maxID {
			d.Fail("at most %d fields", maxID)
		}
		if n%2 == 1 {
			name = strings.ToLower(d.Text())
			return
		}
		fields[name], _ = d.NString()
	})
	if n%2 == 1 {
		d.Fail("a value for each field before this")
	}
	return fields, d.End()
}

func (c *conn) identify(_ context.Context, fields map[string]string) error {
	c.peer.Client = clip(fields["name"])
	c.log.Debug("client", zap.String("name", clip(fields["name"])), zap.String("version", clip(fields["version"])))
	c.client = strings.TrimSpace(clip(fields["name"]) + " " + clip(fields["version"]))
	c.stay.Client(c.client)
	c.enc.Atom(`* ID ("name" "Postern"`)
	if c.srv.Version != "" {
		c.enc.Atom(` "version" `).String(c.srv.Version)
	}
	c.enc.Atom(")\r\n")
	return nil
}

// clip returns the beginning of s, which may be kept for as long as the session lasts: it does not keep s.
func clip(s string) string { return strings.Clone(s[:min(len(s), maxIDLog)]) }
