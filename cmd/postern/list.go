package main

import (
	"context"

	"github.com/spf13/cobra"

	"postern/pkg/gateway"
	"postern/pkg/store/postgres"
)

// listing is a command that prints what there is of something: as a table, or as an array with --json.
type listing[T any] struct {
	columns string // their headings, tabs between
	all     func(ctx context.Context, b *gateway.Backend, args []string) ([]T, error)
	row     func(T) string // tabs between the columns
	object  func(T) any    // for --json; its names are kept from release to release
}

// command adds the listing to a command that says how it is called.
func (l listing[T]) command(cmd *cobra.Command) *cobra.Command {
	var asArray bool
	cmd.Flags().BoolVar(&asArray, "json", false, "print an array of JSON objects")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withBackend(cmd, func(ctx context.Context, b *gateway.Backend) error {
			all, err := l.all(ctx, b, args)
			if err != nil {
				return err
			}
			if asArray {
				return printJSON(cmd, mapped(all, l.object))
			}
			return printTable(cmd.OutOrStdout(), append([]string{l.columns}, mapped(all, l.row)...))
		})
	}
	return cmd
}

// ofAccount lists what belongs to the account that the first argument names.
func ofAccount[T any](all func(context.Context, *postgres.Store, postgres.AccountInfo) ([]T, error)) func(context.Context, *gateway.Backend, []string) ([]T, error) {
	return func(ctx context.Context, b *gateway.Backend, args []string) ([]T, error) {
		a, err := b.Store.AccountByAddress(ctx, args[0])
		if err != nil {
			return nil, explain(err, args[0])
		}
		return all(ctx, b.Store, a)
	}
}

// mapped is what f makes of each; never nil, so that there is an array even of nothing.
func mapped[T, U any](list []T, f func(T) U) []U {
	out := make([]U, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}
