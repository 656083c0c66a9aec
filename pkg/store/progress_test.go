package store

import "testing"

func TestProgress(t *testing.T) {
	t.Parallel()
	Progress(t.Context(), 1, 2) // nobody has asked
	var got [2]int
	Progress(WithProgress(t.Context(), func(done, total int) { got = [2]int{done, total} }), 3, 4)
	if got != [2]int{3, 4} {
		t.Errorf("heard %v", got)
	}
}
