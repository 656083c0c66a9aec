package imap

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"postern/pkg/imap/wire"

	"github.com/emersion/go-imap/v2"
)

// Capability is a row of the list of what is offered.
type Capability struct {
	Name imap.Cap
	RFC  string
	in   states
}

// offers is what is offered in which states, in the order in which it is told. Mechanisms of authentication and what has a
// value follow, see capabilities.
var offers = []Capability{
	{imap.CapIMAP4rev1, "RFC 3501", anyState},
	{imap.CapIMAP4rev2, "RFC 9051", anyState},
	{imap.CapLiteralMinus, "RFC 7888", notAuthenticated},
	{imap.CapLiteralPlus, "RFC 7888", loggedIn},
	{imap.CapSASLIR, "RFC 4959", notAuthenticated},
	{imap.CapID, "RFC 2971", anyState},
	{imap.CapEnable, "RFC 5161", anyState},
	{imap.CapIdle, "RFC 2177", loggedIn},
	{imap.CapUnselect, "RFC 3691", loggedIn},
	{imap.CapUIDPlus, "RFC 4315", loggedIn},
	{imap.CapMove, "RFC 6851", loggedIn},
	{imap.CapNamespace, "RFC 2342", loggedIn},
	{imap.CapChildren, "RFC 3348", loggedIn},
	{imap.CapSpecialUse, "RFC 6154", loggedIn},
	{imap.CapCreateSpecialUse, "RFC 6154", loggedIn},
	{imap.CapESearch, "RFC 4731", loggedIn},
	{imap.CapSearchRes, "RFC 5182", loggedIn},
	{imap.CapMultiSearch, "RFC 7377", loggedIn},
	{imap.CapWithin, "RFC 5032", loggedIn},
	{imap.CapSearchFuzzy, "RFC 6203", loggedIn},
	{imap.CapFilters, "RFC 5466", loggedIn},
	{capContextSearch, "RFC 5267", loggedIn},
	{capContextSort, "RFC 5267", loggedIn},
	{capPartial, "RFC 9394", loggedIn},
	{imap.CapSort, "RFC 5256", loggedIn},
	{imap.CapSortDisplay, "RFC 5957", loggedIn},
	{imap.CapESort, "RFC 5267", loggedIn},
	{"THREAD=ORDEREDSUBJECT", "RFC 5256", loggedIn},
	{"THREAD=REFERENCES", "RFC 5256", loggedIn},
	{"THREAD=REFS", "draft-ietf-morg-inthread", loggedIn},
	{"I18NLEVEL=1", "RFC 5255", loggedIn},
	{imap.CapStatusSize, "RFC 8438", loggedIn},
	{imap.CapUTF8Accept, "RFC 6855", loggedIn},
	{imap.CapBinary, "RFC 3516", loggedIn},
	{imap.CapCondStore, "RFC 7162", loggedIn},
	{imap.CapQResync, "RFC 7162", loggedIn},
	{imap.CapObjectID, "RFC 8474", loggedIn},
	{imap.CapSaveDate, "RFC 8514", loggedIn},
	{imap.CapPreview, "RFC 8970", loggedIn},
	{imap.CapACL, "RFC 4314", loggedIn},
	{imap.CapQuota, "RFC 9208", loggedIn},
	{"QUOTA=RES-STORAGE", "RFC 9208", loggedIn},
	{"QUOTA=RES-MESSAGE", "RFC 9208", loggedIn},
	{"QUOTA=RES-MAILBOX", "RFC 9208", loggedIn},
	{imap.CapQuotaSet, "RFC 9208", loggedIn},
	{"RIGHTS=kxte", "RFC 4314", loggedIn},
	{imap.CapNotify, "RFC 5465", loggedIn},
	{imap.CapAppendLimit, "RFC 7889", loggedIn},
	{imap.CapListExtended, "RFC 5258", loggedIn},
	{imap.CapListStatus, "RFC 5819", loggedIn},
	{imap.CapListMyRights, "RFC 8440", loggedIn},
	{imap.CapListMetadata, "RFC 9590", loggedIn},
	{imap.CapMetadata, "RFC 5464", loggedIn},
	{imap.CapMetadataServer, "RFC 5464", loggedIn},
	{imap.CapInProgress, "RFC 9585", loggedIn},
	{imap.CapUnauthenticate, "RFC 8437", loggedIn},
	{imap.CapUIDOnly, "RFC 9586", loggedIn},
	{capMessageLimit, "RFC 9738", loggedIn},
	{capSaveLimit, "RFC 9738", loggedIn},
	{"COMPRESS=DEFLATE", "RFC 4978", loggedIn},
	{imap.CapMultiAppend, "RFC 3502", loggedIn},
	{imap.CapCatenate, "RFC 4469", loggedIn},
	{capURLPartial, "RFC 5550", loggedIn},
	{imap.CapReplace, "RFC 8508", loggedIn},
}

// Capabilities lists what is offered before or after login, without mechanisms of authentication.
func Capabilities() []Capability { return append([]Capability(nil), offers...) }

// capabilities is the CAPABILITY response, and response code, in this state (RFC 3501 §7.2.1).
func (c *conn) capabilities() string {
	words := []string{"CAPABILITY"}
	for _, o := range offers {
		switch {
		case o.in&c.state == 0 || !c.offers(o.Name):
		case o.Name == imap.CapAppendLimit:
			words = append(words, "APPENDLIMIT="+strconv.FormatInt(c.srv.maxMessage(), 10))
		case o.Name == capMessageLimit:
			words = append(words, fmt.Sprintf("%s=%d", o.Name, c.most.messages))
		case o.Name == capSaveLimit:
			words = append(words, fmt.Sprintf("%s=%d", o.Name, c.most.saved))
		default:
			words = append(words, string(o.Name))
		}
	}
	if c.state != notAuthenticated {
		return strings.Join(words, " ")
	}
	for _, m := range c.srv.Auth.Mechanisms(c.peer) {
		if c.offers(imap.AuthCap(m)) {
			words = append(words, string(imap.AuthCap(m)))
		}
	}
	if c.plain() != nil {
		words = append(words, string(imap.CapStartTLS))
	}
	if !c.mayLogin() {
		words = append(words, string(imap.CapLoginDisabled)) // RFC 3501 §6.2.3
	}
	return strings.Join(words, " ")
}

func (c *conn) capability(context.Context, nothing) error {
	c.enc.Atom("* ").Atom(c.capabilities()).CRLF()
	return nil
}

// ENABLE (RFC 5161).

// enableable are the extensions that change what a client hears.
var enableable = []imap.Cap{imap.CapCondStore, imap.CapQResync, imap.CapMetadata, imap.CapMetadataServer, imap.CapUTF8Accept, imap.CapIMAP4rev2, imap.CapUIDOnly}

// maxEnable is how many names ENABLE takes.
const maxEnable = 100

func parseEnable(d *wire.Decoder, _ flags) ([]imap.Cap, error) {
	var caps []imap.Cap
	for d.TrySP() {
		if caps = append(caps, imap.Cap(d.Keyword())); len(caps) > maxEnable {
			d.Fail("at most %d capabilities", maxEnable)
		}
	}
	if len(caps) == 0 {
		d.Fail("a capability")
	}
	return caps, d.End()
}

// enableAll answers with what it has switched on; names it does not know are ignored (RFC 5161 §3.1).
func (c *conn) enableAll(ctx context.Context, caps []imap.Cap) error {
	before := make(map[imap.Cap]bool, len(enableable))
	for _, k := range enableable {
		before[k] = c.has(k)
	}
	for _, want := range caps {
		for _, k := range enableable {
			if strings.EqualFold(string(want), string(k)) && c.offers(k) {
				c.enable(k)
			}
		}
	}
	if err := c.watchMetadata(ctx); err != nil {
		return err
	}
	c.enc.Atom("* ENABLED")
	for _, k := range enableable {
		if c.has(k) && !before[k] {
			c.enc.SP().Atom(string(k))
		}
	}
	c.enc.CRLF()
	return nil
}

// enable switches an extension on for the rest of the session, if it is not on yet.
func (c *conn) enable(k imap.Cap) {
	if c.has(k) {
		return
	}
	if c.enabled == nil {
		c.enabled = make(map[imap.Cap]bool)
	}
	switch k {
	case imap.CapCondStore:
		c.keepModSeqs()
	case imap.CapQResync:
		c.enable(imap.CapCondStore) // RFC 7162 §3.2.3
	case imap.CapUTF8Accept:
		c.enableUTF8()
	case imap.CapIMAP4rev2:
		c.enableRev2()
	case imap.CapUIDOnly:
		c.without(capNumbers)
	}
	c.enabled[k] = true
}

// keepModSeqs says where a selected mailbox is: from there on the client keeps mod-sequences (RFC 7162 §3.1).
func (c *conn) keepModSeqs() {
	if c.sel != nil {
		c.untagged("OK", fmt.Sprintf("HIGHESTMODSEQ %d", c.sel.view.Reported()), "The latest change.")
	}
}

// has reports whether an extension has been enabled, by ENABLE or by a command that implies it.
func (c *conn) has(k imap.Cap) bool { return c.enabled[k] }
