package postgres

import (
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// What a batch of deliveries holds beside its bodies: names of statements, and the columns of one message's rows.
const (
	frameOctets   = 512
	messageOctets = 192
)

// room is a message to the server that says nothing. It makes room for those that follow: pgx puts together what it sends
// in a slice that begins anew, at 1 KB, with every batch, and would copy bodies again and again while that grows.
type room int

var _ pgproto3.FrontendMessage = room(0)

// Frontend implements pgproto3.FrontendMessage.
func (room) Frontend() {}

// Decode implements pgproto3.FrontendMessage.
func (room) Decode([]byte) error { return errors.ErrUnsupported }

// Encode implements pgproto3.FrontendMessage.
func (n room) Encode(dst []byte) ([]byte, error) { return slices.Grow(dst, int(n)), nil }

// octetLists encodes bytea[]: as pgtype does, but in a slice that is long enough from the beginning.
type octetLists struct{ *pgtype.ArrayCodec }

// registerOctetLists makes a connection use octetLists.
func registerOctetLists(m *pgtype.Map) {
	element, _ := m.TypeForOID(pgtype.ByteaOID)
	m.RegisterType(&pgtype.Type{Name: "_bytea", OID: pgtype.ByteaArrayOID, Codec: octetLists{&pgtype.ArrayCodec{ElementType: element}}})
}

// PlanEncode implements pgtype.Codec.
func (c octetLists) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	plan := c.ArrayCodec.PlanEncode(m, oid, format, value)
	if _, ok := value.(octetList); ok && plan != nil {
		return roomy{plan}
	}
	return plan
}

// octetList is a bytea[] that may be large.
type octetList = pgtype.FlatArray[[]byte]

// roomy makes room for an octetList, then encodes it.
type roomy struct{ pgtype.EncodePlan }

// Encode implements pgtype.EncodePlan.
func (r roomy) Encode(value any, buf []byte) ([]byte, error) {
	const header, length = 20, 4
	n := header
	for _, b := range value.(octetList) {
		n += length + len(b)
	}
	return r.EncodePlan.Encode(value, slices.Grow(buf, n))
}
