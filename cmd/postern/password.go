package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern/pkg/auth"
)

// secretSource says where a new password comes from: a terminal, or standard input.
type secretSource struct {
	password, hash bool // from standard input
	none           bool // no password at all
}

func (s *secretSource) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&s.password, "password-stdin", false, "read the password from the first line of standard input")
	cmd.Flags().BoolVar(&s.hash, "hash-stdin", false,
		"read a hash made elsewhere: bcrypt, SHA-256-CRYPT, SHA-512-CRYPT, PBKDF2, SSHA, SSHA256, SSHA512, argon2id")
	cmd.Flags().BoolVar(&s.none, "no-password", false,
		"keep none: a directory elsewhere has it, or other ways of logging in are enough")
	cmd.MarkFlagsMutuallyExclusive("password-stdin", "hash-stdin", "no-password")
}

// read asks for a password.
func (s *secretSource) read(cmd *cobra.Command, address string) (givenSecret, error) {
	if s.none {
		return givenSecret{}, nil
	}
	if s.hash {
		line, err := firstLine(cmd, "hash")
		if err != nil {
			return givenSecret{}, err
		}
		hash, err := auth.ImportHash(line)
		return givenSecret{hash: hash}, err
	}
	password, err := readPassword(cmd, s.password)
	if err != nil {
		return givenSecret{}, err
	}
	c, err := settings(cmd)
	if err != nil {
		return givenSecret{}, err
	}
	policy := auth.Policy{MinLength: c.Auth.MinLength, MinStrength: c.Auth.MinStrength, Breached: c.Auth.Breached}
	if err := policy.Check(password, address); err != nil {
		return givenSecret{}, fmt.Errorf("%w; nothing was changed", err)
	}
	return givenSecret{password: password}, nil
}

// givenSecret is a password or a hash, or neither.
type givenSecret struct{ password, hash string }

// secrets is what is kept of it, with the account's salt of SCRAM.
func (g givenSecret) secrets(salt auth.Salt) (auth.Secrets, error) {
	if g.password == "" {
		return auth.Secrets{Hash: g.hash}, nil
	}
	secrets, err := auth.NewSecrets(g.password, salt)
	if err != nil {
		return auth.Secrets{}, fmt.Errorf("password: %w", err)
	}
	return secrets, nil
}

// firstLine reads a line from standard input.
func firstLine(cmd *cobra.Command, what string) (string, error) {
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", fmt.Errorf("no %s on standard input", what)
	}
	return line, nil
}

func readPassword(cmd *cobra.Command, fromStdin bool) (string, error) {
	if fromStdin {
		return firstLine(cmd, "password")
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", errors.New("no terminal to ask for a password: use --password-stdin")
	}
	first, err := prompt(cmd, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := prompt(cmd, "Once more: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return first, nil
}

func prompt(cmd *cobra.Command, text string) (string, error) {
	cmd.PrintErr(text)
	b, err := term.ReadPassword(int(os.Stdin.Fd()))
	cmd.PrintErrln()
	return string(b), err
}
