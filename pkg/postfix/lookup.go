package postfix

import (
	"context"
	"errors"
	"slices"
	"strings"

	"go.uber.org/zap"

	"postern/pkg/store"
)

// answer is a reply of socketmap_table(5), and what the metric calls it.
type answer struct {
	status string // OK, NOTFOUND, TEMP or PERM
	text   string
	result string // found, absent, error or bad
}

// String is the reply as it is sent. The space is there even when nothing follows.
func (a answer) String() string { return a.status + " " + a.text }

var (
	absent      = answer{"NOTFOUND", "", "absent"}
	unavailable = answer{"TEMP", "the mail store cannot be asked now", "error"} // Postfix says 451 to the sender
	badRequest  = answer{"PERM", "a map and an address are expected", "bad"}
	unknownMap  = answer{"PERM", "there is no such map", "bad"}
)

// maps is what can be asked: each turns the route of an address that has one into an answer.
var maps = map[string]func(*Server, string, store.Route) answer{
	"recipient": recipient,
	"quota":     quota,
}

// recipient is for virtual_mailbox_maps and relay_recipient_maps, which want any value.
func recipient(_ *Server, address string, _ store.Route) answer {
	return answer{"OK", address, "found"}
}

// quota is for check_recipient_access: the value is an action of access(5). LMTP would say the same after Postfix has
// accepted the mail. An alias is full when one of its accounts is, as there.
func quota(s *Server, _ string, route store.Route) answer {
	full := slices.ContainsFunc(route.Targets, func(t store.Target) bool { return t.OverQuota })
	switch {
	case !full:
		return absent
	case s.QuotaReject:
		return answer{"OK", "552 5.2.2 Mailbox full.", "found"}
	}
	return answer{"OK", "452 4.2.2 Mailbox full, try again later.", "found"}
}

// lookup answers one request, "map key".
func (c *conn) lookup(ctx context.Context, request string) answer {
	name, address, ok := strings.Cut(request, " ")
	ask, known := maps[name]
	a := badRequest
	switch {
	case !known:
		name, a = "unknown", unknownMap
	case ok && address != "":
		a = c.route(ctx, address, ask)
	}
	c.server.Metrics.observe(name, a.result)
	return a
}

func (c *conn) route(ctx context.Context, address string, ask func(*Server, string, store.Route) answer) answer {
	ctx, cancel := context.WithTimeout(ctx, c.server.lookupTimeout())
	defer cancel()
	route, err := c.server.Accounts.Route(ctx, address)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return absent
	case err != nil:
		c.log.Warn("lookup failed", zap.String("address", address), zap.Error(err))
		return unavailable
	case len(route.Targets) == 0:
		return absent
	}
	return ask(c.server, address, route)
}
