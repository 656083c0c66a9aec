package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func healthCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running server whether it is ready; exit status 1 if not",
		Args:  takes(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := settings(cmd)
			if err != nil {
				return err
			}
			if len(c.HTTP.Listen) == 0 {
				return errors.New("http.listen is off: there is nothing to ask")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			return awaitReady(ctx, c.HTTP.Listen[0])
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to go on asking a server that is starting (30s)")
	return cmd
}

// awaitReady asks, at least once, until the server is ready or ctx ends.
func awaitReady(ctx context.Context, listen string) error {
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		err := askReady(context.WithoutCancel(ctx), listen)
		if err == nil || ctx.Err() != nil {
			tick.Stop()
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func askReady(ctx context.Context, listen string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no answer; is \"postern serve\" running? %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if err != nil {
			return err
		}
		return fmt.Errorf("not ready: %s", strings.TrimSpace(string(why)))
	}
	return nil
}
