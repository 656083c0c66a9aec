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
	registerOctetLists(ours)
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
	large := octetList{make([]byte, 50_000), make([]byte, 70_000)}
	got, err := ours.Encode(pgtype.ByteaArrayOID, pgtype.BinaryFormatCode, large, nil)
	if err != nil || cap(got) > len(got)+len(got)/4 {
		t.Errorf("%d octets in a slice of %d, %v", len(got), cap(got), err)
	}
}

// TestRoom sends what it would without the message that makes room.
func TestRoom(t *testing.T) {
	t.Parallel()
	var plain, roomy bytes.Buffer
	send := func(b *bytes.Buffer, messages ...pgproto3.FrontendMessage) {
		f := pgproto3.NewFrontend(nil, b)
		for _, m := range messages {
			f.Send(m)
		}
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	bind := &pgproto3.Bind{Parameters: [][]byte{make([]byte, 5000)}}
	send(&plain, bind, &pgproto3.Sync{})
	send(&roomy, room(9000), bind, room(1), &pgproto3.Sync{})
	if plain.Len() < 5000 || !bytes.Equal(plain.Bytes(), roomy.Bytes()) {
		t.Errorf("%d octets, with room %d", plain.Len(), roomy.Len())
	}
}
