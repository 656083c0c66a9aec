// Command postern is a receiving mail gateway: LMTP in, IMAPS and POP3S out, over one PostgreSQL store.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"postern/pkg/config"
	"postern/pkg/gateway"
	"postern/pkg/observe"
)

// version is set when the program is built.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "postern:", err)
		stop()
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "postern",
		Short: "A receiving mail gateway: LMTP in, IMAPS and POP3S out, over one PostgreSQL store",
		Long: `Postern receives mail from an MTA over LMTP and serves it over IMAPS and POP3S from one PostgreSQL store.

Without a configured database it runs a private PostgreSQL in its data folder:

  postern serve
  postern account add anna@example.org

Settings come from --config FILE (TOML), then the environment (POSTERN_IMAP_LISTEN for imap.listen), then flags; the last
wins. "postern config show" prints them all.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.PersistentFlags().String("config", "", "TOML file with settings (default: the one POSTERN_CONFIG names, or none)")
	config.AddFlags(cmd.PersistentFlags())
	cmd.AddCommand(serveCommand(), migrateCommand(), accountCommand(), aliasCommand(), configCommand(), healthCommand(),
		demoCommand(), versionCommand())
	return cmd
}

func source(cmd *cobra.Command) config.Source {
	// The flag is the root's, so it is there.
	file, _ := cmd.Flags().GetString("config")
	return config.Source{File: file, Flags: cmd.Flags()}
}

// settings reads the configuration as the command line and the environment say.
func settings(cmd *cobra.Command) (*config.Config, error) {
	return config.Load(source(cmd))
}

// options reads the configuration and makes the logger.
func options(cmd *cobra.Command) (gateway.Options, error) {
	c, err := settings(cmd)
	if err != nil {
		return gateway.Options{}, err
	}
	return optionsFor(c)
}

func optionsFor(c *config.Config) (gateway.Options, error) {
	log, err := observe.NewLogger(os.Stderr, c.Log.Level, c.Log.Format)
	if err != nil {
		return gateway.Options{}, err
	}
	return gateway.Options{Config: c, Log: log, Version: version}, nil
}

// withBackend runs what needs the store. A command for people logs problems only; what it did is its output.
func withBackend(cmd *cobra.Command, run func(ctx context.Context, b *gateway.Backend) error) error {
	o, err := options(cmd)
	if err != nil {
		return err
	}
	o.Log = o.Log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))
	b, err := gateway.OpenForCommand(cmd.Context(), o)
	if err != nil {
		return err
	}
	defer b.Close()
	return run(cmd.Context(), b)
}
