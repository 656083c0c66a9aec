package main

import (
	"os"

	"github.com/spf13/cobra"

	"postern/pkg/config"
	"postern/pkg/gateway"
	"postern/pkg/observe"
)

func serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Serve LMTP, IMAPS and POP3S until told to stop (SIGTERM or Ctrl-C)",
		Args:  takes(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := options(cmd)
			if err != nil {
				return err
			}
			o.Registry = observe.NewRegistry()
			g, err := gateway.New(cmd.Context(), o)
			switch {
			case err != nil && cmd.Context().Err() != nil:
				return nil // told to stop before it was up
			case err != nil:
				return err
			}
			return g.Run(cmd.Context())
		},
	}
}

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Try Postern here: ports 1993, 1995 and 2424, data in ./data, an account with a few mails",
		Long: `Serves on 127.0.0.1 (IMAPS 1993, POP3S 1995, LMTP 2424) with a private PostgreSQL below ./data and a self-signed
certificate, makes the account demo@localhost with a few mails, and prints how to read them. Settings given by environment
or flags count here too.`,
		Args: takes(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			src := source(cmd)
			src.Environ = func() []string { return append(gateway.DemoSettings(), os.Environ()...) }
			c, err := config.Load(src)
			if err != nil {
				return err
			}
			o, err := optionsFor(c)
			if err != nil {
				return err
			}
			o.Registry = observe.NewRegistry()
			return gateway.RunDemo(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
}

func migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to this program's schema",
		Args:  takes(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := options(cmd)
			if err != nil {
				return err
			}
			if err := gateway.Migrate(cmd.Context(), o); err != nil {
				return interrupted(cmd.Context(), err)
			}
			return say(cmd, "The database has this program's schema.\n")
		},
	}
}
