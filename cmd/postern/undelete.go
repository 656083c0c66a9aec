package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"postern/pkg/store/postgres"
)

// undeleteOptions are the command's own flags.
type undeleteOptions struct {
	mailbox, into, since string
	list                 bool
}

func undeleteCommand() *cobra.Command {
	var o undeleteOptions
	cmd := &cobra.Command{
		Use:   "undelete ADDRESS",
		Short: "Restore messages that were expunged",
		Long: `Restores what was expunged from an account's mailboxes, for as long as store.undelete says, as new messages in the
mailbox they were in. Whole commands are restored: all that one EXPUNGE, or one POP3 session, removed. What is restored is no
longer listed. It can be interrupted and run again.`,
		Example: "  postern undelete anna@example.org --list\n  postern undelete anna@example.org --mailbox INBOX --since 2h\n" +
			"  postern undelete anna@example.org --since 2026-03-01T12:00:00Z --into Restored",
		Args: takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			since, err := parseSince(o.since, time.Now())
			if err != nil {
				return err
			}
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				records, err := st.ListExpunged(ctx, a.ID, o.mailbox, since)
				switch {
				case err != nil:
					return err
				case o.list:
					return printExpunged(cmd, records)
				}
				return undelete(cmd, st, a, records, o.into)
			})
		},
	}
	cmd.Flags().StringVar(&o.mailbox, "mailbox", "", "only what was in the mailbox of this name (default: all)")
	cmd.Flags().StringVar(&o.into, "into", "", "restore into the mailbox of this name, made if there is none (default: where they were)")
	cmd.Flags().StringVar(&o.since, "since", "", "only what was expunged since: 90m, 2h, or a time like 2026-03-01T12:00:00Z (default: all)")
	cmd.Flags().BoolVar(&o.list, "list", false, "list what can be restored, and change nothing")
	return cmd
}

// parseSince reads a duration before now or a time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("--since %q: write a duration as in 90m or 2h, or a time like 2026-03-01T12:00:00Z", text)
	}
	return at, nil
}

func printExpunged(cmd *cobra.Command, records []postgres.Expunged) error {
	rows := []string{"EXPUNGED\tMAILBOX\tMESSAGES\tSIZE\tBY\tSESSION"}
	for _, e := range records {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%s\t%s\t%s", e.At.UTC().Format(time.RFC3339), e.Mailbox, e.Messages,
			humanize.Bytes(uint64(e.Octets)), e.Protocol, e.Session))
	}
	return printTable(cmd.OutOrStdout(), rows)
}

func undelete(cmd *cobra.Command, st *postgres.Store, a postgres.AccountInfo, records []postgres.Expunged, into string) error {
	restored, lost := 0, 0
	for _, e := range records {
		n, err := st.Undelete(cmd.Context(), a.ID, e, into)
		if err != nil {
			return fmt.Errorf("after %d messages were restored: %w", restored, err)
		}
		restored, lost = restored+n, lost+e.Messages-n
	}
	if lost > 0 {
		if err := say(cmd, "The octets of %d messages are deleted already.\n", lost); err != nil {
			return err
		}
	}
	return say(cmd, "Restored %d messages of %s.\n", restored, a.Address)
}
