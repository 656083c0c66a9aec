package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postern/pkg/gateway"
	"postern/pkg/store"
	"postern/pkg/store/postgres"
)

func aliasCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "alias",
		Short: "Add, list and delete other addresses of accounts",
		Long: `Add, list and delete other addresses of accounts. "@example.org" is the catch-all: it takes mail for every address of
the domain that has no account and no alias of its own.`,
	}, aliasAdd(), aliasList(), aliasDelete())
}

func aliasAdd() *cobra.Command {
	return &cobra.Command{
		Use:     "add ADDRESS TARGET...",
		Short:   "Let mail for an address go to one or several accounts",
		Example: "  postern alias add sales@example.org anna@example.org bert@example.org\n  postern alias add @example.org anna@example.org",
		Args:    takes(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withBackend(cmd, func(ctx context.Context, b *gateway.Backend) error {
				err := b.Store.AddAlias(ctx, args[0], args[1:]...)
				switch {
				case errors.Is(err, store.ErrNotFound):
					return fmt.Errorf("every target must be an account or an alias of this server; \"postern account list\" shows the accounts: %w", err)
				case errors.Is(err, postgres.ErrAliasLoop):
					return fmt.Errorf("%s would lead back to itself, or through too many other aliases", args[0])
				case err != nil:
					return explain(err, args[0])
				}
				return say(cmd, "Mail for %s goes to %s.\n", args[0], strings.Join(args[1:], ", "))
			})
		},
	}
}

// aliasJSON is an alias as --json prints it.
type aliasJSON struct {
	Address string   `json:"address"`
	Targets []string `json:"targets"`
}

func aliasList() *cobra.Command {
	return listing[postgres.Alias]{
		columns: "ADDRESS\tTARGETS",
		all: func(ctx context.Context, b *gateway.Backend, _ []string) ([]postgres.Alias, error) {
			return b.Store.ListAliases(ctx)
		},
		row:    func(a postgres.Alias) string { return a.Address + "\t" + strings.Join(a.Targets, ", ") },
		object: func(a postgres.Alias) any { return aliasJSON(a) },
	}.command(&cobra.Command{Use: "list", Short: "List the aliases", Args: takes(cobra.NoArgs)})
}

func aliasDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete ADDRESS [TARGET...]",
		Short: "Delete an alias, or only some of its targets",
		Args:  takes(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withBackend(cmd, func(ctx context.Context, b *gateway.Backend) error {
				err := b.Store.DeleteAlias(ctx, args[0], args[1:]...)
				switch {
				case errors.Is(err, store.ErrNotFound):
					return fmt.Errorf("there is no such alias; \"postern alias list\" shows those there are: %w", err)
				case errors.Is(err, postgres.ErrAliasUsed):
					return fmt.Errorf("%s is the target of another alias: delete that one first", args[0])
				case err != nil:
					return explain(err, args[0])
				}
				return say(cmd, "Deleted %s.\n", strings.Join(args, " "))
			})
		},
	}
}
