package imap

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// allTranscripts is the text of every transcript.
func allTranscripts(t *testing.T) string {
	t.Helper()
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
	return all.String()
}

// TestCommandsHaveTranscripts: a command comes with the conversation that shows it.
func TestCommandsHaveTranscripts(t *testing.T) {
	t.Parallel()
	all := allTranscripts(t)
	for name := range commands {
		if !regexp.MustCompile(`(?mi)^C\d*!?: \S+ ` + name + `\b`).MatchString(all) {
			t.Errorf("%s is in no transcript", name)
		}
	}
}

// TestCapabilitiesHaveTranscripts: what is advertised is shown to work, in a transcript that names its RFC.
func TestCapabilitiesHaveTranscripts(t *testing.T) {
	t.Parallel()
	all := allTranscripts(t)
	for _, o := range Capabilities() {
		if !strings.Contains(all, o.RFC) {
			t.Errorf("%s: no transcript names %s", o.Name, o.RFC)
		}
	}
}
