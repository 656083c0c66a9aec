package message

import "os"

// Shelf is one temporary file for any number of messages, for those who hold many at once. They are spooled one after the
// other; a message that is given up still takes its place. The zero Shelf is empty. A Shelf is closed after all messages on it.
type Shelf struct {
	file *os.File
	end  int64
}

// open begins a message: it returns the file and where in it the message is.
func (s *Shelf) open(dir string) (f *os.File, base int64, err error) {
	if s.file == nil {
		if s.file, err = unnamed(dir); err != nil {
			return nil, 0, err
		}
	}
	return s.file, s.end, nil
}

func (s *Shelf) write(b []byte) error {
	n, err := s.file.WriteAt(b, s.end)
	s.end += int64(n)
	return err
}

// Close gives the file back.
func (s *Shelf) Close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}
