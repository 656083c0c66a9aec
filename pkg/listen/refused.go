package listen

import (
	"time"

	"go.uber.org/zap"
)

// refusalPause is how long the log is silent of refused connections of a kind after it has told of one: who floods us with
// connections is not to flood the log.
const refusalPause = 10 * time.Second

// refusals are those of a kind of which the log has not told.
type refusals struct {
	silent time.Time // until when
	untold int
}

// refused tells of a connection that does not get to the protocol; the log too, if there is a text.
func (l *listener) refused(reason Reason, text string, about ...zap.Field) {
	if l.o.Refused != nil {
		l.o.Refused(reason)
	}
	if text == "" {
		return
	}
	if untold, ok := l.telling(reason, time.Now()); ok {
		l.o.Log.Warn("connection refused: "+text, append(about, zap.Int("others", untold))...)
	}
}

// telling reports whether it is time to tell of such a refusal, and how many there have been that nobody was told of.
func (l *listener) telling(reason Reason, now time.Time) (untold int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.refusals[reason]
	untold, ok = r.untold, !now.Before(r.silent)
	if ok {
		r = refusals{silent: now.Add(refusalPause)}
	} else {
		r.untold++
	}
	if l.refusals == nil {
		l.refusals = make(map[Reason]refusals)
	}
	l.refusals[reason] = r
	return untold, ok
}
