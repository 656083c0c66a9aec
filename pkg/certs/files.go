package certs

import (
	"os"
	"time"
)

// fingerprint tells a changed pair of files from an unchanged one. Tools that renew certificates replace links, so it is
// what a path leads to that counts.
type fingerprint struct{ cert, key fileState }

type fileState struct {
	mod  time.Time
	size int64
}

func look(cert, key string) fingerprint { return fingerprint{stateOf(cert), stateOf(key)} }

// stateOf is zero for a file that is not there: load will say why.
func stateOf(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	return fileState{info.ModTime(), info.Size()}
}
