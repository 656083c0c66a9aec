package postgres

import (
	"encoding/binary"

	"github.com/jackc/pgx/v5/pgtype"
)

// numberLists encodes bigint[] and integer[] as pgtype does, but in the connection's scratch, and without a value in memory for each
// number: a batch of deliveries has some hundred.
type numberLists[T int32 | int64] struct {
	*pgtype.ArrayCodec
	*scratch
}

// registerNumbers makes a connection use numberLists.
func registerNumbers(m *pgtype.Map, own *scratch) {
	registerList[int64](m, own, pgtype.Int8OID, pgtype.Int8ArrayOID, "_int8")
	registerList[int32](m, own, pgtype.Int4OID, pgtype.Int4ArrayOID, "_int4")
}

func registerList[T int32 | int64](m *pgtype.Map, own *scratch, element, list uint32, name string) {
	if t, ok := m.TypeForOID(element); ok {
		m.RegisterType(&pgtype.Type{Name: name, OID: list, Codec: numberLists[T]{&pgtype.ArrayCodec{ElementType: t}, own}})
	}
}

// PlanEncode implements pgtype.Codec.
func (c numberLists[T]) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.([]T); ok && format == pgtype.BinaryFormatCode {
		return numbers[T]{c.ElementType.OID, c.scratch}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

// numbers writes a list in binary format.
type numbers[T int32 | int64] struct {
	element uint32
	*scratch
}

// Encode implements pgtype.EncodePlan.
func (n numbers[T]) Encode(value any, buf []byte) ([]byte, error) {
	list, ok := value.([]T)
	if !ok || list == nil {
		return nil, nil // NULL
	}
	size := 4
	if _, wide := value.([]int64); wide {
		size = 8
	}
	buf = grown(&n.values, buf, 20+len(list)*(4+size))
	for _, word := range [...]uint32{1, 0, n.element, uint32(len(list)), 1} { // dimensions, no NULL, type, length, first index
		buf = binary.BigEndian.AppendUint32(buf, word)
	}
	for _, v := range list {
		buf = binary.BigEndian.AppendUint32(buf, uint32(size))
		if size == 8 {
			buf = binary.BigEndian.AppendUint64(buf, uint64(v))
		} else {
			buf = binary.BigEndian.AppendUint32(buf, uint32(v))
		}
	}
	return buf, nil
}
