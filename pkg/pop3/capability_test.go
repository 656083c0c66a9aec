package pop3

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCommandsHaveTranscripts: a command comes with the conversation that shows it.
func TestCommandsHaveTranscripts(t *testing.T) {
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
	for name := range commands {
		if !regexp.MustCompile(`(?mi)^C\d*!?: ` + name + `\b`).MatchString(all.String()) {
			t.Errorf("%s is in no transcript", name)
		}
	}
}
