package bench

import (
	"context"
	"crypto/tls"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	loginsAtOnce = 8
	loginsInAll  = 64 // of one round, but at most as many as Options.Sample
)

func loginSteps() []Step {
	step := func(name, title string, resumed bool) Step {
		return Step{
			Name: name, Title: title, Group: "Login", Unit: "logins/s", HigherIsBetter: true,
			run: func(ctx context.Context, b *Bench) (float64, error) { return b.loginRate(ctx, resumed) },
		}
	}
	return []Step{
		step("login-full", "IMAP logins by 8 clients, full TLS handshakes", false),
		step("login-resumed", "IMAP logins by 8 clients, resumed TLS", true),
	}
}

func (b *Bench) loginRate(ctx context.Context, resumed bool) (float64, error) {
	conf := b.tls
	if resumed {
		conf = conf.Clone()
		conf.ClientSessionCache = tls.NewLRUClientSessionCache(loginsAtOnce)
		for range 2 { // the first has the ticket, the second shows whether it is taken
			if _, err := b.loginOnce(ctx, b.archivist(), conf); err != nil {
				return 0, err
			}
		}
	}
	n := min(loginsInAll, b.o.Sample)
	return b.rate(func() (float64, time.Duration, error) {
		var next, resumptions atomic.Int64
		spent, err := timed(func() error {
			var all errgroup.Group
			for range loginsAtOnce {
				all.Go(func() error {
					for {
						i := int(next.Add(1)) - 1
						if i >= n {
							return nil
						}
						was, err := b.loginOnce(ctx, b.target.Logins[i%len(b.target.Logins)], conf)
						if err != nil {
							return err
						}
						if was {
							resumptions.Add(1)
						}
					}
				})
			}
			return all.Wait()
		})
		if err == nil && resumed && resumptions.Load() < int64(n)*9/10 {
			err = unable("the server does not resume TLS sessions")
		}
		return float64(n), spent, err
	})
}

// loginOnce connects, logs in and out, and says whether TLS was resumed.
func (b *Bench) loginOnce(ctx context.Context, l Login, conf *tls.Config) (resumed bool, err error) {
	c, err := b.imapWith(ctx, l, conf)
	if err != nil {
		return false, err
	}
	defer c.close()
	if s, ok := c.conn.(*tls.Conn); ok {
		resumed = s.ConnectionState().DidResume
	}
	return resumed, c.logout()
}
