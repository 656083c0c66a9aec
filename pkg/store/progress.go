package store

import "context"

type progressKey struct{}

// WithProgress returns a context whose operations say how far they have come: done of total, in whatever they count; total is
// 0 when it is not known. report is called often and by any goroutine.
func WithProgress(ctx context.Context, report func(done, total int)) context.Context {
	return context.WithValue(ctx, progressKey{}, report)
}

// Progress tells whoever asked for it how far an operation has come. Stores call it in their long loops.
func Progress(ctx context.Context, done, total int) {
	if report, ok := ctx.Value(progressKey{}).(func(int, int)); ok {
		report(done, total)
	}
}
