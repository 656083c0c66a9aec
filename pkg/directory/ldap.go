package directory

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"github.com/go-ldap/ldap/v3"

	"postern/pkg/auth"
)

// LDAPOptions says where a directory is and how its entries are found: by their name, DN, or by a search, Base and Filter. DN and
// Filter are templates with {address}, {local} and {domain}.
type LDAPOptions struct {
	URLs     []string // ldap, ldaps or ldapi, tried in order; one at least
	StartTLS bool     // TLS begins on ldap too; without, only an ldap on this machine is safe
	Roots    *x509.CertPool

	DN string

	Base         string
	Filter       string
	BindDN       string // who searches; "": nobody in particular
	BindPassword string
}

// LDAP is the auth.Checker over a directory of that kind. Each question has a connection of its own, so that whoever it is bound
// as is nobody else's.
type LDAP struct {
	opt     LDAPOptions
	servers []*server
}

var _ auth.Checker = (*LDAP)(nil)

// NewLDAP returns an LDAP that has asked nobody yet, or everything that is wrong with the options.
func NewLDAP(opt LDAPOptions) (*LDAP, error) {
	l := &LDAP{opt: opt}
	var errs []error
	for _, u := range opt.URLs {
		s, err := newServer(u, &opt)
		errs = append(errs, err)
		l.servers = append(l.servers, s)
	}
	if opt.DN != "" {
		_, err := ldap.ParseDN(l.nameOf("user@example.org"))
		errs = append(errs, wrap("dn", err))
		return l, errors.Join(errs...)
	}
	_, err := ldap.CompileFilter(l.filterFor("user@example.org"))
	errs = append(errs, wrap("filter", err))
	for setting, dn := range map[string]string{"base": opt.Base, "bind_dn": opt.BindDN} {
		_, err := ldap.ParseDN(dn)
		errs = append(errs, wrap(setting, err))
	}
	return l, errors.Join(errs...)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (l *LDAP) nameOf(user string) string { return expand(l.opt.DN, user, ldap.EscapeDN) }

func (l *LDAP) filterFor(user string) string { return expand(l.opt.Filter, user, ldap.EscapeFilter) }

// Check implements auth.Checker. The servers share the time there is.
func (l *LDAP) Check(ctx context.Context, q auth.Question) (bool, error) {
	if q.Password == "" { // with none, a server says yes to any name (RFC 4513 §5.1.2)
		return false, nil
	}
	var errs []error
	servers := inTurn(l.servers)
	for i, s := range servers {
		ok, err := l.askWithin(ctx, s, len(servers)-i, q)
		if err == nil {
			return ok, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.url, err))
		if ctx.Err() != nil {
			break
		}
	}
	return false, errors.Join(errs...)
}

func (l *LDAP) askWithin(ctx context.Context, s *server, left int, q auth.Question) (bool, error) {
	within, cancel := share(ctx, left)
	defer cancel()
	ok, err := l.ask(within, s, q)
	if !errors.Is(ctx.Err(), context.Canceled) { // or else the client has left, which says nothing about the server
		s.answered(err == nil)
	}
	return ok, err
}

func (l *LDAP) ask(ctx context.Context, s *server, q auth.Question) (bool, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	dn, found := l.nameOf(q.User), true
	if l.opt.DN == "" {
		if dn, found, err = l.find(conn, q.User); err != nil {
			return false, err
		}
	}
	err = conn.Bind(dn, q.Password)
	switch {
	case err == nil:
		return found, nil
	case ldap.IsErrorAnyOf(err, refusals...):
		return false, nil
	}
	return false, fmt.Errorf("bind as the user: %w", err)
}

// refusals are the results of a user's own bind that mean no: the password is wrong, there is no such entry, or it is locked, which
// some servers say by 49 too, 389 Directory Server by 19 and FreeIPA by 53.
var refusals = []uint16{
	ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultNoSuchObject,
	ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultConstraintViolation, ldap.LDAPResultUnwillingToPerform,
}

// find searches for the user's entry. For a user whom the directory does not know it makes up a name that nobody has: who is
// there must not be told by a question less. Referrals are not followed.
func (l *LDAP) find(conn *ldap.Conn, user string) (dn string, found bool, err error) {
	if l.opt.BindDN != "" {
		if err := conn.Bind(l.opt.BindDN, l.opt.BindPassword); err != nil {
			return "", false, fmt.Errorf("bind as %s: %w", l.opt.BindDN, err)
		}
	}
	const most = 2 // entries, to see that there are several
	result, err := conn.Search(ldap.NewSearchRequest(l.opt.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, most, 0, true,
		l.filterFor(user), []string{"1.1"}, nil)) // no attributes (RFC 4511 §4.5.1.8)
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded), err == nil && len(result.Entries) > 1:
		return "", false, errors.New("search: several entries match: make the filter narrower")
	case err != nil:
		return "", false, fmt.Errorf("search: %w", err)
	case len(result.Entries) == 1 && result.Entries[0].DN == "": // a bind without a name is nobody's (RFC 4513 §5.1.1)
		return "", false, errors.New("search: an entry without a name")
	case len(result.Entries) == 1:
		return result.Entries[0].DN, true, nil
	}
	return "cn=" + rand.Text() + suffix(l.opt.Base), false, nil
}

func suffix(base string) string {
	if base == "" {
		return ""
	}
	return "," + base
}

var errTooMuch = errors.New("the server says too much")

// maxSaid is octets of all that a server may say on a connection: an answer has some hundred, a certificate some thousand.
const maxSaid = 256 << 10

// bounded is a connection on which only so much can be said to us.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
