package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/pkg/auth"
	"postern/pkg/store"
	"postern/pkg/store/postgres"
)

func apppassCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "apppass",
		Short: "Make, list and revoke passwords for single devices",
		Long: `Make, list and revoke passwords for single devices. Each is made by Postern, shown once, and works beside the account's
own. One that is revoked ends the sessions that use it, on every server, within a second.`,
	}, apppassAdd(), apppassList(), apppassRevoke())
}

func apppassAdd() *cobra.Command {
	var name, expires string
	var scope []string
	cmd := &cobra.Command{
		Use:     "add ADDRESS --name NAME",
		Short:   "Make a password for a device and show it, once",
		Example: "  postern apppass add anna@example.org --name \"Pixel 9\" --scope imap,pop3 --expires 365d",
		Args:    takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := auth.AppPassword{Name: name, Scope: scope}
			if err := checkApppass(&p, expires); err != nil {
				return err
			}
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				salt, err := st.SCRAMSalt(ctx, a.ID)
				if err != nil {
					return err
				}
				password, made, err := auth.NewAppPassword(salt)
				if err != nil {
					return err
				}
				p.Digest, p.SCRAM = made.Digest, made.SCRAM
				_, err = st.AddAppPassword(ctx, a.ID, p)
				if errors.Is(err, store.ErrOverQuota) {
					return fmt.Errorf("%s has %d app passwords already; revoke one first", a.Address, postgres.MaxAppPasswords)
				}
				if err != nil {
					return err
				}
				return say(cmd, "%s\n", password)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "what it is for, such as the name of a telephone")
	cmd.Flags().StringSliceVar(&scope, "scope", nil, "protocols it is good for: imap, pop3 (default all)")
	cmd.Flags().StringVar(&expires, "expires", "", "how long it is good, as in 365d or 12h (default for ever)")
	return cmd
}

func checkApppass(p *auth.AppPassword, expires string) error {
	const maxName = 100
	if p.Name = strings.TrimSpace(p.Name); p.Name == "" || len(p.Name) > maxName || !isPrintable(p.Name) {
		return fmt.Errorf("--name says what the password is for, in at most %d characters", maxName)
	}
	for _, protocol := range p.Scope {
		if !slices.Contains([]string{"imap", "pop3"}, protocol) {
			return fmt.Errorf("scope %q: it is imap, pop3 or both", protocol)
		}
	}
	if expires == "" {
		return nil
	}
	d, err := parseDays(expires)
	if err != nil {
		return err
	}
	p.Expires = time.Now().Add(d)
	return nil
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })
}

// parseDays reads a duration that may be in days.
func parseDays(s string) (time.Duration, error) {
	const most = 100 * 366 * 24 * time.Hour
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(min(n, 1_000_000)) * 24 * time.Hour
	}
	if err != nil || d <= 0 || d > most {
		return 0, fmt.Errorf("expires %q: write a time as in 365d or 12h", s)
	}
	return d, nil
}

// apppassJSON is an app password as --json prints it; times that are not there are null.
type apppassJSON struct {
	ID       int64      `json:"id"`
	Name     string     `json:"name"`
	Scope    []string   `json:"scope"` // empty: all
	Created  time.Time  `json:"created"`
	Expires  *time.Time `json:"expires"`
	Used     *time.Time `json:"used"`
	UsedFrom string     `json:"used_from"`
	UsedBy   string     `json:"used_by"`
}

func newApppassJSON(p auth.AppPassword) apppassJSON {
	j := apppassJSON{
		ID: p.ID, Name: p.Name, Scope: append([]string{}, p.Scope...), Created: p.Created.UTC(),
		Expires: unlessZero(p.Expires), Used: unlessZero(p.Last.At), UsedBy: p.Last.Client,
	}
	if p.Last.From.IsValid() {
		j.UsedFrom = p.Last.From.String()
	}
	return j
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func apppassList() *cobra.Command {
	return listing[apppassJSON]{
		columns: "ID\tNAME\tSCOPE\tEXPIRES\tLAST USED\tFROM\tBY",
		all: ofAccount(func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) ([]apppassJSON, error) {
			all, err := st.AppPasswords(ctx, a.ID)
			return mapped(all, newApppassJSON), err
		}),
		row:    apppassRow,
		object: func(p apppassJSON) any { return p },
	}.command(&cobra.Command{
		Use:   "list ADDRESS",
		Short: "List an account's app passwords, and when each was last used",
		Args:  takes(cobra.ExactArgs(1)),
	})
}

func apppassRow(p apppassJSON) string {
	scope := "all"
	if len(p.Scope) > 0 {
		scope = strings.Join(p.Scope, ",")
	}
	return fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%s\t%s", p.ID, p.Name, scope,
		dateText(p.Expires, time.DateOnly), dateText(p.Used, time.DateTime), p.UsedFrom, strconv.Quote(p.UsedBy))
}

func dateText(t *time.Time, layout string) string {
	if t == nil {
		return "never"
	}
	return t.Format(layout)
}

func apppassRevoke() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     "revoke ADDRESS ID|NAME",
		Short:   "Revoke an app password and end its sessions",
		Example: "  postern apppass revoke anna@example.org \"Pixel 9\"\n  postern apppass revoke anna@example.org --all",
		Args:    takes(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all != (len(args) == 1) {
				return errors.New("give the ID or name of one, or --all")
			}
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				var number int64
				if !all {
					p, err := findApppass(ctx, st, a, args[1])
					if err != nil {
						return err
					}
					number = p.ID
				}
				if err := st.RevokeAppPassword(ctx, a.ID, number); errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("%s has no app password", a.Address)
				} else if err != nil {
					return err
				}
				return say(cmd, "Revoked; its sessions end.\n")
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "revoke all of the account")
	return cmd
}

// findApppass finds the one that is meant: by number, or else by a name that only one has.
func findApppass(ctx context.Context, st *postgres.Store, a postgres.AccountInfo, which string) (auth.AppPassword, error) {
	all, err := st.AppPasswords(ctx, a.ID)
	if err != nil {
		return auth.AppPassword{}, err
	}
	var found []auth.AppPassword
	for _, p := range all {
		if strconv.FormatInt(p.ID, 10) == which {
			return p, nil
		}
		if p.Name == which {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return auth.AppPassword{}, fmt.Errorf("%s has no app password %s; \"postern apppass list %[1]s\" shows them", a.Address, which)
	}
	return auth.AppPassword{}, fmt.Errorf("%s has %d app passwords named %s; give the ID of one", a.Address, len(found), which)
}
