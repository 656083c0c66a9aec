package imap

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"postern/pkg/auth"
	"postern/pkg/imap/wire"
	"postern/pkg/serve"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
	"go.uber.org/zap"
)

const (
	maxLine         = 1 << 20   // octets of a command after login: a set of 100,000 UIDs fits
	maxLineBefore   = 16 << 10  // and before: an access token fits
	maxSkipInflated = 256 << 20 // octets of a refused command that are skipped if it came compressed, and may be a thousand times smaller
	maxEarly        = 100       // commands of any kind before login
	maxFailures     = 5         // failed logins
	handshakePeriod = 30 * time.Second
	withdrawPeriod  = 500 * time.Millisecond
	farewellPeriod  = 5 * time.Second // for a BYE to be taken
)

// conn is one connection. It belongs to one goroutine (rule 1), stream.stop excepted.
type conn struct {
	srv     *Server
	id      string // in logs, and in the store's records
	stream  *stream
	in      *bufio.Reader
	dec     *wire.Decoder
	enc     *wire.Encoder
	base    *zap.Logger // of the connection
	log     *zap.Logger // of the login, or else base
	started time.Time

	state    states
	peer     auth.Peer
	user     string
	account  store.Account // after login
	stay     *auth.Stay    // the same time
	pace     *serve.Pace   // the same time
	slowed   bool          // it has been too fast for that
	client   string        // what it calls itself
	mask     mask          // what is not there for this client
	most     limits
	enabled  map[imap.Cap]bool
	sel      *selected                 // while a mailbox is selected
	metadata *metadataNews             // once METADATA has been enabled
	notified *notification             // once NOTIFY has been given
	tag      string                    // of a command whose tag another command has read
	leaving  bool                      // LOGOUT has been given
	running  string                    // the tag of the running command
	uids     bool                      // which is a UID command: its responses carry UIDs (RFC 3501 §6.4.8)
	vigil    *vigil                    // over it, if it may take long
	done     reply                     // and its tagged OK
	then     func()                    // what follows that; nil for nothing
	partly   string                    // the code of a command that has handled only some of its messages, see limited
	freeable map[store.MailboxID]int64 // see measure
	warned   bool                      // of a quota that is nearly used up
	commands int
	bad      int // in a row
	early    int // without a login
	failures int // of login
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{
		srv:     s,
		id:      s.nextID(),
		started: time.Now(),
		state:   notAuthenticated,
		peer:    peerOf(nc),
		mask:    s.mask(),
		most:    limits{s.MessageLimit, s.SaveLimit},
	}
	c.stream = &stream{net: nc, early: true, most: s.Limits.MaxEarly(), slack: s.Limits.Patience()}
	c.stream.limit = c.started.Add(cmp.Or(s.LoginTimeout, DefaultLoginTimeout))
	c.in = bufio.NewReaderSize(c.stream, readBuffer)
	c.enc = wire.NewEncoder(nil)
	c.dec = wire.NewDecoder(c.in, wire.DecoderOptions{Continue: c.continuation})
	c.peer.Conn = c.id
	c.base = s.log().WithLazy(zap.String("proto", "imap"), zap.String("conn", c.id), zap.Stringer("remote", c.peer.Addr))
	c.log = c.base
	return c
}

func peerOf(nc net.Conn) auth.Peer {
	p := auth.Peer{Protocol: "imap"}
	if at, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		p.Addr = at.Addr().Unmap()
	}
	p.Channel, p.TLS = nc.(auth.Channel)
	return p
}

// actor says who does things in this session.
func (c *conn) actor() store.Actor { return store.Actor{Session: c.id, Protocol: "imap"} }

// Serve is the life of a connection.
func (c *conn) Serve(ctx context.Context) {
	c.srv.Metrics.opened()
	reason := "panic"
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("panic", zap.Any("cause", r), zap.ByteString("stack", debug.Stack()))
			c.bye("Internal error; it has been logged.")
		}
		c.close(reason)
	}()
	reason = c.part(c.talk(ctx))
}

// Stop says BYE as soon as no command runs.
func (c *conn) Stop() { c.stream.stop(errStopping) }

// withdraw ends the session of a login that is good no longer: as Stop does, but with little patience for a running command.
func (c *conn) withdraw() {
	c.stream.stop(errWithdrawn)
	time.AfterFunc(withdrawPeriod, c.Abort)
}

// Abort ends the session without a word.
func (c *conn) Abort() { c.stream.abort() }

// close lets go of everything and writes the one log line of a session that has ended.
func (c *conn) close(reason string) {
	c.forget()
	_ = c.stream.release() // if it could not be sent, the reason says why
	if c.stream.deflate != nil {
		c.srv.compressed.Add(-1)
	}
	_ = c.stream.net.Close() // nor is there anyone to tell of this
	c.srv.Metrics.closed(c.stream.in, c.stream.out)
	c.log.Info("session ended", zap.String("reason", reason), zap.Int("commands", c.commands),
		zap.Int64("in", c.stream.in), zap.Int64("out", c.stream.out), zap.Duration("duration", time.Since(c.started)))
}

// talk runs commands until there is a reason to stop.
func (c *conn) talk(ctx context.Context) error {
	if err := c.handshake(ctx); err != nil {
		return err
	}
	c.acquire()
	c.untagged("OK", c.capabilities(), strings.TrimSpace(c.srv.Hostname+" Postern ready."))
	for {
		if err := c.command(ctx); err != nil {
			return err
		}
		if err := c.enc.Err(); err != nil {
			return err
		}
	}
}

// handshake does that of TLS now, under its own deadline, so that the greeting's write need not.
func (c *conn) handshake(ctx context.Context) error {
	t, ok := c.stream.net.(interface{ HandshakeContext(context.Context) error })
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handshakePeriod)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("%w: %w", errHandshake, err)
	}
	return nil
}

var (
	errHandshake = errors.New("TLS handshake failed")
	errLogout    = errors.New("logout")
)

// part says goodbye to a client as the cause demands, and puts the cause in words for the log.
func (c *conn) part(err error) string {
	var bye *farewell
	var limit *wire.LimitError
	switch {
	case errors.Is(err, errLogout):
		return "logout"
	case errors.As(err, &bye):
		c.srv.Metrics.limited(bye.limit)
		c.bye(bye.text)
		return bye.reason
	case errors.Is(err, errEarly):
		return c.part(&farewell{"Too much without a login.", err.Error(), serve.LimitEarlyOctets})
	case errors.Is(err, errStopping):
		c.bye("The server is shutting down.")
		return "shutdown"
	case errors.Is(err, errWithdrawn):
		c.bye("This login is good no longer.")
		return "withdrawn"
	case errors.Is(err, errHandshake):
		return err.Error()
	case errors.Is(c.stream.broken, os.ErrDeadlineExceeded):
		c.srv.Metrics.limited(serve.LimitSlowReader)
		return "client takes answers too slowly"
	case c.stream.broken != nil:
		return "write: " + c.stream.broken.Error()
	case c.stream.slow(err):
		return c.part(&farewell{"Too slow.", "client sends a command too slowly", serve.LimitSlowWriter})
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.bye("Autologout; idle for too long.")
		return "timeout"
	case errors.As(err, &limit):
		c.bye("Too much.")
		return "flood"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "closed"
	}
	return err.Error()
}

// bye tells the client that the connection ends.
func (c *conn) bye(text string) {
	c.acquire()
	c.stream.parting = true
	c.untagged("BYE", "", text)
}

// acquire makes the encoder ready to write.
func (c *conn) acquire() { c.enc.Reset(c.stream.acquire()) }

// release sends what has been written and gives the buffer back: the session is about to wait.
func (c *conn) release() error {
	c.enc.Reset(nil)
	return c.stream.release()
}

// command reads a command and runs it. An error ends the session.
func (c *conn) command(ctx context.Context) error {
	tag, err := c.readTag(ctx)
	if err != nil {
		return err
	}
	name := c.dec.SP().Keyword()
	if name == "UID" {
		name += " " + c.dec.SP().Keyword()
	}
	start := time.Now()
	row := commands[name]
	if row != nil && len(row.belongs) > 0 && !slices.ContainsFunc(row.belongs, c.offers) {
		row = nil
	}
	c.then = nil
	c.done, c.partly = reply{}, ""
	c.running, c.uids = tag, row != nil && row.flags.has(byUID)
	err = c.perform(ctx, row)
	if ends(err) {
		return err
	}
	if c.tag == "" { // else what follows is the next command's
		if cerr := c.dec.Discard(); cerr != nil {
			return cerr
		}
	}
	c.tellMetadata(ctx)
	err, end := c.news(ctx, row, err)
	if end == nil && !c.leaving {
		end = c.tellNotified(ctx, false)
	}
	c.disown()
	r := c.finish(tag, row, err)
	if c.then != nil && r.result == resultOK {
		c.then()
	}
	c.observe(row, r, err, time.Since(start))
	return c.after(r, end)
}

// ends reports whether err is one after which the client gets no tagged reply.
func ends(err error) bool {
	var bye *farewell
	var gone *lost
	return errors.As(err, &bye) || errors.As(err, &gone)
}

// readTag waits for a command and reads its tag. Empty lines before it are ignored (trap of clients: some send them).
func (c *conn) readTag(ctx context.Context) (string, error) {
	if tag := c.tag; tag != "" {
		c.tag = ""
		c.stream.follow(c.state == notAuthenticated)
		return tag, nil
	}
	if err := c.await(ctx); err != nil {
		return "", err
	}
	for {
		c.stream.wait(true, cmp.Or(c.srv.IdleTimeout, DefaultIdleTimeout))
		c.dec.Begin(c.limits())
		if c.in.Buffered() == 0 {
			if err := c.awaitCommand(ctx); err != nil {
				return "", err
			}
		}
		if !c.dec.AtEnd() {
			break
		}
		if c.dec.End() != nil {
			break // a lone CR, or there is no client any more
		}
	}
	c.acquire()
	c.stream.follow(c.state == notAuthenticated)
	return c.dec.Tag(), c.dec.Lost()
}

func (c *conn) limits() wire.Limits {
	if c.state == notAuthenticated {
		return wire.Limits{Line: maxLineBefore, Without: c.mask}
	}
	l := wire.Limits{Line: maxLine, Literal: c.srv.maxMessage(), UTF8: c.enc.UTF8, Without: c.mask}
	if c.stream.inflate != nil {
		l.NonSync = maxSkipInflated
	}
	return l
}

// perform parses the command and does what it says.
func (c *conn) perform(ctx context.Context, row *command) (err error) {
	switch {
	case c.dec.Err() != nil:
		return c.dec.Err()
	case row == nil:
		return badf("Unknown command.")
	case row.flags.has(usesSeqs) && !c.offers(capNumbers):
		return errUIDRequired
	case row.in&c.state != 0:
	case c.state == notAuthenticated:
		return badf("Log in first.")
	case row.in == notAuthenticated:
		return badf("Logged in already.")
	default:
		return badf("Select a mailbox first.")
	}
	do, err := row.parse(c)
	if err != nil {
		return err
	}
	switch {
	case row.flags.has(slow):
		watched, end := c.watchOver(ctx, row.flags)
		defer func() { err = errors.Join(err, end()) }()
		ctx = watched
	case !row.flags.has(streams):
		var cancel context.CancelFunc
		ctx, cancel = c.briefly(ctx)
		defer cancel()
	}
	if !row.flags.has(changesMailbox) {
		if err := c.recheck(ctx); err != nil {
			return err
		}
	}
	return do(ctx)
}

// briefly bounds what asks the store and waits for no client.
func (c *conn) briefly(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, cmp.Or(c.srv.CommandTimeout, DefaultCommandTimeout))
}

// news tells the client what else has happened, just before the tagged reply (clients get EXISTS wrong elsewhere). It
// returns the outcome of the command, given its outcome so far: a store that does not answer fails only the commands that
// are there to ask it, the others have done what they say. end says that the session must end after the reply.
func (c *conn) news(ctx context.Context, row *command, err error) (outcome, end error) {
	if c.sel != nil {
		defer func(s *selected) { s.ahead, s.wrote = nil, 0 }(c.sel) // they are good for this command only
	}
	if row == nil || c.sel == nil || row.flags.has(changesMailbox) || err != nil && replyFor(err).status == "BAD" {
		return err, nil
	}
	if errors.Is(err, store.ErrExpunged) {
		c.sel.news = true // whatever the watch says
	}
	var nerr error
	if err != nil || row.flags.has(streams|slow) { // the rights have not been looked at, or not of late: see perform
		nerr = c.recheck(ctx)
	}
	if nerr == nil {
		nerr = c.syncAfter(ctx, row.flags)
	}
	switch {
	case nerr == nil:
		return err, nil
	case ends(nerr):
		return err, nerr
	case c.enc.Err() != nil: // the client has gone
		return err, &lost{c.enc.Err()}
	case err == nil && row.flags.has(alwaysSync):
		return nerr, nil
	}
	c.log.Warn("no news of the mailbox", zap.Error(nerr))
	return err, nil
}

// finish sends the tagged reply.
func (c *conn) finish(tag string, row *command, err error) reply {
	r := c.done
	switch {
	case err != nil:
		r = replyFor(err)
	case r.status == "":
		r = reply{status: "OK", text: row.name + " completed.", result: resultOK}
	case r.modSeq && c.sel != nil:
		r.code = fmt.Sprintf("HIGHESTMODSEQ %d", c.sel.view.Reported())
	}
	c.tellPartly(&r)
	if tag == "" {
		tag = "*" // there was none to be read
	}
	c.tagged(tag, r)
	return r
}

// observe is the one place where commands are counted and server errors logged (rule 12).
func (c *conn) observe(row *command, r reply, err error, took time.Duration) {
	name := "unknown"
	if row != nil {
		name = row.name
	}
	c.commands++
	c.srv.Metrics.ran(name, r.result, took)
	c.log.Debug("command", zap.String("command", name), zap.String("result", string(r.result)), zap.Duration("took", took))
	if r.result == resultError {
		c.log.Error("command failed", zap.String("command", name), zap.String("code", r.code), zap.Error(err))
	}
}

// after says whether the session goes on; end is what speaks against it already.
func (c *conn) after(r reply, end error) error {
	if c.bad++; r.result != resultBad {
		c.bad = 0
	}
	switch {
	case end != nil:
		return end
	case c.leaving:
		return errLogout
	case c.bad >= c.srv.Limits.MaxBad():
		return &farewell{"Too many bad commands.", "bad commands", serve.LimitBad}
	case c.state != notAuthenticated:
		c.early = 0
		return nil
	case c.failures >= maxFailures:
		return &farewell{"Too many failed logins.", "failed logins", serve.LimitFailures}
	}
	if c.early++; c.early >= maxEarly {
		return &farewell{"Too many commands without a login.", "commands before login", serve.LimitEarlyCommands}
	}
	return nil
}
