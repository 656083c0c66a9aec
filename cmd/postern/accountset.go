package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"postern/pkg/store/postgres"
)

func accountSet() *cobra.Command {
	var appOnly bool
	cmd := &cobra.Command{
		Use:     "set ADDRESS",
		Short:   "Say how an account may log in",
		Example: "  postern account set anna@example.org --app-passwords-only",
		Args:    takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("app-passwords-only") {
				return errors.New("nothing to set; there is --app-passwords-only")
			}
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				if err := st.SetAppOnly(ctx, a.ID, appOnly); err != nil {
					return err
				}
				if appOnly {
					return say(cmd, "%s logs in by app passwords only; sessions of its own password end.\n", a.Address)
				}
				return say(cmd, "%s logs in by its own password too.\n", a.Address)
			})
		},
	}
	cmd.Flags().BoolVar(&appOnly, "app-passwords-only", false, "refuse the account's own password")
	return cmd
}
