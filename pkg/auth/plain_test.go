package auth

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
)

// TestExchange has each mechanism in each of its forms: with and without an initial response, whole and broken.
func TestExchange(t *testing.T) {
	t.Parallel()
	plain := func(authz, user, password string) []byte {
		return fmt.Appendf(nil, "%s\x00%s\x00%s", authz, user, password)
	}
	type turn struct{ challenge, answer string }
	for _, tt := range []struct {
		name, mech string
		initial    []byte
		turns      []turn
		err        error
	}{
		{"PLAIN at once", "PLAIN", plain("", alice, right), nil, nil},
		{"PLAIN asked", "PLAIN", nil, []turn{{"", string(plain("", alice, right))}}, nil},
		{"PLAIN as oneself", "PLAIN", plain("ALICE@example.org", alice, right), nil, nil},
		{"PLAIN as another", "PLAIN", plain("bob@example.org", alice, right), nil, ErrDenied},
		{"PLAIN wrong", "PLAIN", plain("", alice, "wrong"), nil, ErrDenied},
		{"PLAIN with too many NULs", "PLAIN", plain("", alice, right+"\x00"), nil, ErrCancelled},
		{"PLAIN without NUL", "PLAIN", []byte("alice"), nil, ErrCancelled},
		{"PLAIN empty", "PLAIN", []byte{}, nil, ErrCancelled},
		{"PLAIN asked, empty", "PLAIN", nil, []turn{{"", ""}}, ErrCancelled},
		{"LOGIN asked", "LOGIN", nil, []turn{{"Username:", alice}, {"Password:", right}}, nil},
		{"LOGIN with the name", "LOGIN", []byte(alice), []turn{{"Password:", right}}, nil},
		{"LOGIN wrong", "LOGIN", []byte(alice), []turn{{"Password:", "wrong"}}, ErrDenied},
		{"LOGIN with nothing", "LOGIN", nil, []turn{{"Username:", ""}, {"Password:", ""}}, ErrDenied},
		{"not offered", "CRAM-MD5", nil, nil, ErrMechanism},
		{"no name", "", nil, nil, ErrMechanism},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			turns := tt.turns
			ask := func(challenge []byte) ([]byte, error) {
				if len(turns) == 0 {
					return nil, errors.New("one challenge too many: " + string(challenge))
				}
				next := turns[0]
				turns = turns[1:]
				if challenge == nil || string(challenge) != next.challenge {
					t.Errorf("challenge %q, want %q", challenge, next.challenge)
				}
				if next.answer == "" {
					return nil, nil
				}
				return []byte(next.answer), nil
			}
			id, err := s.Exchange(t.Context(), Peer{Addr: home, TLS: true}, tt.mech, tt.initial, ask)
			if !errors.Is(err, tt.err) || (err == nil) != (id == Identity{Account: 1, User: alice}) || len(turns) > 0 {
				t.Errorf("Exchange = %+v, %v, %d answers left; want %v", id, err, len(turns), tt.err)
			}
		})
	}
}

// TestExchangeEnds has the client end the exchange, and the connection break: neither is a failure of the user's.
func TestExchangeEnds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, cause := range []error{ErrCancelled, io.ErrUnexpectedEOF} {
		for _, mech := range s.Mechanisms(Peer{TLS: true}) {
			ask := func([]byte) ([]byte, error) { return nil, cause }
			_, err := s.Exchange(t.Context(), Peer{Addr: home, TLS: true}, mech, nil, ask)
			if !errors.Is(err, cause) {
				t.Errorf("%s: %v, want %v", mech, err, cause)
			}
		}
	}
	if len(s.delays) > 0 || s.logs.Len() > 0 {
		t.Errorf("delays %v, lines %v", s.delays, s.logs.All())
	}
}

func TestMechanisms(t *testing.T) {
	t.Parallel()
	if got := newStage(t).Mechanisms(Peer{TLS: true}); !slices.Equal(got, []string{"SCRAM-SHA-256", "PLAIN", "LOGIN"}) {
		t.Errorf("Mechanisms = %v", got)
	}
}
