// Command versus measures Postern and Debian's Dovecot doing the same work on this machine, in turns, and prints a table:
// `make bench`. It starts both, each with its data on the same file system, the same users, hashes, certificate and
// cipher, and reads back from the running servers what their answers are worth. It runs as any user; as root, the
// servers' parts that must not be root's run as others.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"postern/pkg/bench"
)

// connections is how many each server allows of a kind at once; no step comes near.
const connections = 4000

// idlers is how many sessions wait while memory is measured: of Postern's, which take little each, fewer would be lost in what
// its garbage collector leaves lying about.
const idlers = 500

// options are what the command line says.
type options struct {
	postern string // binary
	bench   bench.Options
	rounds  int
	fsync   string // mail_fsync of Dovecot
	json    string // file to write
	doc     string // file to write the table into
	dir     string // where the servers keep their data
	keep    bool   // what they kept
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		os.Exit(1)
	}
}

// parse reads the command line.
func parse(args []string, help io.Writer) (options, error) {
	o := options{bench: bench.Options{Idlers: idlers}}
	var steps string
	f := flag.NewFlagSet("versus", flag.ContinueOnError)
	f.SetOutput(help)
	f.StringVar(&o.postern, "postern", "bin/postern", "the program to measure")
	f.IntVar(&o.bench.Messages, "messages", 2000, "messages in the mailbox that is read")
	f.IntVar(&o.rounds, "rounds", 3, "how often each step is run on each server, at least")
	f.StringVar(&steps, "steps", "", "names or patterns of the steps to run, divided by commas (default all)")
	f.StringVar(&o.fsync, "mail-fsync", "always", "Dovecot's mail_fsync; always is as durable as Postern is")
	f.StringVar(&o.json, "json", "", "file to write the figures to")
	f.StringVar(&o.doc, "doc", "", "file to write the table into, between <!-- begin bench N --> and <!-- end bench N -->, N being the messages")
	f.StringVar(&o.dir, "dir", os.TempDir(), "folder to make the servers' data in: on the disk that is measured")
	f.BoolVar(&o.keep, "keep", false, "leave the servers' data and logs")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.rounds < 1 || o.bench.Messages < 1 {
		return o, errors.New("wrong arguments; -help lists the flags")
	}
	if steps != "" {
		o.bench.Steps = strings.Split(steps, ",")
	}
	return o, nil
}

// run does it all.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "postern-versus-")
	if err != nil {
		return err
	}
	defer func() {
		if o.keep {
			_, told := fmt.Fprintln(out, "The data and logs are in", dir)
			err = errors.Join(err, told)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if err := os.Chmod(dir, 0o755); err != nil { // others than root must be able to enter
		return err
	}
	res, err := compare(ctx, o, dir, out)
	if err != nil {
		return err
	}
	return o.publish(res, out)
}

// publish prints the table and writes it where it was asked for.
func (o options) publish(res *result, out io.Writer) error {
	if _, err := fmt.Fprintf(out, "\n%s\n", res.text()); err != nil {
		return err
	}
	if o.json != "" {
		text, err := json.MarshalIndent(res, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if o.doc == "" {
		return nil
	}
	doc, err := os.ReadFile(o.doc)
	if err != nil {
		return err
	}
	changed, err := replaceBetween(string(doc), fmt.Sprintf("bench %d", res.Messages), res.markdown())
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(o.doc), err)
	}
	return os.WriteFile(o.doc, []byte(changed), 0o644)
}

// progress prints what is being done, on one line of a terminal.
type progress struct {
	out   io.Writer
	start time.Time
	who   string
	last  time.Time
}

// tell is bench.Options.Progress.
func (p *progress) tell(what string, done, total int) {
	if now := time.Now(); now.Sub(p.last) > 200*time.Millisecond && p.out != nil {
		p.last = now
		_, _ = fmt.Fprintf(p.out, "\r\x1b[K%4.0fs  %s: %s %d/%d\r", now.Sub(p.start).Seconds(), p.who, what, done, total)
	}
}
