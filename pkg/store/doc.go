// Package store says what a mail store is: accounts that own mailboxes, mailboxes that hold messages, and the
// changes that happen to them. It contains the rules that need no database and the contract every store
// keeps (see storetest). It contains no SQL and speaks no protocol.
package store
