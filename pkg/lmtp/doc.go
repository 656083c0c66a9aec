// Package lmtp receives mail over LMTP (RFC 2033): RFC 5321's grammar and transactions with one reply for each recipient,
// and PIPELINING (RFC 2920), 8BITMIME (RFC 6152), SIZE (RFC 1870), CHUNKING (RFC 3030), SMTPUTF8 (RFC 6531),
// ENHANCEDSTATUSCODES (RFC 2034) and LIMITS (RFC 9422). It knows who speaks to it only as a trusted mail server: it never
// relays, and refuses at RCPT whatever the store has no account for.
//
// The package reads DATA itself, because what ends a message is the one thing an LMTP server must get right to the
// octet: go-smtp's server waits for ever when a message ends in CR CR LF, drops a CR after a dot, and holds its limit for
// command lines against the lines of messages. Its client serves in the tests.
//
// Rules, besides those that hold for every protocol:
//
//  1. A message ends at CRLF.CRLF and nowhere else: LF.LF, LF.CRLF and CRLF.LF are data. Else what one server takes for one
//     message is two for the other (SMTP smuggling).
//  2. A recipient's 250 is sent after the message is committed for all the accounts its address stands for.
//  3. A message that has not come to its end is stored for nobody.
//  4. Whatever a message is made of, it is accepted: line length, NUL, 8-bit and lone CR or LF are no reason to bounce.
package lmtp
