// Package oauth says whose an access token is: one that an OpenID Connect provider has signed (a JWT, RFC 9068), or one that
// only the provider can read, which is asked about it (token introspection, RFC 7662). It knows providers and tokens, and
// neither accounts nor mechanisms of SASL.
//
// A provider is asked when somebody needs to know and never by more than one login at once; what it said is used for an hour,
// and for a day when it cannot be reached. It being away keeps nobody out who logs in by other means.
package oauth
