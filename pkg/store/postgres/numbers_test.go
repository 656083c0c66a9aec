package postgres

import (
	"math"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
)

// TestNumberLists encodes lists of numbers as pgtype does.
func TestNumberLists(t *testing.T) {
	t.Parallel()
	e := newEncoders()
	type named int64
	for _, row := range []struct {
		oid   uint32
		value any
	}{
		{pgtype.Int8ArrayOID, []int64{}},
		{pgtype.Int8ArrayOID, []int64(nil)},
		{pgtype.Int8ArrayOID, []int64{0, 1, -1, math.MaxInt64, math.MinInt64}},
		{pgtype.Int8ArrayOID, make([]int64, 1000)},
		{pgtype.Int8ArrayOID, []named{1, -2}},
		{pgtype.Int8ArrayOID, []int32{1, -2}},
		{pgtype.Int4ArrayOID, []int32{}},
		{pgtype.Int4ArrayOID, []int32{0, 1, -1, math.MaxInt32, math.MinInt32}},
		{pgtype.Int4ArrayOID, []int64{7}},
	} {
		for _, format := range []int16{pgtype.BinaryFormatCode, pgtype.TextFormatCode} {
			e.expect(t, row.oid, format, row.value, row.value)
		}
	}
}
