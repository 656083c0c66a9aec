package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"postern/pkg/auth"
	"postern/pkg/gateway"
	"postern/pkg/store"
)

func banCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "ban",
		Short: "See who may not log in for a while, and end that",
		Long: `See who may not log in for a while, and end that. Prefixes and accounts are banned after too many different wrong passwords;
that of an account holds for strangers to it only.`,
	}, banList(), banLift())
}

// banJSON is a ban as --json prints it.
type banJSON struct {
	Who    string    `json:"who"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Times  int       `json:"times"`
}

func banList() *cobra.Command {
	return listing[auth.Ban]{
		columns: "WHO\tUNTIL\tTIMES\tREASON",
		all: func(ctx context.Context, b *gateway.Backend, _ []string) ([]auth.Ban, error) {
			return b.Store.Bans(ctx)
		},
		row: func(ban auth.Ban) string {
			return fmt.Sprintf("%s\t%s\t%d\t%s", ban.Who, ban.Until.UTC().Format(time.RFC3339), ban.Times, ban.Reason)
		},
		object: func(ban auth.Ban) any {
			return banJSON{ban.Who, ban.Reason, ban.Since.UTC(), ban.Until.UTC(), ban.Times}
		},
	}.command(&cobra.Command{Use: "list", Short: "List the bans and their reasons", Args: takes(cobra.NoArgs)})
}

func banLift() *cobra.Command {
	return &cobra.Command{
		Use:     "lift PREFIX|ACCOUNT",
		Short:   "End a ban",
		Example: "  postern ban lift 203.0.113.66/32\n  postern ban lift anna@example.org",
		Args:    takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withBackend(cmd, func(ctx context.Context, b *gateway.Backend) error {
				who := banned(args[0])
				err := b.Store.LiftBan(ctx, who)
				switch {
				case errors.Is(err, store.ErrNotFound):
					return fmt.Errorf("%s is not banned; \"postern ban list\" shows who is", who)
				case err != nil:
					return err
				}
				return say(cmd, "Lifted the ban of %s; every node lets go of it within some seconds.\n", who)
			})
		},
	}
}

// banned is how the list calls somebody: an address is banned as a prefix.
func banned(who string) string {
	if p, err := netip.ParsePrefix(who); err == nil {
		return p.Masked().String()
	}
	addr, err := netip.ParseAddr(who)
	if err != nil {
		return who
	}
	bits := 32
	if addr = addr.Unmap(); addr.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(addr, bits).Masked().String()
}
