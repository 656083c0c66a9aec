package main

import (
	"errors"

	"github.com/spf13/cobra"

	"postern/pkg/config"
	"postern/pkg/gateway"
)

func configCommand() *cobra.Command {
	return group(&cobra.Command{Use: "config", Short: "Show or check the settings"}, configShow(), configCheck())
}

func configShow() *cobra.Command {
	var asArray bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print every setting, its value and where it came from",
		Args:  takes(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := settings(cmd)
			if c == nil {
				return err
			}
			show := c.Show
			if asArray {
				show = c.ShowJSON
			}
			return errors.Join(show(cmd.OutOrStdout()), err)
		},
	}
	cmd.Flags().BoolVar(&asArray, "json", false, "print an array of JSON objects")
	return cmd
}

func configCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say everything that is wrong with the settings; exit status 1 if anything is",
		Args:  takes(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(source(cmd))
			if err != nil {
				return err
			}
			if err := gateway.CheckSettings(c); err != nil {
				return err
			}
			return say(cmd, "The settings are in order.\n")
		},
	}
}
