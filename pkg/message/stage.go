package message

import (
	"errors"
	"io"
	"sync"

	"golang.org/x/text/transform"
)

// stageBuffer is how many octets a stage reads at once, and as many is what it makes of them at once.
const stageBuffer = 8 << 10

// stage does what transform.Reader does, in memory that is used again: a search decodes thousands of texts, most of them small,
// and would spend more time on the garbage than on them.
type stage struct {
	r   io.Reader
	t   transform.Transformer
	err error // of reading, or what ends it all
	end bool  // nothing more is made

	src, dst [stageBuffer]byte
	in, out  [2]int // what has not been transformed of src, and not been read of dst: from and to
}

var stages = sync.Pool{New: func() any { return new(stage) }}

// newStage returns a reader of what t makes of what r yields. It may be released when it is done.
func newStage(r io.Reader, t transform.Transformer) *stage {
	s := stages.Get().(*stage)
	s.r, s.t, s.err, s.end = r, t, nil, false
	s.in, s.out = [2]int{}, [2]int{}
	return s
}

// release gives back the memory of a reader's stages, if it has any. Nothing of it may be used any more.
func release(r io.Reader) {
	for s, ok := r.(*stage); ok; s, ok = r.(*stage) {
		r, s.r, s.t = s.r, nil, nil
		stages.Put(s)
	}
}

// Read implements io.Reader.
func (s *stage) Read(p []byte) (int, error) {
	for s.out[0] == s.out[1] {
		if s.end {
			return 0, s.err
		}
		s.step()
	}
	n := copy(p, s.dst[s.out[0]:s.out[1]])
	s.out[0] += n
	return n, nil
}

// step makes some more, or reads what that takes. When nothing more can be read there is still something to be made: what the
// transformer has kept.
func (s *stage) step() {
	if s.in[0] == s.in[1] && s.err == nil {
		s.fill()
		return
	}
	made, used, err := s.t.Transform(s.dst[:], s.src[s.in[0]:s.in[1]], isEOF(s.err))
	s.in[0] += used
	s.out = [2]int{0, made}
	switch {
	case err == nil:
		s.end = s.err != nil
	case errors.Is(err, transform.ErrShortDst) && made+used > 0:
	case errors.Is(err, transform.ErrShortSrc) && s.err == nil && s.in[1]-s.in[0] < stageBuffer:
		s.fill()
	default:
		if s.end = true; s.err == nil || isEOF(s.err) {
			s.err = err
		}
	}
}

// fill reads more behind what has not been transformed.
func (s *stage) fill() {
	s.in = [2]int{0, copy(s.src[:], s.src[s.in[0]:s.in[1]])}
	var n int
	n, s.err = s.r.Read(s.src[s.in[1]:])
	s.in[1] += n
}

// peek returns the first n octets of what is to be transformed, or as many as there are. An error of reading comes again.
func (s *stage) peek(n int) []byte {
	for s.in[1] < n && s.err == nil {
		s.fill()
	}
	return s.src[:min(s.in[1], n)]
}
