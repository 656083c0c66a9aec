package embedded

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// message builds one message of the server.
func message(kind byte, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))) + body
}

func TestReadWelcome(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"let in", message('R', "\x00\x00\x00\x00") + message('S', "a\x00b\x00") + message('Z', "I"), nil},
		{"starting", message('E', "SFATAL\x00C57P03\x00Mthe database system is starting up\x00\x00"), errStarting},
		{"full", message('E', "SFATAL\x00C53300\x00Msorry\x00\x00"), nil},
		{"refused", message('E', "SFATAL\x00C3D000\x00Mdatabase does not exist\x00\x00"), errRefused},
		{"error without an end", message('E', "SFATAL\x00C57P03"), errStarting},
		{"empty error", message('E', ""), errRefused},
		{"closed", "", io.EOF},
		{"cut", message('R', "\x00\x00\x00\x00")[:6], io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := readWelcome(strings.NewReader(tt.in)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	if err := readWelcome(strings.NewReader("HTTP/1.1 400 Bad Request\r\n\r\n")); err == nil {
		t.Error("another kind of server is taken for PostgreSQL")
	}
}
