// Command postern is a receiving mail gateway: LMTP in, IMAPS and POP3S out, over one PostgreSQL store.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"postern/pkg/config"
	"postern/pkg/gateway"
	"postern/pkg/observe"
	"postern/pkg/slack"
)

// version is set when the program is built.
var version = "unknown"

func main() {
	cmd := root()
	if serves(cmd, os.Args[1:]) {
		if err := slack.Coalesce(); err != nil {
			cmd.PrintErrln("postern:", err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // who asks a second time does not want to wait for sessions to end
	os.Exit(run(ctx, cmd))
}

// serves tells a command that goes on.
func serves(cmd *cobra.Command, args []string) bool {
	sub, _, err := cmd.Find(args)
	return err == nil && sub.Name() == "serve"
}

// run executes the command and returns its exit status.
func run(ctx context.Context, cmd *cobra.Command) int {
	if err := cmd.ExecuteContext(ctx); err != nil {
		cmd.PrintErrln("postern:", err)
		return 1
	}
	return 0
}

// usage is cobra's, but for the settings, which are flags of all commands: they are listed once, by "postern --help".
const usage = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Each setting is a flag too, --config and --data-dir among them: "postern --help" lists them.{{end}}{{if .HasAvailableSubCommands}}

"{{.CommandPath}} COMMAND --help" tells more about a command.{{end}}
`

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
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetUsageTemplate(usage)
	cmd.SetVersionTemplate("postern {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; \"%s --help\" lists the flags", err, cmd.CommandPath())
	})
	cmd.PersistentFlags().String("config", "", "TOML file with settings (default: the one POSTERN_CONFIG names, or none)")
	config.AddFlags(cmd.PersistentFlags())
	return group(cmd, serveCommand(), migrateCommand(), accountCommand(), apppassCommand(), totpCommand(), aliasCommand(), undeleteCommand(), hostCommand(), banCommand(), configCommand(), healthCommand(), benchCommand(),
		demoCommand(), versionCommand())
}

// group makes a command of commands. By itself it tells which there are.
func group(cmd *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		meant := ""
		for _, name := range cmd.SuggestionsFor(args[0]) {
			meant += fmt.Sprintf(" (did you mean %q?)", name)
		}
		return fmt.Errorf("there is no command \"%s %s\"%s; \"%[1]s --help\" lists those there are", cmd.CommandPath(), args[0], meant)
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(subs...)
	return cmd
}

// takes has a command that was given other arguments say which it takes.
func takes(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) != nil {
			return fmt.Errorf("wrong number of arguments; it is \"%s\"", cmd.UseLine())
		}
		return nil
	}
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
		return interrupted(cmd.Context(), err)
	}
	defer b.Close()
	return interrupted(cmd.Context(), run(cmd.Context(), b))
}

// interrupted stands in for what went wrong because the command was told to stop.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}
