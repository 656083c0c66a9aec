package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern/pkg/gateway"
	"postern/pkg/store"
	"postern/pkg/store/postgres"
)

func accountCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "account",
		Short: "Add, list, show, change and delete accounts",
		Long:  "Add, list, show, change and delete accounts. This works while the server runs and while it does not.",
	}, accountAdd(), accountList(), accountShow(), accountLogins(), accountPasswd(),
		accountState("disable", "Refuse logins to an account; mail still arrives", true),
		accountState("enable", "Allow logins to a disabled account again", false),
		accountSet(), accountCapabilities(), accountQuota(), accountDelete())
}

func accountAdd() *cobra.Command {
	var from secretSource
	var quota string
	cmd := &cobra.Command{
		Use:   "add ADDRESS",
		Short: "Add an account with its standard folders",
		Example: "  postern account add anna@example.org --quota 2GB\n  pwgen 20 1 | postern account add bot@example.org --password-stdin\n" +
			"  postern account add bert@example.org --hash-stdin <hash",
		Args: takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			limit, err := parseQuota(quota)
			if err != nil {
				return err
			}
			given, err := from.read(cmd, args[0])
			if err != nil {
				return err
			}
			secrets, err := given.secrets("")
			if err != nil {
				return err
			}
			return withBackend(cmd, func(ctx context.Context, b *gateway.Backend) error {
				id, err := b.Store.CreateAccount(ctx, args[0], secrets.Hash, limit)
				if err != nil {
					return explain(err, args[0])
				}
				if err := b.Store.RenewSecrets(ctx, id, secrets.Hash, secrets); err != nil {
					return err
				}
				return say(cmd, "Added %s.\n", args[0])
			})
		},
	}
	from.flags(cmd)
	cmd.Flags().StringVar(&quota, "quota", "", "most the account may hold, as in 500MB or 2GB (default no limit)")
	return cmd
}

func parseQuota(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n == 0 || n > 1<<62 {
		return 0, fmt.Errorf("quota %q: write a size as in 500MB or 2GB", s)
	}
	return int64(n), nil
}

func accountPasswd() *cobra.Command {
	var from secretSource
	cmd := &cobra.Command{
		Use:   "passwd ADDRESS",
		Short: "Set an account's password, or take it away",
		Args:  takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			given, err := from.read(cmd, args[0])
			if err != nil {
				return err
			}
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				salt, err := st.SCRAMSalt(ctx, a.ID)
				if err != nil {
					return err
				}
				secrets, err := given.secrets(salt)
				if err != nil {
					return err
				}
				if err := st.SetSecrets(ctx, a.ID, secrets); err != nil {
					return err
				}
				return say(cmd, "Changed the password of %s.\n", a.Address)
			})
		},
	}
	from.flags(cmd)
	return cmd
}

func accountState(name, short string, disabled bool) *cobra.Command {
	return &cobra.Command{
		Use:   name + " ADDRESS",
		Short: short,
		Args:  takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				if err := st.SetDisabled(ctx, a.ID, disabled); err != nil {
					return err
				}
				return say(cmd, "%s is %sd.\n", a.Address, name)
			})
		},
	}
}

func accountDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete ADDRESS",
		Short: "Delete an account and all of its mail, for good",
		Args:  takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				if !yes {
					if err := confirm(cmd, a); err != nil {
						return err
					}
				}
				if err := st.DeleteAccount(ctx, a.ID); err != nil {
					return err
				}
				return say(cmd, "Deleted %s.\n", a.Address)
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// confirm asks a person at a terminal. A script says --yes or does what it says: nobody is there to answer.
func confirm(cmd *cobra.Command, a postgres.AccountInfo) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil
	}
	if err := say(cmd, "Delete %s with %d messages, for good? Type the address to go on: ", a.Address, a.Messages); err != nil {
		return err
	}
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != a.Address {
		return errors.New("not deleted")
	}
	return nil
}

// accountJSON is an account as --json prints it; the names are kept from release to release.
type accountJSON struct {
	Address    string    `json:"address"`
	State      string    `json:"state"`
	QuotaBytes int64     `json:"quota_bytes"` // 0: no limit
	UsedBytes  int64     `json:"used_bytes"`
	Messages   int64     `json:"messages"`
	Created    time.Time `json:"created"`

	SecondFactor string `json:"second_factor"` // "off", "pending" or "on"
}

func asJSON(a postgres.AccountInfo) accountJSON {
	return accountJSON{
		a.Address, stateOf(a), a.Quota, a.Used, a.Messages, a.Created.UTC(),
		a.SecondFactor,
	}
}

func stateOf(a postgres.AccountInfo) string {
	switch {
	case a.Deleting:
		return "being deleted"
	case a.Disabled:
		return "disabled"
	}
	return "active"
}

func accountList() *cobra.Command {
	return listing[postgres.AccountInfo]{
		columns: "ADDRESS\tSTATE\tMESSAGES\tUSED\tQUOTA",
		all: func(ctx context.Context, b *gateway.Backend, _ []string) ([]postgres.AccountInfo, error) {
			return b.Store.ListAccounts(ctx)
		},
		row: func(a postgres.AccountInfo) string {
			return fmt.Sprintf("%s\t%s\t%d\t%s\t%s", a.Address, stateOf(a), a.Messages, humanize.Bytes(uint64(a.Used)), quotaText(a.Quota))
		},
		object: func(a postgres.AccountInfo) any { return asJSON(a) },
	}.command(&cobra.Command{Use: "list", Short: "List the accounts", Args: takes(cobra.NoArgs)})
}

// printTable writes rows whose columns tabs divide.
func printTable(out io.Writer, rows []string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(w, strings.Join(rows, "\n")); err != nil {
		return err
	}
	return w.Flush()
}

func quotaText(n int64) string {
	if n == 0 {
		return "none"
	}
	return humanize.Bytes(uint64(n))
}

func accountShow() *cobra.Command {
	var asObject bool
	cmd := &cobra.Command{
		Use:   "show ADDRESS",
		Short: "Show one account",
		Args:  takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAccount(cmd, args[0], func(_ context.Context, _ *postgres.Store, a postgres.AccountInfo) error {
				if asObject {
					return printJSON(cmd, asJSON(a))
				}
				return say(cmd, "Address   %s\nState     %s\nMessages  %d\nUsed      %s\nQuota     %s\nCreated   %s\nCodes     %s\n",
					a.Address, stateOf(a), a.Messages, humanize.Bytes(uint64(a.Used)), quotaText(a.Quota), a.Created.UTC().Format(time.RFC3339),
					a.SecondFactor)
			})
		},
	}
	cmd.Flags().BoolVar(&asObject, "json", false, "print a JSON object")
	return cmd
}

// withAccount runs what concerns one account.
func withAccount(cmd *cobra.Command, address string, run func(context.Context, *postgres.Store, postgres.AccountInfo) error) error {
	return withBackend(cmd, func(ctx context.Context, b *gateway.Backend) error {
		a, err := b.Store.AccountByAddress(ctx, address)
		if err != nil {
			return explain(err, address)
		}
		return run(ctx, b.Store, a)
	})
}

// explain turns what the store says into a sentence with the next step.
func explain(err error, address string) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("there is no account or alias %s; \"postern account list\" shows those there are", address)
	case errors.Is(err, store.ErrExists):
		return fmt.Errorf("%s is an account or an alias already", address)
	case errors.Is(err, store.ErrName):
		return fmt.Errorf("%q is not an address like anna@example.org: %w", address, err)
	}
	return err
}

func say(cmd *cobra.Command, format string, args ...any) error {
	_, err := fmt.Fprintf(cmd.OutOrStdout(), format, args...)
	return err
}

func printJSON(cmd *cobra.Command, v any) error {
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
