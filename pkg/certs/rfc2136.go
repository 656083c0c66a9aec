package certs

import (
	"context"
	"fmt"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

// RFC2136 makes DNS-01 records by dynamic updates (RFC 2136), signed with a shared key (RFC 8945). It is safe for concurrent
// use.
type RFC2136 struct {
	Server    string // of the zone, "host:port"
	KeyName   string
	Algorithm string // "hmac-sha256" and the like; "" means that
	Secret    string // base64
}

const (
	challengeTTL  = 60 // seconds
	updateTimeout = 10 * time.Second
	signatureSkew = 300 // seconds the clocks may differ (RFC 8945 §10)
)

// AppendRecords implements libdns.RecordAppender.
func (p *RFC2136) AppendRecords(ctx context.Context, zone string, recs []libdns.Record) ([]libdns.Record, error) {
	rrs, err := records(zone, recs)
	if err != nil {
		return nil, err
	}
	update := new(dns.Msg).SetUpdate(dns.Fqdn(zone))
	update.Insert(rrs)
	return recs, p.send(ctx, update)
}

// DeleteRecords implements libdns.RecordDeleter.
func (p *RFC2136) DeleteRecords(ctx context.Context, zone string, recs []libdns.Record) ([]libdns.Record, error) {
	rrs, err := records(zone, recs)
	if err != nil {
		return nil, err
	}
	update := new(dns.Msg).SetUpdate(dns.Fqdn(zone))
	update.Remove(rrs)
	return recs, p.send(ctx, update)
}

func records(zone string, recs []libdns.Record) ([]dns.RR, error) {
	rrs := make([]dns.RR, len(recs))
	for i, rec := range recs {
		rr := rec.RR()
		if rr.Type != "TXT" {
			return nil, fmt.Errorf("record of type %s: only TXT is for challenges", rr.Type)
		}
		rrs[i] = &dns.TXT{
			Hdr: dns.RR_Header{Name: libdns.AbsoluteName(rr.Name, dns.Fqdn(zone)), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: challengeTTL},
			Txt: []string{rr.Data},
		}
	}
	return rrs, nil
}

// send sends an update and demands that it was done.
func (p *RFC2136) send(ctx context.Context, update *dns.Msg) error {
	algorithm := dns.HmacSHA256
	if p.Algorithm != "" {
		algorithm = dns.Fqdn(p.Algorithm)
	}
	key := dns.Fqdn(p.KeyName)
	update.SetTsig(key, algorithm, signatureSkew, time.Now().Unix())
	client := &dns.Client{Net: "tcp", Timeout: updateTimeout, TsigSecret: map[string]string{key: p.Secret}}
	answer, _, err := client.ExchangeContext(ctx, update, p.Server)
	switch {
	case err != nil:
		return fmt.Errorf("update %s at %s: %w", update.Question[0].Name, p.Server, err)
	case answer.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("update %s at %s: refused with %s", update.Question[0].Name, p.Server, dns.RcodeToString[answer.Rcode])
	}
	return nil
}
