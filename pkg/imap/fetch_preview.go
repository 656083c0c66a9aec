// PREVIEW (RFC 8970).

package imap

import (
	"fmt"

	"postern/pkg/imap/wire"
	"postern/pkg/store"
)

// preview is PREVIEW, the beginning of what a message says. It was made when the message came; of one that came before there
// were previews it is made now, unless the client has said that it would rather not wait for it.
type preview struct{ lazy bool }

var (
	previewItem     = &preview{}
	lazyPreviewItem = &preview{lazy: true}
)

// parsePreview reads the item in a list of items, where its modifiers stand behind it (RFC 8970 §6).
func parsePreview(d *wire.Decoder) item {
	it := previewItem
	if !d.PeekList() {
		return it
	}
	d.SP().List(func() {
		if d.Keyword() != "LAZY" {
			d.Fail("LAZY before this")
		}
		it = lazyPreviewItem
	})
	if it == previewItem {
		d.Fail("LAZY before this")
	}
	return it
}

// lazy reports whether PREVIEW (LAZY) is all that is asked for, as it can be without parentheses around.
func (r *fetchRequest) lazy() bool { return len(r.items) == 1 && r.items[0] == item(lazyPreviewItem) }

func (it *preview) needs() store.Fields { return store.WithPart }

func (it *preview) marksSeen() bool { return false }

func (it *preview) open(m *store.Message, _ *windows) (content, error) {
	text := m.Part.Preview
	if text == nil && !it.lazy {
		s, err := m.Part.MakePreview(m.Body)
		if err != nil {
			return content{}, fmt.Errorf("make preview: %w", err)
		}
		text = &s
	}
	return content{label: "PREVIEW", text: text, missing: text == nil}, nil
}
