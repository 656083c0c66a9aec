package postgres

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// TestOctetLists encodes lists of octets as pgtype does, in one piece of memory.
func TestOctetLists(t *testing.T) {
	t.Parallel()
	ours, theirs := pgtype.NewMap(), pgtype.NewMap()
	registerOctets(ours)
	for _, list := range []octetList{{}, {nil}, {[]byte{}, nil, []byte("a")}, {bytes.Repeat([]byte("b"), 5000), []byte("c"), bytes.Repeat([]byte("d"), 9000)}} {
		want, err := theirs.Encode(pgtype.ByteaArrayOID, pgtype.BinaryFormatCode, [][]byte(list), []byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []any{list, [][]byte(list)} {
			got, err := ours.Encode(pgtype.ByteaArrayOID, pgtype.BinaryFormatCode, value, []byte("before"))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%T of %d: got %q, %v, want %q", value, len(list), got, err, want)
			}
		}
	}
	kept := octetList{make([]byte, 50_000), make([]byte, 70_000)}
	large := append(kept, make([]byte, scratchOctets))
	for _, value := range []any{kept, large, bytes.Repeat([]byte("e"), 5000), []byte(nil), []byte{}} {
		oid := uint32(pgtype.ByteaOID)
		if _, ok := value.(octetList); ok {
			oid = pgtype.ByteaArrayOID
		}
		want, err := theirs.Encode(oid, pgtype.BinaryFormatCode, value, []byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time in what the first has used
			got, err := ours.Encode(oid, pgtype.BinaryFormatCode, value, []byte("before"))
			if err != nil || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
				t.Errorf("%T: got %d octets, %v, want %d", value, len(got), err, len(want))
			}
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
