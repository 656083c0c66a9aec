package imap

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"postern/pkg/imap/wire"
	"postern/pkg/store"

	"github.com/emersion/go-imap/v2"
)

// BenchmarkFetchFlags is UID FETCH 1:* (FLAGS) of 100,000 messages, from the snapshot to the writer.
func BenchmarkFetchFlags(b *testing.B) {
	const n = 100_000
	rows := make([]store.Row, n)
	for i := range rows {
		rows[i] = store.Row{UID: imap.UID(i*3 + 1), ModSeq: store.ModSeq(i + 1), Flags: store.FlagSet{System: store.SystemFlags(i % 32)}}
	}
	snap := store.NewSnapshot(store.Mailbox{ID: 1, UIDNext: 3*n + 1, ModSeq: n}, nil, rows)
	c := &conn{
		enc: wire.NewEncoder(bufio.NewWriterSize(io.Discard, writeBuffer)),
		sel: &selected{snap: snap, view: snap.View()},
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := parseFetch(decoderOf(" 1:* (FLAGS)"), byUID)
		if err == nil {
			err = c.fetch(b.Context(), r)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
}

// BenchmarkFetchBodies reads 1,000 messages of 40 KB over TLS on the loopback interface, and the same octets over TLS alone.
// The ratio of the two is what the engine costs, or with -pg engine and database.
func BenchmarkFetchBodies(b *testing.B) {
	const n, size = 1000, 40 << 10
	cert := selfSigned(b)
	from := inMemory
	if *overPostgres {
		from = inPostgres(b)
	}
	w := newWorld(b, from)
	w.inbox(b, n, string((&script{}).message(nil, fmt.Sprint("filler:", size))))
	inner := startServing(b, w.server, listenTLS(b, cert)).Addr()

	var engine, bare time.Duration
	conn := dialTLS(b, inner, cert)
	r := bufio.NewReaderSize(conn, 64<<10)
	commandTLS(b, conn, r, "a LOGIN "+testUser+" "+testPassword)
	commandTLS(b, conn, r, "b SELECT INBOX")
	octets := commandTLS(b, conn, r, "c UID FETCH 1:* (BODY.PEEK[])")

	source := bareTLS(b, cert, octets)
	b.SetBytes(octets)
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		commandTLS(b, conn, r, "d UID FETCH 1:* (BODY.PEEK[])")
		engine += time.Since(start)
		b.StopTimer()
		start = time.Now()
		plain := dialTLS(b, source, cert)
		if _, err := io.CopyN(io.Discard, bufio.NewReaderSize(plain, 64<<10), octets); err != nil {
			b.Fatal(err)
		}
		bare += time.Since(start)
		_ = plain.Close() // all has been read
		b.StartTimer()
	}
	b.ReportMetric(100*float64(bare)/float64(engine), "%ofTLS")
}

// commandTLS sends a command and returns how many octets came back.
func commandTLS(b *testing.B, conn net.Conn, r *bufio.Reader, line string) int64 {
	b.Helper()
	if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
		b.Fatal(err)
	}
	tag := []byte(line[:2])
	total := int64(0)
	for {
		p, err := r.ReadSlice('\n')
		if err != nil {
			b.Fatal(err)
		}
		total += int64(len(p))
		if bytes.HasPrefix(p, tag) {
			return total
		}
		if m := literalEnd.FindSubmatch(p[max(0, len(p)-32):]); m != nil {
			size := 0
			_, _ = fmt.Sscan(string(m[1]), &size) // digits only
			n, err := r.Discard(size)
			if err != nil {
				b.Fatal(err)
			}
			total += int64(n)
		}
	}
}

func selfSigned(b *testing.B) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		b.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func listenTLS(b *testing.B, cert tls.Certificate) net.Listener {
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// bareTLS sends n octets to whoever connects.
func bareTLS(b *testing.B, cert tls.Certificate, n int64) net.Addr {
	l := listenTLS(b, cert)
	b.Cleanup(func() { _ = l.Close() })
	p := make([]byte, 64<<10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			for left := n; left > 0; left -= int64(len(p)) {
				if _, err := conn.Write(p[:min(left, int64(len(p)))]); err != nil {
					break
				}
			}
			_ = conn.Close() // the reader counts
		}
	}()
	return l.Addr()
}

func dialTLS(b *testing.B, addr net.Addr, cert tls.Certificate) net.Conn {
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		b.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	conn, err := tls.Dial("tcp", addr.String(), &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err != nil {
		b.Fatal(err)
	}
	return conn
}
