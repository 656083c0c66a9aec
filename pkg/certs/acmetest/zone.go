package acmetest

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Zone is a name server: every name is on loopback, and records can be added by whoever has the key.
type Zone struct {
	Addr string

	mu      sync.Mutex
	txt     map[string][]string // guarded by mu
	updates int                 // guarded by mu
}

// The zone that can be updated, and the key that signs updates of it (hmac-sha256).
const (
	ZoneName = "company.test."
	KeyName  = "updates."
	KeyText  = "c2VjcmV0LW9mLXVwZGF0ZXM="
)

// signatureSkew is how many seconds the clocks may differ.
const signatureSkew = 300

// Updates is how many there have been.
func (z *Zone) Updates() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.updates
}

// StartZone serves it over UDP and TCP until the test ends.
func StartZone(t testing.TB) *Zone {
	t.Helper()
	z := &Zone{txt: make(map[string][]string)}
	pc, l := listenBoth(t)
	z.Addr = l.Addr().String()
	for _, s := range []*dns.Server{{PacketConn: pc}, {Listener: l}} {
		s.Handler, s.TsigSecret = z, map[string]string{KeyName: KeyText}
		s.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept } // updates too
		go s.ActivateAndServe()                                                         //nolint:errcheck // the tests that ask it notice
		t.Cleanup(func() { s.Shutdown() })                                              //nolint:errcheck // as above
	}
	return z
}

// listenBoth finds a port that is free for UDP and TCP.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, l
		}
		pc.Close() //nolint:errcheck // another is tried
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

// ServeDNS implements dns.Handler.
func (z *Zone) ServeDNS(w dns.ResponseWriter, m *dns.Msg) {
	r := new(dns.Msg).SetReply(m)
	if m.Opcode == dns.OpcodeUpdate {
		z.update(w, m, r)
	} else {
		z.answer(m.Question[0], r)
	}
	_ = w.WriteMsg(r) // the client may have gone
}

func (z *Zone) update(w dns.ResponseWriter, m, r *dns.Msg) {
	if m.IsTsig() == nil || w.TsigStatus() != nil {
		r.Rcode = dns.RcodeNotAuth
		return
	}
	r.SetTsig(KeyName, dns.HmacSHA256, signatureSkew, time.Now().Unix())
	z.mu.Lock()
	defer z.mu.Unlock()
	z.updates++
	for _, rr := range m.Ns {
		txt := rr.(*dns.TXT)
		name := strings.ToLower(txt.Hdr.Name)
		if txt.Hdr.Class == dns.ClassNONE {
			z.txt[name] = slices.DeleteFunc(z.txt[name], func(s string) bool { return s == txt.Txt[0] })
		} else {
			z.txt[name] = append(z.txt[name], txt.Txt[0])
		}
	}
}

func (z *Zone) answer(q dns.Question, r *dns.Msg) {
	r.Authoritative = true
	head := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET}
	z.mu.Lock()
	defer z.mu.Unlock()
	switch {
	case q.Qtype == dns.TypeA:
		r.Answer = append(r.Answer, &dns.A{Hdr: head, A: net.IPv4(127, 0, 0, 1)})
	case q.Qtype == dns.TypeTXT:
		for _, text := range z.txt[strings.ToLower(q.Name)] {
			r.Answer = append(r.Answer, &dns.TXT{Hdr: head, Txt: []string{text}})
		}
	case q.Qtype == dns.TypeSOA && strings.EqualFold(q.Name, ZoneName):
		r.Answer = append(r.Answer, &dns.SOA{Hdr: head, Ns: "ns." + ZoneName, Mbox: "root." + ZoneName, Serial: 1})
	case q.Qtype == dns.TypeNS && strings.EqualFold(q.Name, ZoneName):
		r.Answer = append(r.Answer, &dns.NS{Hdr: head, Ns: "ns." + ZoneName})
	}
}
