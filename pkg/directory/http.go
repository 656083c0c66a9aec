package directory

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"postern/pkg/auth"
)

const (
	maxAnswer = 64 << 10 // octets
	maxIdle   = 4        // connections that are kept for the next question
)

// HTTPOptions says who is asked over HTTP.
type HTTPOptions struct {
	URL    string
	Secret string // that shows who asks (RFC 6750 §2.1); "": none
	Roots  *x509.CertPool
}

// HTTP is the auth.Checker over a program that answers questions in JSON.
type HTTP struct {
	opt    HTTPOptions
	client *http.Client
}

var _ auth.Checker = (*HTTP)(nil)

// NewHTTP returns an HTTP that has asked nobody yet. It follows no redirection and uses no proxy: passwords go where the
// operator says and nowhere else.
func NewHTTP(opt HTTPOptions) *HTTP {
	return &HTTP{opt, &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: opt.Roots, MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxAnswer,
			DisableCompression: true, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// question is what is sent. The names are kept from release to release.
type question struct {
	User     string `json:"user"`
	Password string `json:"password"`
	Protocol string `json:"protocol"`          // "imap", "pop3"
	Address  string `json:"address,omitempty"` // of the client
	TLS      bool   `json:"tls"`
}

// Check implements auth.Checker. Only {"ok": true} and {"ok": false} with status 200 are answers: a 401 or 403 may be about us.
func (h *HTTP) Check(ctx context.Context, q auth.Question) (bool, error) {
	if q.Password == "" {
		return false, nil
	}
	ask := question{User: q.User, Password: q.Password, Protocol: q.Peer.Protocol, TLS: q.Peer.TLS}
	if q.Peer.Addr.IsValid() {
		ask.Address = q.Peer.Addr.Unmap().String()
	}
	text, err := json.Marshal(ask)
	if err != nil {
		return false, fmt.Errorf("question: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.opt.URL, bytes.NewReader(text))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header["Idempotency-Key"] = nil // is not sent: the transport may ask again when a connection was closed that it had kept
	if h.opt.Secret != "" {
		r.Header.Set("Authorization", "Bearer "+h.opt.Secret)
	}
	resp, err := h.client.Do(r)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	return readAnswer(resp)
}

func readAnswer(resp *http.Response) (bool, error) {
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("status %d is no answer", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return false, fmt.Errorf("answer: %w", err)
	case len(text) > maxAnswer:
		return false, errors.New("answer: too long")
	}
	var said struct {
		OK *bool `json:"ok"`
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return false, fmt.Errorf("answer: %w", err)
	}
	if said.OK == nil {
		return false, errors.New(`answer: neither {"ok": true} nor {"ok": false}`)
	}
	return *said.OK, nil
}
