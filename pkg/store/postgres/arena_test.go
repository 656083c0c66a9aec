package postgres

import (
	"io"
	"sync"
	"testing"

	"postern/pkg/store"
)

// TestPassing downloads mailboxes at once in memory that is used again and again, and reads every body a second time when
// its memory has gone to others.
func TestPassing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.s.kept = newKept(0)
	var texts []string
	for i := range 150 {
		texts = append(texts, plain("number", 100+i*311), lots(200+i*97))
	}
	f.mail(texts...)
	if _, err := f.a.Copy(t.Context(), f.inbox, f.inbox, uidRange(290, 300)); err != nil { // two in a page with one body
		t.Fatal(err)
	}
	texts = append(texts, texts[289:]...)
	snap := f.openInbox(f.a)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var kept []*store.Message
			for m, err := range f.a.Messages(t.Context(), snap, allUIDs, store.WithHeader|store.WithBody|store.Passing) {
				if err != nil {
					t.Error(err)
					return
				}
				expectBody(t, m, texts[len(kept)])
				kept = append(kept, m)
			}
			for i, m := range kept {
				if i%7 == 0 {
					expectBody(t, m, texts[i])
				}
			}
		})
	}
	wg.Wait()
}

func expectBody(t *testing.T, m *store.Message, text string) {
	t.Helper()
	got, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
	if err != nil || string(got) != text {
		t.Errorf("UID %d: %d octets, want %d; %v", m.UID, len(got), len(text), err)
	}
}
