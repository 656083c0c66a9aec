package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern/pkg/auth"
	"postern/pkg/store"
	"postern/pkg/store/postgres"
)

func totpCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "totp",
		Short: "Have an account's own password need a code of six digits",
		Long: `Have an account's own password need a code of six digits (TOTP), typed right after the password. App passwords need none:
they are what mail programs that keep a password should have.`,
	}, totpAdd(), totpConfirm(), totpRemove())
}

func totpAdd() *cobra.Command {
	return &cobra.Command{
		Use:   "add ADDRESS",
		Short: "Make a secret and show it, once; it counts when a code of it is given",
		Long: `Make a secret and show it, once: as a URI, as a QR code if this is a terminal, and as letters. It counts as soon as a code
of it is given: here, if this is a terminal, or to "postern totp confirm".`,
		Args: takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := settings(cmd)
			if err != nil {
				return err
			}
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				secret, uri, err := auth.NewTOTP(c.Hostname, a.Address)
				if err != nil {
					return err
				}
				if err := st.SetTOTP(ctx, a.ID, secret); errors.Is(err, store.ErrExists) {
					return fmt.Errorf("%s needs codes already; \"postern totp remove %[1]s\" ends that", a.Address)
				} else if err != nil {
					return err
				}
				if err := showSecret(cmd, secret, uri); err != nil {
					return err
				}
				return confirmAtOnce(cmd, ctx, st, a)
			})
		},
	}
}

func showSecret(cmd *cobra.Command, secret, uri string) error {
	if out, ok := cmd.OutOrStdout().(*os.File); ok && term.IsTerminal(int(out.Fd())) {
		code, err := qrCode(uri)
		if err != nil {
			return err
		}
		if err := say(cmd, "%s\n", code); err != nil {
			return err
		}
	}
	return say(cmd, "%s\nSecret: %s\n", uri, secret)
}

// qrCode draws a QR code of characters, two rows of it in each line, dark on light whatever the terminal's colours are.
func qrCode(text string) (string, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", fmt.Errorf("draw a QR code: %w", err)
	}
	const quiet = 4 // modules of margin, which readers need
	size := code.Bounds().Dx()
	dark := func(x, y int) bool {
		if x < 0 || y < 0 || x >= size || y >= size {
			return false
		}
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}
	var b strings.Builder
	for y := -quiet; y < size+quiet; y += 2 {
		b.WriteString("\x1b[38;5;16;48;5;231m")
		for x := -quiet; x < size+quiet; x++ {
			switch top, bottom := dark(x, y), dark(x, y+1); {
			case top && bottom:
				b.WriteRune('█')
			case top:
				b.WriteRune('▀')
			case bottom:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String(), nil
}

// confirmAtOnce asks a person at a terminal for a code; who has none yet gives it to another command later.
func confirmAtOnce(cmd *cobra.Command, ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
	later := fmt.Sprintf("It counts when \"postern totp confirm %s CODE\" has been given a code.\n", a.Address)
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return say(cmd, "%s", later)
	}
	if err := say(cmd, "A code of it, or Enter for later: "); err != nil {
		return err
	}
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if line = strings.TrimSpace(line); line == "" {
		return say(cmd, "%s", later)
	}
	return confirmCode(cmd, ctx, st, a, line)
}

func totpConfirm() *cobra.Command {
	return &cobra.Command{
		Use:     "confirm ADDRESS CODE",
		Short:   "Show that the authenticator works: from now on the password needs its codes",
		Example: "  postern totp confirm anna@example.org 123456",
		Args:    takes(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				return confirmCode(cmd, ctx, st, a, args[1])
			})
		},
	}
}

func confirmCode(cmd *cobra.Command, ctx context.Context, st *postgres.Store, a postgres.AccountInfo, code string) error {
	secret, on, err := st.TOTP(ctx, a.ID)
	switch {
	case err != nil:
		return err
	case on:
		return fmt.Errorf("%s needs codes already", a.Address)
	case secret == "":
		return fmt.Errorf("%s has no secret yet; \"postern totp add %[1]s\" makes one", a.Address)
	}
	step, ok := auth.MatchCode(secret, strings.ReplaceAll(code, " ", ""), time.Now())
	if !ok {
		return errors.New("that is not the code of now; is the clock right, here and there? Nothing was changed")
	}
	if err := st.ConfirmTOTP(ctx, a.ID, step); err != nil {
		return err
	}
	return say(cmd, "From now on the password of %s needs a code; sessions of it end.\n", a.Address)
}

func totpRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "remove ADDRESS",
		Short: "Have an account's own password log in without a code again",
		Args:  takes(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAccount(cmd, args[0], func(ctx context.Context, st *postgres.Store, a postgres.AccountInfo) error {
				if err := st.RemoveTOTP(ctx, a.ID); errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("%s has no second factor", a.Address)
				} else if err != nil {
					return err
				}
				return say(cmd, "%s logs in without codes.\n", a.Address)
			})
		},
	}
}
