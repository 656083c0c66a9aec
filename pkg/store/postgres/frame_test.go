package postgres

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// encoders are how values go to the server: as ours does it, and as pgtype.
type encoders struct{ ours, theirs *pgtype.Map }

func newEncoders() encoders {
	e := encoders{pgtype.NewMap(), pgtype.NewMap()}
	registerOctets(e.ours)
	return e
}

// expect compares what ours makes of a value with what pgtype makes of the same, in whatever type it takes.
func (e encoders) expect(t *testing.T, oid uint32, format int16, value, same any) {
	t.Helper()
	want, err := e.theirs.Encode(oid, format, same, []byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.ours.Encode(oid, format, value, []byte("before"))
	if err != nil || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
		t.Errorf("%T in format %d: got %d octets %.100q, %v, want %d octets %.100q", value, format, len(got), got, err, len(want), want)
	}
}

// TestOctetLists encodes lists of octets as pgtype does, in one piece of memory.
func TestOctetLists(t *testing.T) {
	t.Parallel()
	e := newEncoders()
	for _, list := range []octetList{{}, {nil}, {[]byte{}, nil, []byte("a")}, {bytes.Repeat([]byte("b"), 5000), []byte("c"), bytes.Repeat([]byte("d"), 9000)}} {
		for _, value := range []any{list, [][]byte(list)} {
			e.expect(t, pgtype.ByteaArrayOID, pgtype.BinaryFormatCode, value, [][]byte(list))
		}
	}
	kept := octetList{make([]byte, 50_000), make([]byte, 70_000)}
	large := append(kept, make([]byte, scratchOctets))
	for _, value := range []any{kept, large, bytes.Repeat([]byte("e"), 5000), []byte(nil), []byte{}} {
		oid := uint32(pgtype.ByteaOID)
		if _, ok := value.(octetList); ok {
			oid = pgtype.ByteaArrayOID
		}
		for range 2 { // the second time in what the first has used
			e.expect(t, oid, pgtype.BinaryFormatCode, value, value)
		}
	}
}

// TestRoom sends what it would without the message that makes room.
func TestRoom(t *testing.T) {
	t.Parallel()
	var plain, roomy bytes.Buffer
	send := func(b *bytes.Buffer, messages ...pgproto3.FrontendMessage) {
		f := pgproto3.NewFrontend(nil, b)
		for range 3 { // the second and third time in what the first has used
			for _, m := range messages {
				f.Send(m)
			}
			if err := f.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	own := new(scratch)
	bind := &pgproto3.Bind{Parameters: [][]byte{make([]byte, 5000)}}
	send(&plain, bind, &pgproto3.Sync{})
	send(&roomy, room{9000, own}, bind, room{1, own}, &pgproto3.Sync{})
	if plain.Len() < 5000 || !bytes.Equal(plain.Bytes(), roomy.Bytes()) {
		t.Errorf("%d octets, with room %d", plain.Len(), roomy.Len())
	}
}
