package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"postern/pkg/gateway"
	"postern/pkg/store"
	"postern/pkg/store/postgres"
)

func hostCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "host",
		Short: "Say for which names of customers certificates may be ordered",
		Long: `Say for which names of customers certificates may be ordered. With tls.mode = acme, a certificate for such a name is ordered
when a client first asks for it; the name must lead here. hostname and acme.names need not be added.`,
	}, hostAdd(), hostList(), hostDelete())
}

func hostAdd() *cobra.Command {
	return &cobra.Command{
		Use:     "add NAME...",
		Short:   "Let certificates be ordered for names",
		Example: "  postern host add imap.customer.example",
		Args:    takes(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withBackend(cmd, func(ctx context.Context, b *gateway.Backend) error {
				for _, name := range args {
					if err := b.Store.AddHost(ctx, name); errors.Is(err, store.ErrName) {
						return fmt.Errorf("%q is not the name of a host, such as imap.customer.example", name)
					} else if err != nil {
						return err
					}
					if err := say(cmd, "%s may have a certificate; it is ordered when a client first asks for it.\n", name); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

// hostJSON is a host as --json prints it.
type hostJSON struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
}

func hostList() *cobra.Command {
	return listing[postgres.Host]{
		columns: "NAME\tSINCE",
		all: func(ctx context.Context, b *gateway.Backend, _ []string) ([]postgres.Host, error) {
			return b.Store.Hosts(ctx)
		},
		row:    func(h postgres.Host) string { return h.Name + "\t" + h.Created.Format(time.DateOnly) },
		object: func(h postgres.Host) any { return hostJSON(h) },
	}.command(&cobra.Command{Use: "list", Short: "List the names", Args: takes(cobra.NoArgs)})
}

func hostDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Order no more certificates for a name",
		Args:  takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withBackend(cmd, func(ctx context.Context, b *gateway.Backend) error {
				err := b.Store.RemoveHost(ctx, args[0])
				switch {
				case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrName):
					return fmt.Errorf("%s is not in the list; \"postern host list\" shows it", args[0])
				case err != nil:
					return err
				}
				return say(cmd, "%s gets no new certificate. The one there is serves until it expires.\n", args[0])
			})
		},
	}
}
