package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"postern/pkg/bench"
)

// benchFlags are what "postern bench" is told.
type benchFlags struct {
	target       bench.Target
	options      bench.Options
	usersFile    string
	userPattern  string
	users        int
	passwordFile string
	caFile       string
	insecure     bool
	pids         []int
	restart      string
	runs         int
	list, asJSON bool
}

const benchLong = `Measure a mail server, Postern or any other, from outside: how fast it delivers (LMTP), reads, writes, searches and sorts
(IMAPS), is emptied (POP3S) and logs people in. What the server does not announce is left out; wrong answers are errors.

It needs accounts of its own, at least %d, that hold no mail: "bench" fills and empties them. Give them in --users-file, a
line "address:password" each, or as --user-pattern with --users and --password-file. Deliveries are spread over all but the
first three, so more accounts are closer to life. The mails that are read stay in the first account, so that the next
run with the same --messages, --seed and --small need not make them again.

Each figure is the median of --runs runs. Memory is measured where --pid names the server's processes, the opening of a
mailbox that the server has forgotten where --restart says how it is restarted.`

const benchExample = `  # twenty accounts for Postern, then all steps
  for i in $(seq 20); do head -1 pass | postern account add bench$i@example.org --password-stdin; done
  postern bench --imap localhost:993 --pop3 localhost:995 --lmtp localhost:24 \
    --user-pattern bench%d@example.org --users 20 --password-file pass

  # another server with a certificate of its own, some steps, for a script
  postern bench --imap mail.example.org:993 --ca-file ca.pem --users-file users --steps 'fetch-*,search-*' --json

  # a mailbox of a million short mails
  postern bench --imap localhost:993 --insecure --users-file users --messages 1000000 --small --steps 'fetch-flags,select-*'

  # which steps there are
  postern bench --list`

func benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure a mail server by LMTP, IMAPS and POP3S",
		Long:    fmt.Sprintf(benchLong, bench.MinLogins),
		Example: benchExample,
		Args:    takes(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.flags(cmd)
	return cmd
}

func (f *benchFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.target.IMAP, "imap", "", "address of IMAP over TLS (localhost:993)")
	flags.StringVar(&f.target.POP3, "pop3", "", "address of POP3 over TLS (localhost:995)")
	flags.StringVar(&f.target.LMTP, "lmtp", "", "address of LMTP (localhost:24, unix:/run/lmtp)")
	flags.StringVar(&f.target.Name, "name", "", "what the report calls the server (default: the address of IMAP)")
	flags.StringVar(&f.usersFile, "users-file", "", "file with a line \"address:password\" for each account")
	flags.StringVar(&f.userPattern, "user-pattern", "", "addresses of the accounts, %d being 1, 2, 3 … (bench%d@example.org)")
	flags.IntVar(&f.users, "users", 20, "how many accounts --user-pattern means")
	flags.StringVar(&f.passwordFile, "password-file", "", "file whose first line is the password of all accounts of --user-pattern")
	flags.StringVar(&f.caFile, "ca-file", "", "PEM file with certificates to trust in place of the system's")
	flags.BoolVar(&f.insecure, "insecure", false, "trust any certificate")
	flags.IntVar(&f.options.Messages, "messages", 2000, "messages in the mailbox that is read")
	flags.IntVar(&f.options.Burst, "burst", 0, "messages that one run delivers (default 500, at most a quarter of --messages)")
	flags.IntVar(&f.options.Sample, "sample", 0, "messages in steps that take a command for each (default 500)")
	flags.IntVar(&f.options.Idlers, "idlers", 0, "sessions that wait while memory is measured (default 200)")
	flags.BoolVar(&f.options.Small, "small", false, "short mails without attachments")
	flags.Uint64Var(&f.options.Seed, "seed", 1, "another seed makes other mails")
	flags.StringSliceVar(&f.options.Steps, "steps", nil, "names or patterns of the steps (default all)")
	flags.IntVar(&f.runs, "runs", 3, "runs of each step")
	flags.IntSliceVar(&f.pids, "pid", nil, "processes of the server: with their descendants, what they take is its memory")
	flags.StringVar(&f.restart, "restart", "", "shell command that restarts the server and waits until it serves")
	flags.BoolVar(&f.list, "list", false, "list the steps and do nothing")
	flags.BoolVar(&f.asJSON, "json", false, "print a JSON object")
	cmd.MarkFlagsMutuallyExclusive("users-file", "user-pattern")
	cmd.MarkFlagsMutuallyExclusive("ca-file", "insecure")
}

func (f *benchFlags) run(cmd *cobra.Command) error {
	if f.list {
		return listSteps(cmd)
	}
	steps, err := bench.Select(f.options.Steps)
	if err != nil {
		return fmt.Errorf("%w; \"postern bench --list\" lists the steps", err)
	}
	if err := f.complete(); err != nil {
		return err
	}
	show := newBenchProgress(cmd)
	f.options.Progress = show.progress
	defer show.clear()
	b, err := bench.Open(cmd.Context(), f.target, f.options)
	if err != nil {
		return benchHint(cmd.Context(), err)
	}
	report, err := b.Measure(cmd.Context(), steps, f.runs, show.row(f.asJSON))
	show.clear()
	if f.asJSON && len(report.Rows) > 0 {
		err = errors.Join(err, printJSON(cmd, report))
	}
	return benchHint(cmd.Context(), err)
}

// benchHint says what can be done about an error.
func benchHint(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, bench.ErrUntrusted):
		return fmt.Errorf("%w; name the certificate that signed it with --ca-file, or trust any with --insecure", err)
	case errors.Is(err, bench.ErrRefused):
		return fmt.Errorf("%w; does the account exist, with this password?", err)
	}
	return interrupted(ctx, err)
}

// complete makes the target of what the flags say.
func (f *benchFlags) complete() error {
	switch {
	case f.target.IMAP == "" && f.target.LMTP == "" && f.target.POP3 == "":
		return errors.New("no server to measure: give --imap, and --lmtp and --pop3 if it has them")
	case f.runs < 1:
		return errors.New("--runs must be at least 1")
	case f.options.Messages < 1:
		return errors.New("--messages must be at least 1")
	case f.usersFile == "" && f.userPattern == "":
		return errors.New("no accounts: give --users-file, or --user-pattern and --password-file")
	}
	f.target.Name = cmp.Or(f.target.Name, f.target.IMAP, f.target.LMTP)
	if len(f.pids) > 0 {
		f.target.Memory = bench.MemoryOf(f.pids...)
	}
	if f.restart != "" {
		f.target.Restart = func(ctx context.Context) error {
			if out, err := exec.CommandContext(ctx, "/bin/sh", "-c", f.restart).CombinedOutput(); err != nil {
				return fmt.Errorf("--restart: %w: %s", err, out)
			}
			return nil
		}
	}
	var err error
	if f.target.Logins, err = f.logins(); err != nil {
		return err
	}
	f.target.TLS, err = f.tls()
	return err
}

func (f *benchFlags) tls() (*tls.Config, error) {
	if f.caFile == "" {
		return &tls.Config{InsecureSkipVerify: f.insecure}, nil
	}
	pem, err := os.ReadFile(f.caFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca-file: no certificate in %s", f.caFile)
	}
	return &tls.Config{RootCAs: pool}, nil
}

// logins reads the accounts.
func (f *benchFlags) logins() ([]bench.Login, error) {
	if f.usersFile != "" {
		return readLogins(f.usersFile)
	}
	if !strings.Contains(f.userPattern, "%d") {
		return nil, fmt.Errorf("--user-pattern %q: %%d must stand where the number comes", f.userPattern)
	}
	if f.passwordFile == "" {
		return nil, errors.New("--user-pattern needs --password-file")
	}
	text, err := os.ReadFile(f.passwordFile)
	if err != nil {
		return nil, fmt.Errorf("--password-file: %w", err)
	}
	password, _, _ := strings.Cut(string(text), "\n")
	var logins []bench.Login
	for i := range f.users {
		address := strings.ReplaceAll(f.userPattern, "%d", strconv.Itoa(i+1))
		logins = append(logins, bench.Login{Address: address, Password: strings.TrimSuffix(password, "\r")})
	}
	return logins, nil
}

func readLogins(path string) ([]bench.Login, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--users-file: %w", err)
	}
	var logins []bench.Login
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		address, password, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("--users-file: line %d of %s is not \"address:password\"", n, path)
		}
		logins = append(logins, bench.Login{Address: address, Password: password})
	}
	return logins, nil
}

func listSteps(cmd *cobra.Command) error {
	rows := []string{"NAME\tGROUP\tUNIT\tWHAT"}
	for _, s := range bench.Steps() {
		rows = append(rows, s.Name+"\t"+s.Group+"\t"+s.Unit+"\t"+s.Title)
	}
	return printTable(cmd.OutOrStdout(), rows)
}

// benchProgress shows a bar on a terminal, and rows as they come.
type benchProgress struct {
	cmd   *cobra.Command
	onTTY bool
	what  string
	bar   *progressbar.ProgressBar
	group string
}

func newBenchProgress(cmd *cobra.Command) *benchProgress {
	err, ok := cmd.ErrOrStderr().(*os.File)
	return &benchProgress{cmd: cmd, onTTY: ok && term.IsTerminal(int(err.Fd()))}
}

func (p *benchProgress) progress(what string, done, total int) {
	if !p.onTTY {
		return
	}
	if p.bar == nil || what != p.what {
		p.clear()
		p.what = what
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(p.cmd.ErrOrStderr()), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish())
	}
	_ = p.bar.Set(done) // a bar that cannot be drawn is not missed
}

func (p *benchProgress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear() // as above
		p.bar = nil
	}
}

// row prints a row as it is there, unless an object with all of them is to come.
func (p *benchProgress) row(asJSON bool) func(bench.Row) {
	return func(r bench.Row) {
		p.clear()
		if asJSON {
			return
		}
		if r.Group != p.group {
			p.group = r.Group
			_ = say(p.cmd, "\n%s\n", r.Group)
		}
		if r.Reason != "" {
			_ = say(p.cmd, "  %-20s %-48s left out: %s\n", r.Name, r.Title, r.Reason)
			return
		}
		_ = say(p.cmd, "  %-20s %-48s %12s %s\n", r.Name, r.Title, significant(r.Value), r.Unit)
	}
}

// significant writes a figure with three digits that say something, more if it is large.
func significant(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}
