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
	return listing[auth.Record]{
		columns: "TIME\tCOUNT\tADDRESS\tPROTOCOL\tMECHANISM\tCLIENT\tRESULT",
		all: ofAccount(func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) ([]auth.Record, error) {
			return st.Logins(ctx, a.ID)
		}),
		row: func(r auth.Record) string {
			return fmt.Sprintf("%s\t%d\t%s\t%s\t%s\t%s\t%s", r.At.UTC().Format(time.RFC3339), r.Count,
				addressText(r), r.Protocol, r.Mechanism, r.Client, r.Result)
		},
		object: func(r auth.Record) any {
			return loginJSON{r.At.UTC(), r.Count, addressText(r), r.Protocol, r.Mechanism, r.Client, r.Result}
		},
	}.command(&cobra.Command{
		Use:   "logins ADDRESS",
		Short: "Show the login history of an account, the latest first",
		Args:  takes(cobra.ExactArgs(1)),
	})
}

func addressText(r auth.Record) string {
	if !r.Addr.IsValid() {
		return "local"
	}
	return r.Addr.String()
}
