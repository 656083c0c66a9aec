package lmtp

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"postern/pkg/store"
)

// envelope is one transaction: MAIL, and what RCPT has added (RFC 5321 §3.3).
type envelope struct {
	id         string // for the log, the Received header and the reply
	from       string // the reverse-path; empty for a bounce
	utf8       bool   // SMTPUTF8
	recipients []recipient
}

// recipient is an address that RCPT has accepted.
type recipient struct {
	text    string // as the client wrote it
	address string
	route   store.Route
}

type mailRequest struct {
	from path
	size uint64
	utf8 bool
}

var errParameter = &reply{555, "5.5.4", "Unknown or malformed parameter."}

func parseMail(args string) (mailRequest, error) {
	var r mailRequest
	from, parameters, err := parsePathCommand(args, "FROM:")
	if err != nil {
		return r, err
	}
	r.from = from
	for keyword, value := range parameters {
		switch keyword {
		case "SIZE": // RFC 1870
			if r.size, err = strconv.ParseUint(value, 10, 63); err != nil {
				return r, &reply{501, "5.5.4", "SIZE is not a number."}
			}
		case "BODY": // RFC 6152
			if v := strings.ToUpper(value); v != "7BIT" && v != "8BITMIME" {
				return r, errParameter
			}
		case "SMTPUTF8": // RFC 6531 §3.4
			r.utf8 = true
		case "RET", "ENVID", "AUTH": // RFC 3461 §4, RFC 4954 §5: for those who send mail on
		default:
			return r, errParameter
		}
	}
	return r, nil
}

type rcptRequest struct{ to path }

func parseRcpt(args string) (rcptRequest, error) {
	to, parameters, err := parsePathCommand(args, "TO:")
	if err == nil && to.address == "" {
		err = &reply{501, "5.1.3", "A recipient is expected."}
	}
	for keyword := range parameters {
		if !slices.Contains([]string{"NOTIFY", "ORCPT"}, keyword) { // RFC 3461 §4
			return rcptRequest{}, errParameter
		}
	}
	return rcptRequest{to}, err
}

func parsePathCommand(args, keyword string) (path, map[string]string, error) {
	rest, ok := cutKeyword(args, keyword)
	if !ok {
		return path{}, nil, &reply{501, "5.5.4", keyword + "<address> is expected."}
	}
	p, rest, ok := parsePath(rest)
	if !ok {
		return path{}, nil, &reply{501, "5.1.3", "This is not an address."}
	}
	parameters, ok := parseParameters(rest)
	if !ok {
		return path{}, nil, errParameter
	}
	return p, parameters, nil
}

// MAIL (RFC 5321 §4.1.1.2).
func (c *conn) mail(_ context.Context, r mailRequest) error {
	switch {
	case c.helo == "":
		return &reply{503, "5.5.1", "Say LHLO first."}
	case c.env != nil:
		return &reply{503, "5.5.1", "There is a transaction already."}
	case r.size > uint64(c.server.maxSize()):
		return &reply{552, "5.3.4", "Message too big."} // RFC 1870 §6.1
	}
	c.env = &envelope{id: rand.Text()[:12], from: r.from.text, utf8: r.utf8}
	return c.ok("2.1.0", "Sender accepted.")
}

// RCPT (RFC 5321 §4.1.1.3). The route is remembered: DATA does not ask again.
func (c *conn) rcpt(ctx context.Context, r rcptRequest) error {
	switch {
	case c.env == nil:
		return &reply{503, "5.5.1", "MAIL comes first."}
	case len(c.env.recipients) >= c.server.maxRecipients():
		return &reply{452, "4.5.3", "Too many recipients, send the rest in another transaction."}
	}
	address := r.to.address
	if !strings.Contains(address, "@") {
		address += "@" + c.server.Hostname // postmaster, and whom the mail server knows by a bare name
	}
	ctx, cancel := context.WithTimeout(ctx, c.server.deliverTimeout())
	defer cancel()
	route, err := c.server.Accounts.Route(ctx, address)
	if err == nil {
		err = c.admit(route)
	}
	if err != nil {
		return c.refuseRecipient(r.to.text, fmt.Errorf("route: %w", err))
	}
	c.env.recipients = append(c.env.recipients, recipient{r.to.text, address, route})
	return c.ok("2.1.5", "Recipient accepted.")
}

// admit refuses an address when one of its accounts is full: a 250 at the end must mean all of them.
func (c *conn) admit(route store.Route) error {
	switch {
	case len(route.Targets) == 0:
		return store.ErrNotFound
	case slices.ContainsFunc(route.Targets, func(t store.Target) bool { return t.OverQuota }):
		return store.ErrOverQuota
	}
	return nil
}

func (c *conn) refuseRecipient(to string, err error) error {
	r, foreseen := c.server.verdict(err)
	log := c.log.Info
	if !foreseen {
		log = c.log.Error
	}
	log("recipient refused", zap.String("id", c.env.id), zap.String("from", c.env.from), zap.String("to", to),
		zap.Int("code", r.code), zap.Error(err))
	return r
}
