package pop3

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
	"postern/pkg/transcript"
)

// TestTranscripts plays the conversations in testdata; its README describes their language.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	transcript.Run(t, func(t *testing.T) transcript.World { return newWorld(t) })
}

// Addr is where the server listens.
func (w *world) Addr() string { return w.addr }

// Direct does what a line of a transcript says that is no conversation.
func (w *world) Direct(p *transcript.Play, words []string) bool {
	switch words[0] {
	case "message":
		for _, name := range words[1:] {
			w.deliver(p.Section(name))
		}
	case "expunge":
		for _, word := range words[1:] {
			uid, err := strconv.ParseUint(word, 10, 32)
			if err != nil {
				p.Fatalf("%v", err)
			}
			w.expunge(imap.UID(uid))
		}
	case "sweep":
		w.store.Sweep()
	case "fail":
		w.store.fail(strings.Join(words[1:], " "), fmt.Errorf("on purpose: %w", store.ErrUnavailable))
	case "break":
		w.store.fail(strings.Join(words[1:], " "), errors.New("a bug, on purpose"))
	case "heal":
		w.store.heal()
	case "lose-lease":
		w.store.loseLeases()
	case "drop":
		p.Drop(words[1])
		w.awaitUnlocked()
	case "inbox":
		if got := fmt.Sprint(w.uids()); got != "["+strings.Join(words[1:], " ")+"]" {
			p.Fatalf("INBOX holds %s", got)
		}
	default:
		return false
	}
	return true
}
