// Package order puts messages in the orders that IMAP knows: SORT (RFC 5256, RFC 5957) and the THREAD algorithms
// (RFC 5256, draft-ietf-morg-inthread). It makes the keys that this takes out of a message's header, keeps them compact, and
// compares them as i;unicode-casemap does (RFC 5051), which I18NLEVEL=1 asks for (RFC 5255 §4.2). It knows neither store nor
// protocol: messages are places in a list that is in the order of message numbers.
//
// All of it is linear or n log n in the size of its input, whatever a hostile sender wrote, and nothing recurses.
package order
