// Package pop3 speaks POP3: RFC 1939, with CAPA and response codes (RFC 2449, RFC 3206), SASL (RFC 5034), and UTF8 and
// LANG (RFC 6856). It knows how a maildrop is numbered and how octets go over the wire; it knows nothing of tables,
// passwords or how a session came to its connection.
//
// Rules, besides those that hold for every protocol:
//
//  1. One goroutine owns a session. Commands run one at a time, in order.
//  2. The maildrop is one Snapshot of INBOX, taken at login and never moved: message numbers, sizes and UIDLs are the
//     same from login to QUIT whatever else happens to the mailbox (RFC 1939 §4).
//  3. A maildrop is shown whole or not at all. An error while it is opened refuses the login: a client that sees an empty
//     maildrop forgets what it has, and fetches everything again the next day.
//  4. Only QUIT changes anything, and then at once and in one transaction (RFC 1939 §6).
//  5. No database connection is held while a client is written to or waited for.
//  6. What a client sends is bounded before it is kept.
package pop3
