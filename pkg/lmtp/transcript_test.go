package lmtp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"postern/pkg/store"
	"postern/pkg/transcript"
)

// TestTranscripts plays the conversations in testdata; its README describes their language.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	transcript.Run(t, func(t *testing.T) transcript.World { return newWorld(t) })
}

// Addr is where the server listens, which it does from now on: its options stay as they are.
func (w *world) Addr() string { return w.start() }

// Direct does what a line of a transcript says that is no conversation.
func (w *world) Direct(p *transcript.Play, words []string) bool {
	switch words[0] {
	case "server":
		for _, option := range words[1:] {
			w.configure(p, option)
		}
	case "account":
		w.add(words[1], number(p, words[2]))
	case "alias":
		w.store.AddAlias(words[1], words[2:]...)
	case "folder":
		if _, err := w.account(words[1]).Create(context.Background(), words[2]); err != nil {
			p.Fatalf("%v", err)
		}
	case "count":
		if n := len(w.messages(words[1], words[2])); int64(n) != number(p, words[3]) {
			p.Fatalf("there are %d", n)
		}
	case "show":
		texts := w.messages(words[1], words[2])
		p.Show(texts[len(texts)-1])
	case "fail":
		w.store.fail(strings.Join(words[1:], " "), fmt.Errorf("on purpose: %w", store.ErrUnavailable))
	case "break":
		w.store.fail(strings.Join(words[1:], " "), errors.New("a bug, on purpose"))
	case "heal":
		w.store.heal()
	default:
		return false
	}
	return true
}

func (w *world) configure(p *transcript.Play, option string) {
	name, value, _ := strings.Cut(option, "=")
	switch name {
	case "size":
		w.server.MaxSize = number(p, value)
	case "recipients":
		w.server.MaxRecipients = int(number(p, value))
	case "quota":
		w.server.QuotaReject = value == "reject"
	case "detail":
		w.server.Detail = Detail(value)
	default:
		p.Fatalf("what is %q?", option)
	}
}

func number(p *transcript.Play, word string) int64 {
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		p.Fatalf("%v", err)
	}
	return n
}
