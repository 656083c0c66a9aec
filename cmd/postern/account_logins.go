package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"postern/pkg/auth"
	"postern/pkg/store/postgres"
)

// loginJSON is a login as --json prints it.
type loginJSON struct {
	Time      time.Time `json:"time"`
	Count     int       `json:"count"`
	Address   string    `json:"address"`
	Protocol  string    `json:"protocol"`
	Mechanism string    `json:"mechanism"`
	Client    string    `json:"client"`
	Result    string    `json:"result"`
}

func accountLogins() *cobra.Command {
	var asArray bool
	cmd := &cobra.Command{
		Use:   "logins ADDRESS",
		Short: "Show the login history of an account, the latest first",
		Args:  takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				all, err := st.Logins(ctx, a.ID)
				if err != nil {
					return err
				}
				if asArray {
					list := make([]loginJSON, len(all))
					for i, r := range all {
						list[i] = loginJSON{r.At.UTC(), r.Count, addressText(r), r.Protocol, r.Mechanism, r.Client, r.Result}
					}
					return printJSON(cmd, list)
				}
				rows := []string{"TIME\tCOUNT\tADDRESS\tPROTOCOL\tMECHANISM\tCLIENT\tRESULT"}
				for _, r := range all {
					rows = append(rows, fmt.Sprintf("%s\t%d\t%s\t%s\t%s\t%s\t%s", r.At.UTC().Format(time.RFC3339), r.Count,
						addressText(r), r.Protocol, r.Mechanism, r.Client, r.Result))
				}
				return printTable(cmd.OutOrStdout(), rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asArray, "json", false, "print an array of JSON objects")
	return cmd
}

func addressText(r auth.Record) string {
	if !r.Addr.IsValid() {
		return "local"
	}
	return r.Addr.String()
}
