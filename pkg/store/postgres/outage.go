package postgres

import (
	"context"
	"errors"
	"sync"

	"go.uber.org/zap"

	"postern/pkg/store"
)

// outage makes one log line of the many errors that the background work meets while the database is away, and one when
// it is back. It is safe for concurrent use.
type outage struct {
	log *zap.Logger

	mu   sync.Mutex
	down map[string]bool // the parts that have failed since they last worked
}

// report takes down whether a part of the background work has worked.
func (o *outage) report(part string, err error) {
	if errors.Is(err, context.Canceled) {
		return // we are being closed
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		if o.down[part] {
			delete(o.down, part)
			if len(o.down) == 0 {
				o.log.Info("database is back")
			}
		}
		return
	}
	if err = failed(part, err); !errors.Is(err, store.ErrUnavailable) {
		o.log.Error("background work failed", zap.Error(err))
		return
	}
	if len(o.down) == 0 {
		o.log.Warn("database is away; trying until it returns", zap.Error(err))
		o.down = make(map[string]bool)
	}
	o.down[part] = true
}
