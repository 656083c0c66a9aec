package main

import (
	"runtime"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	var asObject bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  takes(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asObject {
				return printJSON(cmd, map[string]string{"version": version, "go": runtime.Version()})
			}
			return say(cmd, "postern %s (%s)\n", version, runtime.Version())
		},
	}
	cmd.Flags().BoolVar(&asObject, "json", false, "print a JSON object")
	return cmd
}
