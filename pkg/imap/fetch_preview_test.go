package imap

import (
	"strings"
	"testing"

	"postern/pkg/message"
	"postern/pkg/store"
)

// TestPreviewOfOld asks for previews of a message from before they were kept.
func TestPreviewOfOld(t *testing.T) {
	t.Parallel()
	const octets = "\r\nHello\r\n"
	m := &store.Message{Part: &message.Part{Body: 2, End: 9, Type: "TEXT", Subtype: "PLAIN", Encoding: "7BIT"}, Body: strings.NewReader(octets)}
	x, err := previewItem.open(m, nil)
	if err != nil || x.text == nil || *x.text != "Hello" {
		t.Errorf("PREVIEW: %+v, %v", x, err)
	}
	if x, err = lazyPreviewItem.open(m, nil); err != nil || !x.missing {
		t.Errorf("PREVIEW (LAZY): %+v, %v", x, err)
	}
	m.Body = unreadableBody{}
	if _, err = previewItem.open(m, nil); err == nil {
		t.Error("PREVIEW of a message that cannot be read is no error")
	}
}

// unreadableBody cannot be read.
type unreadableBody struct{}

func (unreadableBody) ReadAt([]byte, int64) (int, error) { return 0, store.ErrUnavailable }
