// Package imap speaks IMAP4rev1 (RFC 3501), IMAP4rev2 (RFC 9051) and the extensions listed in capability.go. It knows the
// protocol and nothing of where mail is kept: that is behind store.Store.
//
// The numbers below are those of the rules in docs/architecture.md that bind this package; comments refer to them.
//
//  1. One goroutine owns a session. Commands run one at a time, in order. (IDLE adds a reader; it owns nothing.)
//  2. Sequence numbers exist only in the View.
//  3. EXPUNGE is announced only after commands whose table row allows it (RFC 3501 §7.4.1).
//  4. Never hold a database connection while reading from or writing to a client.
//  10. A reply is never sent before the commit it speaks of.
//  11. What comes from a client is bounded before it is buffered.
//  12. One error, one log line, one reply. The client sees a code and a plain sentence; the operator sees the cause.
//
// Where to begin: (*conn).command in conn.go reads a command, runs it, tells the news and replies. Which commands let EXPUNGE
// out is mayExpunge in command.go; (*conn).announce in sync.go is the only place that writes it. FETCH is fetch.go; its items
// are fetch_item.go, fetch_body.go and fetch_binary.go, and fetch_answers.go spares reading what was written before. What is
// told while no command runs is wait.go (IDLE and NOTIFY) and notify_news.go.
//
// A command is a row of the table in command.go and a file with three parts: the request and its parser, which is pure; what
// it does; how it is answered. After each command sync tells the client what else has happened in its mailbox.
package imap
