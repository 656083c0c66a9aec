package listen

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// wire counts what reaches a connection, and refuses it once broken.
type wire struct {
	net.Conn
	writes atomic.Int64
	broken atomic.Bool
}

var errBroken = errors.New("broken")

func (w *wire) Write(p []byte) (int, error) {
	w.writes.Add(1)
	if w.broken.Load() {
		return 0, errBroken
	}
	return w.Conn.Write(p)
}

// serveTLS returns both ends of a connection whose handshake is done, and what is below the server's.
func serveTLS(t *testing.T) (server *tlsConn, client net.Conn, below *wire) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client = dialTLS(t, l)
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	below = &wire{Conn: accepted}
	server = newTLSConn(below, &listener{tls: selfSigned(t), o: Options{Handshake: time.Minute}})
	go io.WriteString(client, "hello\n") //nolint:errcheck // the server's read shows it
	if _, err := io.ReadFull(server, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	return server, client, below
}

// TestLargeWrites: the records of a large Write leave together, in order and whole.
func TestLargeWrites(t *testing.T) {
	t.Parallel()
	server, client, below := serveTLS(t)
	for _, size := range []int{1, maxRecord, maxRecord + 1, 64 << 10, 200 << 10} {
		want := bytes.Repeat([]byte{'a', 'b', byte(size)}, size/3+1)[:size]
		before := below.writes.Load()
		failed := make(chan error, 1)
		go func() {
			_, err := server.Write(want)
			failed <- err
		}()
		got := make([]byte, size)
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d octets: read others, or none: %v", size, err)
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		// While a connection is young its records are small; together they are sent in pieces of recordsSize at most.
		if n, most := below.writes.Load()-before, int64(size/(32<<10))+2; size > maxRecord && n > most {
			t.Errorf("%d octets: %d writes, want at most %d", size, n, most)
		}
	}
}

// TestLargeWriteFails: what could not be sent is an error of the Write that held it.
func TestLargeWriteFails(t *testing.T) {
	t.Parallel()
	server, _, below := serveTLS(t)
	below.broken.Store(true)
	if _, err := server.Write(make([]byte, 40<<10)); !errors.Is(err, errBroken) {
		t.Errorf("Write: %v, want %v", err, errBroken)
	}
}
