package imap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCapabilitiesHaveTranscripts: what is advertised is shown to work, in a transcript that names its RFC.
func TestCapabilitiesHaveTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for _, o := range Capabilities() {
		if !strings.Contains(all.String(), o.RFC) {
			t.Errorf("%s: no transcript names %s", o.Name, o.RFC)
		}
	}
}
