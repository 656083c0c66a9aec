package postgres

import (
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// What a batch of deliveries holds beside its bodies: names of statements, and the columns of one message's rows.
const (
	frameOctets   = 512
	messageOctets = 192
)

// scratchOctets is the most that a connection keeps of each for its next batch: two windows, and what goes with them.
const scratchOctets = 2*window + 64<<10

// scratch is memory of one connection, in which pgx puts together what it sends: the values of a statement, and then all
// statements. It would begin both anew every time: at some thousand deliveries a second, two copies of each body as garbage.
type scratch struct{ values, message []byte }

// grown returns b with room for n more octets, in keep if there is too little.
func grown(keep *[]byte, b []byte, n int) []byte {
	need := len(b) + n
	switch {
	case need <= cap(b):
		return b
	case need > scratchOctets:
		return slices.Grow(b, n)
	case need > cap(*keep):
		*keep = make([]byte, 0, min(max(need, 2*cap(*keep)), scratchOctets))
	}
	return append((*keep)[:0], b...)
}

// room is a message to the server that says nothing. It makes room for n octets of those that follow: else pgx would begin
// with a slice of 1 KB, and copy bodies again and again while that grows.
type room struct {
	n int
	*scratch
}

var _ pgproto3.FrontendMessage = room{}

// Frontend implements pgproto3.FrontendMessage.
func (room) Frontend() {}

// Decode implements pgproto3.FrontendMessage.
func (room) Decode([]byte) error { return errors.ErrUnsupported }

// Encode implements pgproto3.FrontendMessage.
func (r room) Encode(dst []byte) ([]byte, error) { return grown(&r.message, dst, r.n), nil }

// makeRoom prepares a connection for a batch of n octets.
func makeRoom(c *pgx.Conn, n int) {
	if t, ok := c.TypeMap().TypeForOID(pgtype.ByteaOID); ok {
		if own, ok := t.Codec.(octetStrings); ok {
			c.PgConn().Frontend().Send(room{n, own.scratch})
		}
	}
}

// octetStrings encodes bytea: as pgtype does, but in the connection's scratch when there are many.
type octetStrings struct {
	pgtype.ByteaCodec
	*scratch
}

// octetLists does the same for bytea[].
type octetLists struct {
	*pgtype.ArrayCodec
	*scratch
}

// registerOctets makes a connection use octetStrings, octetLists and numberLists.
func registerOctets(m *pgtype.Map) {
	own := new(scratch)
	element := &pgtype.Type{Name: "bytea", OID: pgtype.ByteaOID, Codec: octetStrings{pgtype.ByteaCodec{}, own}}
	m.RegisterType(element)
	m.RegisterType(&pgtype.Type{Name: "_bytea", OID: pgtype.ByteaArrayOID, Codec: octetLists{&pgtype.ArrayCodec{ElementType: element}, own}})
	registerNumbers(m, own)
}

// PlanEncode implements pgtype.Codec.
func (c octetStrings) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	plan := c.ByteaCodec.PlanEncode(m, oid, format, value)
	if _, ok := value.([]byte); ok && plan != nil && format == pgtype.BinaryFormatCode {
		return roomy{plan, c.scratch}
	}
	return plan
}

// PlanEncode implements pgtype.Codec.
func (c octetLists) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	plan := c.ArrayCodec.PlanEncode(m, oid, format, value)
	if _, ok := value.(octetList); ok && plan != nil {
		return roomy{plan, c.scratch}
	}
	return plan
}

// octetList is a bytea[] that may be large.
type octetList = pgtype.FlatArray[[]byte]

// roomy makes room for octets, or a list of them, then encodes.
type roomy struct {
	pgtype.EncodePlan
	*scratch
}

// Encode implements pgtype.EncodePlan.
func (r roomy) Encode(value any, buf []byte) ([]byte, error) {
	return r.EncodePlan.Encode(value, grown(&r.values, buf, encodedOctets(value)))
}

// encodedOctets is at least how many a value takes in binary format.
func encodedOctets(value any) int {
	const header, length = 20, 4
	switch v := value.(type) {
	case []byte:
		return len(v)
	case octetList:
		n := header
		for _, b := range v {
			n += length + len(b)
		}
		return n
	}
	return 0
}
