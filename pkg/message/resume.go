package message

import (
	"io"

	"golang.org/x/text/transform"
)

// Mark is a place in the content of a part up to which it has been decoded. Whoever reads a part in fragments, one after the
// other, keeps it so that each need not begin with decoding all that was before it. The zero Mark is the beginning.
type Mark struct {
	decoded int64 // octets
	encoded int64 // those they came from
	base64  base64Decoder
}

// DecodedFrom is Decoded without the first offset octets of what it returns. It begins at mark, which must be of the same part,
// unless that is beyond offset, and moves mark along with what is read.
func (p *Part) DecodedFrom(body io.ReaderAt, path []int, offset int64, mark *Mark) (io.Reader, error) {
	r, err := p.Decoded(body, path)
	if err != nil {
		return nil, err
	}
	if s, ok := r.(*io.SectionReader); ok { // nothing is encoded
		offset = min(offset, s.Size())
		return io.NewSectionReader(s, offset, s.Size()-offset), nil
	}
	if mark.decoded > offset {
		*mark = Mark{}
	}
	part := p.Find(path)
	d := &markingDecoder{mark: mark, at: *mark}
	if part.Encoding != "BASE64" {
		d.quoted = &quotedDecoder{}
	}
	r = transform.NewReader(section(body, part.Body+mark.encoded, part.End), d)
	if _, err := io.CopyN(io.Discard, r, offset-mark.decoded); err != nil && !isEOF(err) {
		return nil, err
	}
	return r, nil
}

// markingDecoder is a transform.Transformer that keeps a Mark. transform.Reader asks for more when all it got has been read,
// so that a Mark set before giving more is never beyond what has been read.
type markingDecoder struct {
	mark   *Mark
	at     Mark
	quoted *quotedDecoder // nil for base64, which is in at
}

// Reset implements transform.Transformer. The state is that of the Mark it began with.
func (d *markingDecoder) Reset() {}

// Transform implements transform.Transformer.
func (d *markingDecoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	*d.mark = d.at
	if d.quoted != nil {
		nDst, nSrc, err = d.quoted.Transform(dst, src, atEOF)
	} else {
		nDst, nSrc, err = d.at.base64.Transform(dst, src, atEOF)
	}
	d.at.decoded += int64(nDst)
	d.at.encoded += int64(nSrc)
	return nDst, nSrc, err
}
