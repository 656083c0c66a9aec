package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"postern/pkg/gateway"
	"postern/pkg/store/postgres"
)

func accountCapabilities() *cobra.Command {
	var disable []string
	var reset bool
	cmd := &cobra.Command{
		Use:   "capabilities ADDRESS",
		Short: "Show or set which IMAP capabilities an account does without",
		Long: "Show or set which IMAP capabilities an account does without. What is disabled is not offered to it and behaves as if it\n" +
			"did not exist, from the next login on: for the one client that cannot cope.",
		Example: "  postern account capabilities anna@example.org --disable NOTIFY,COMPRESS=DEFLATE\n" +
			"  postern account capabilities anna@example.org --reset",
		Args: takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := gateway.CheckCapabilities(disable)
			if err != nil {
				return err
			}
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				if reset || len(names) > 0 {
					a.Disable = strings.Join(names, ",")
					if err := st.SetCapabilities(ctx, a.ID, a.Disable); err != nil {
						return err
					}
				}
				if a.Disable == "" {
					return say(cmd, "%s has every capability.\n", a.Address)
				}
				return say(cmd, "%s does without %s.\n", a.Address, strings.ReplaceAll(a.Disable, ",", ", "))
			})
		},
	}
	cmd.Flags().StringSliceVar(&disable, "disable", nil, "capabilities to do without, in place of those set before")
	cmd.Flags().BoolVar(&reset, "reset", false, "offer everything again")
	cmd.MarkFlagsMutuallyExclusive("disable", "reset")
	return cmd
}
