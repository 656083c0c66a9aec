package listen

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestRefusedManyTimes: a flood of connections is counted one by one, but is no flood of the log.
func TestRefusedManyTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, seen := observer.New(zap.InfoLevel)
		counted := 0
		l := &listener{o: Options{Log: zap.New(core), Refused: func(Reason) { counted++ }}}
		for range 1000 {
			l.refused(Full, "too many")
		}
		l.refused(Crowded, "too many")
		time.Sleep(refusalPause)
		l.refused(Full, "too many")
		l.refused(Unshaken, "")
		var others []any
		for _, e := range seen.All() {
			others = append(others, e.ContextMap()["others"])
		}
		if counted != 1003 || len(others) != 3 || others[0] != int64(0) || others[1] != int64(0) || others[2] != int64(999) {
			t.Errorf("%d counted, %v told of", counted, others)
		}
	})
}
