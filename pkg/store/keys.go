package store

import (
	"fmt"

	"postern/pkg/order"
)

// KeysNeed is what Messages must bring for KeyFields.
const KeysNeed = WithPart | WithHeader

// KeyFields makes the keys of a message by which SORT and THREAD order it. It is their definition: a store may keep them, but
// has no others. A message's octets never change, and so do its keys.
func KeyFields(m *Message) (order.Fields, error) {
	if m.Part == nil {
		return order.Fields{}, errNoPart
	}
	references, err := m.Part.Field(m.Body, "References")
	if err != nil {
		return order.Fields{}, fmt.Errorf("make keys of UID %d: %w", m.UID, err)
	}
	return order.Of(m.Part, references), nil
}
