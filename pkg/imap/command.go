package imap

import (
	"context"

	"postern/pkg/imap/wire"

	"github.com/emersion/go-imap/v2"
)

// states is a set of the states a connection can be in (RFC 3501 §3).
type states uint8

const (
	notAuthenticated states = 1 << iota
	authenticated           // and no mailbox selected
	inSelected

	loggedIn = authenticated | inSelected
	anyState = notAuthenticated | loggedIn
)

// flags says what dispatch must know of a command.
type flags uint16

const (
	byUID          flags = 1 << iota // its set holds UIDs, and so do its replies
	usesSeqs                         // it takes or returns message numbers
	mayExpunge                       // EXPUNGE may be announced before its tagged reply (rule 3)
	alwaysSync                       // it is there to ask for news: sync skips nothing
	changesMailbox                   // no sync: there is no mailbox any more, or a fresh one
	streams                          // it takes as long as its client does; no deadline
	slow                             // it may take long and reads nothing meanwhile: see vigil
)

func (fl flags) has(f flags) bool { return fl&f != 0 }

// command is a row of the table.
type command struct {
	name  string
	in    states
	flags flags
	// parse reads the arguments and returns what is to be done.
	parse func(*conn) (func(context.Context) error, error)
	// belongs are the capabilities without all of which there is no such command, see of; none for IMAP4rev1 itself.
	belongs []imap.Cap
}

// commands is the table of contents of this package.
var commands = table(
	define("CAPABILITY", anyState, 0, parseNothing, (*conn).capability),
	define("NOOP", anyState, mayExpunge|alwaysSync, parseNothing, (*conn).noop),
	define("LOGOUT", anyState, changesMailbox, parseNothing, (*conn).logout),
	define("ID", anyState, 0, parseID, (*conn).identify).of(imap.CapID),

	define("LOGIN", notAuthenticated, 0, parseLogin, (*conn).login),
	define("STARTTLS", notAuthenticated, 0, parseNothing, (*conn).startTLS),
	define("AUTHENTICATE", notAuthenticated, streams, parseAuthenticate, (*conn).authenticate),

	define("UNAUTHENTICATE", loggedIn, changesMailbox, parseNothing, (*conn).unauthenticate).of(imap.CapUnauthenticate),
	define("ENABLE", loggedIn, 0, parseEnable, (*conn).enableAll).of(imap.CapEnable),
	define("NAMESPACE", loggedIn, mayExpunge, parseNothing, (*conn).namespace).of(imap.CapNamespace),
	define("COMPRESS", loggedIn, 0, parseCompress, (*conn).compress).of("COMPRESS=DEFLATE"),
	define("LIST", loggedIn, mayExpunge, parseList, (*conn).list),
	define("LSUB", loggedIn, mayExpunge, parseLsub, (*conn).lsub).of(capObsolete),
	define("STATUS", loggedIn, mayExpunge, parseStatus, (*conn).status),
	define("CREATE", loggedIn, mayExpunge, parseCreate, (*conn).create),
	define("DELETE", loggedIn, mayExpunge, parseMailbox, (*conn).deleteMailbox),
	define("RENAME", loggedIn, mayExpunge, parseRename, (*conn).rename),
	define("SUBSCRIBE", loggedIn, mayExpunge, parseMailbox, (*conn).subscribe),
	define("UNSUBSCRIBE", loggedIn, mayExpunge, parseMailbox, (*conn).unsubscribe),
	define("GETQUOTA", loggedIn, mayExpunge, parseRoot, (*conn).getQuota).of(imap.CapQuota),
	define("GETQUOTAROOT", loggedIn, mayExpunge, parseMailbox, (*conn).getQuotaRoot).of(imap.CapQuota),
	define("SETQUOTA", loggedIn, mayExpunge, parseSetQuota, (*conn).setQuota).of(imap.CapQuotaSet),
	define("SETACL", loggedIn, mayExpunge, parseSetACL, (*conn).setACL).of(imap.CapACL),
	define("DELETEACL", loggedIn, mayExpunge, parseDeleteACL, (*conn).setACL).of(imap.CapACL),
	define("GETACL", loggedIn, mayExpunge, parseMailbox, (*conn).getACL).of(imap.CapACL),
	define("LISTRIGHTS", loggedIn, mayExpunge, parseDeleteACL, (*conn).listRights).of(imap.CapACL),
	define("MYRIGHTS", loggedIn, mayExpunge, parseMailbox, (*conn).myRights).of(imap.CapACL),
	define("APPEND", loggedIn, mayExpunge|streams, parseAppend, (*conn).append),
	define("GETMETADATA", loggedIn, mayExpunge, parseGetMetadata, (*conn).getMetadata).of(imap.CapMetadata),
	define("SETMETADATA", loggedIn, mayExpunge, parseSetMetadata, (*conn).setMetadata).of(imap.CapMetadata),
	define("NOTIFY", loggedIn, mayExpunge|alwaysSync, parseNotify, (*conn).notify).of(imap.CapNotify),
	define("IDLE", loggedIn, mayExpunge|streams, parseNothing, (*conn).idle).of(imap.CapIdle),

	define("SELECT", loggedIn, changesMailbox, parseSelect, (*conn).selectMailbox),
	define("EXAMINE", loggedIn, changesMailbox, parseExamine, (*conn).selectMailbox),
	define("CHECK", inSelected, mayExpunge|alwaysSync, parseNothing, (*conn).noop).of(capObsolete),
	define("CLOSE", inSelected, changesMailbox, parseNothing, (*conn).closeMailbox),
	define("UNSELECT", inSelected, changesMailbox, parseNothing, (*conn).unselect).of(imap.CapUnselect),

	define("FETCH", inSelected, usesSeqs|streams|slow, parseFetch, (*conn).fetch),
	define("UID FETCH", inSelected, byUID|mayExpunge|streams|slow, parseFetch, (*conn).fetch),
	define("STORE", inSelected, usesSeqs|slow, parseStore, (*conn).storeFlags),
	define("UID STORE", inSelected, byUID|mayExpunge|slow, parseStore, (*conn).storeFlags),
	define("SEARCH", inSelected, usesSeqs|slow, parseSearch, (*conn).search),
	define("UID SEARCH", inSelected, byUID|mayExpunge|slow, parseSearch, (*conn).search),
	define("ESEARCH", loggedIn, mayExpunge|slow, parseMultiSearch, (*conn).multiSearch).of(imap.CapMultiSearch),
	define("SORT", inSelected, usesSeqs|slow, parseSort, (*conn).sort).of(imap.CapSort),
	define("UID SORT", inSelected, byUID|mayExpunge|slow, parseSort, (*conn).sort).of(imap.CapSort),
	define("THREAD", inSelected, usesSeqs|slow, parseThread, (*conn).thread).of(threadCaps...),
	define("UID THREAD", inSelected, byUID|mayExpunge|slow, parseThread, (*conn).thread).of(threadCaps...),
	define("CANCELUPDATE", inSelected, mayExpunge, parseCancelUpdate, (*conn).cancelUpdate).of(capContextSearch, capContextSort),
	define("COPY", inSelected, usesSeqs|mayExpunge|slow, parseCopy, (*conn).copy),
	define("UID COPY", inSelected, byUID|mayExpunge|slow, parseCopy, (*conn).copy),
	define("MOVE", inSelected, usesSeqs|mayExpunge|slow, parseCopy, (*conn).move).of(imap.CapMove),
	define("UID MOVE", inSelected, byUID|mayExpunge|slow, parseCopy, (*conn).move).of(imap.CapMove),
	define("REPLACE", inSelected, usesSeqs|mayExpunge|streams, parseReplace, (*conn).replace).of(imap.CapReplace),
	define("UID REPLACE", inSelected, byUID|mayExpunge|streams, parseReplace, (*conn).replace).of(imap.CapReplace),
	define("EXPUNGE", inSelected, mayExpunge|slow, parseExpunge, (*conn).expunge),
	define("UID EXPUNGE", inSelected, byUID|mayExpunge|slow, parseExpunge, (*conn).expunge).of(imap.CapUIDPlus),
)

func table(rows ...command) map[string]*command {
	m := make(map[string]*command, len(rows))
	for i := range rows {
		m[rows[i].name] = &rows[i]
	}
	return m
}

// define ties a command's grammar to what it does. R is the request one produces and the other takes. A parser consumes
// the whole command, its CRLF included; only APPEND's stops at the literal.
func define[R any](name string, in states, fl flags, parse func(*wire.Decoder, flags) (R, error),
	run func(*conn, context.Context, R) error,
) command {
	return command{name: name, in: in, flags: fl, parse: func(c *conn) (func(context.Context) error, error) {
		r, err := parse(c.dec, fl)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) error { return run(c, ctx, r) }, nil
	}}
}

// nothing is the request of a command without arguments.
type nothing struct{}

func parseNothing(d *wire.Decoder, _ flags) (nothing, error) { return nothing{}, d.End() }

// parseMailbox is the grammar of commands whose only argument is a mailbox.
func parseMailbox(d *wire.Decoder, _ flags) (string, error) {
	name := d.SP().Mailbox()
	return name, d.End()
}
