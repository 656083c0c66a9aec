// Package directory asks directories elsewhere whether a password is a user's: LDAP servers (RFC 4511), or a program of the
// operator's own that answers over HTTP. It knows neither accounts nor mechanisms of SASL, and remembers nothing: that is
// package auth's business, as is how many ask at once.
//
// Of all that a directory may say only a plain yes or no is an answer. Everything else is an error, so that nobody is told that
// his password is wrong because a server, a network or a setting is.
package directory
