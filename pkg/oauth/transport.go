package oauth

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"time"
)

const (
	maxAnswer    = 1 << 20 // octets of an answer; a key is some 500
	maxHeader    = 64 << 10
	maxConns     = 16 // to one provider at once
	maxIdleConns = 4
)

// transport bounds what a provider says.
type transport struct{ http.RoundTripper }

func newTransport(roots *x509.CertPool) transport {
	return transport{&http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxConnsPerHost:        maxConns,
		MaxIdleConnsPerHost:    maxIdleConns,
		MaxResponseHeaderBytes: maxHeader,
	}}
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = bounded{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}

type bounded struct {
	io.Reader
	io.Closer
}
