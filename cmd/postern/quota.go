package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"postern/pkg/store"
	"postern/pkg/store/postgres"
)

func accountQuota() *cobra.Command {
	var storage string
	var messages, mailboxes int64
	cmd := &cobra.Command{
		Use:     "quota ADDRESS",
		Short:   "Show or set what an account may hold",
		Long:    "Show or set what an account may hold. 0 means no limit. What is there already stays; nothing is added until it fits.",
		Example: "  postern account quota anna@example.org --storage 2GB --messages 100000 --mailboxes 1000",
		Args:    takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			octets, err := parseLimit(storage)
			if err != nil {
				return err
			}
			if messages < 0 || mailboxes < 0 {
				return fmt.Errorf("a limit is a number, or 0 for none")
			}
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				flags := cmd.Flags()
				if flags.Changed("storage") {
					a.Quota = octets
				}
				if flags.Changed("messages") {
					a.MessageLimit = messages
				}
				if flags.Changed("mailboxes") {
					a.MailboxLimit = mailboxes
				}
				if flags.Changed("storage") || flags.Changed("messages") || flags.Changed("mailboxes") {
					if err := st.SetLimits(ctx, a.ID, store.Limits{Octets: a.Quota, Messages: a.MessageLimit, Mailboxes: a.MailboxLimit}); err != nil {
						return err
					}
				}
				return printTable(cmd.OutOrStdout(), []string{
					"RESOURCE\tUSED\tQUOTA",
					fmt.Sprintf("storage\t%s\t%s", humanize.Bytes(uint64(a.Used)), quotaText(a.Quota)),
					fmt.Sprintf("messages\t%d\t%s", a.Messages, limitText(a.MessageLimit)),
					fmt.Sprintf("mailboxes\t%d\t%s", a.Mailboxes, limitText(a.MailboxLimit)),
				})
			})
		},
	}
	cmd.Flags().StringVar(&storage, "storage", "", "most the messages may take, as in 500MB or 2GB")
	cmd.Flags().Int64Var(&messages, "messages", 0, "most messages")
	cmd.Flags().Int64Var(&mailboxes, "mailboxes", 0, "most mailboxes")
	return cmd
}

// parseLimit is parseQuota, with 0 for no limit.
func parseLimit(s string) (int64, error) {
	if s == "0" {
		return 0, nil
	}
	return parseQuota(s)
}

func limitText(n int64) string {
	if n == 0 {
		return "none"
	}
	return strconv.FormatInt(n, 10)
}
