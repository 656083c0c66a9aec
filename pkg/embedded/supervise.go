package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second // a server that comes back is used again within ten seconds
	tailSize     = 4 << 10         // of the log, for an error
)

// errLeftovers means that processes of a killed server are still there; they end by themselves in a moment.
var errLeftovers = errors.New("processes of the previous server are still running")

// supervise owns the child from now on: it restarts it when it dies, until the life of the Server ends, and then stops
// it and gives the folder back.
func (s *Server) supervise(p *process) {
	defer close(s.done)
	for p != nil {
		select {
		case <-s.life.Done():
			s.shutdown(p)
			p = nil
		case <-p.exited:
			p = s.revive(s.lost(p))
		}
	}
	s.setErr(errors.Join(s.dropTemporaryFolder(), s.gate.release(), s.held.release()))
}

func (s *Server) lost(p *process) error {
	if p.err == nil {
		return errors.New("postgres ended by itself")
	}
	return fmt.Errorf("postgres ended: %w", p.err)
}

// revive starts the server again, for as long as it takes. It returns nil when the Server is stopped meanwhile.
func (s *Server) revive(cause error) *process {
	backoff := firstBackoff
	for s.life.Err() == nil {
		s.setErr(cause)
		s.opt.log("the private PostgreSQL is down, starting it again", "cause", cause.Error(), "after", backoff)
		if pause(s.life, backoff) != nil {
			return nil
		}
		p, err := s.run(s.life)
		if err == nil {
			s.setErr(nil)
			return p
		}
		cause, backoff = err, min(2*backoff, lastBackoff)
	}
	return nil
}

// run starts the server and returns when it accepts connections. What a killed server left behind goes away by itself;
// that is waited for.
func (s *Server) run(ctx context.Context) (*process, error) {
	for {
		p, err := s.runOnce(ctx)
		if !errors.Is(err, errLeftovers) {
			return p, err
		}
		s.opt.log("waiting to start PostgreSQL", "cause", err.Error())
		if err := pause(ctx, firstBackoff); err != nil {
			return nil, fmt.Errorf("%w: %w", errLeftovers, err)
		}
	}
}

func (s *Server) runOnce(ctx context.Context) (*process, error) {
	if err := s.settleOrphan(ctx); err != nil {
		return nil, err
	}
	logFile, err := create(s.dir.log(), os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return nil, fmt.Errorf("log of PostgreSQL: %w", err)
	}
	defer logFile.Close()
	from, err := logFile.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("log of PostgreSQL: %w", err)
	}
	p, err := s.spawnServer(logFile)
	if err != nil {
		return nil, err
	}
	if err := s.awaitReady(ctx, p); err != nil {
		return nil, s.explain(err, from)
	}
	s.opt.log("the private PostgreSQL is up", "pid", p.pid, "version", s.bin.major, "folder", s.dir.cluster())
	return p, nil
}

func (s *Server) spawnServer(log *os.File) (*process, error) {
	args := []string{"-D", s.dir.cluster()}
	for _, kv := range s.settings(s.socket) {
		args = append(args, "-c", kv)
	}
	cmd := s.as.command(s.dir.cluster(), s.bin.postgres(), args...)
	cmd.Stdout, cmd.Stderr = log, log
	dieWithUs(cmd, syscall.SIGINT)
	return spawn(cmd)
}

// settings are what we tell postgres, in a fixed order. They are on the command line because it is stronger than the
// files and says in a process list what holds.
func (s *Server) settings(socketDir string) []string {
	set := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": `"` + strings.ReplaceAll(socketDir, `"`, `""`) + `"`,
		"unix_socket_permissions": "0700",
		"port":                    port,
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"log_line_prefix":         "%m [%p] ",
		"log_checkpoints":         "off",
		"jit":                     "off", // our statements are short; and a hardened service may not make code
		"max_wal_size":            "2GB", // a burst of mail does not force a checkpoint
	}
	if socketDir == "" {
		delete(set, "unix_socket_directories")
	}
	if s.opt.Volatile { // synchronous_commit stays on: without it, a killed server forgets what it has acknowledged
		maps.Copy(set, map[string]string{"fsync": "off", "full_page_writes": "off"})
	}
	maps.Copy(set, s.opt.Settings)
	var list []string
	for _, key := range slices.Sorted(maps.Keys(set)) {
		list = append(list, key+"="+set[key])
	}
	return list
}

// awaitReady returns nil when the server accepts connections; on an error it has ended. Recovery after a crash may take
// minutes: only ctx bounds it.
func (s *Server) awaitReady(ctx context.Context, p *process) error {
	for {
		err := probe(ctx, s.socket)
		if err == nil {
			return nil
		}
		if errors.Is(err, errRefused) {
			s.shutdown(p)
			return err
		}
		select {
		case <-p.exited:
			return s.lost(p)
		case <-ctx.Done():
			s.shutdown(p)
			return fmt.Errorf("%w while waiting for PostgreSQL: %w", context.Cause(ctx), err)
		case <-time.After(pollEvery):
		}
	}
}

// shutdown stops the child: fast, and at once when the caller of Stop is in a hurry or a minute has passed.
func (s *Server) shutdown(p *process) {
	p.signal(syscall.SIGINT)
	select {
	case <-p.exited:
		return
	case <-s.hurry:
	case <-time.After(stopWait):
	}
	s.opt.log("PostgreSQL is slow to stop, stopping it at once", "pid", p.pid)
	p.signal(syscall.SIGQUIT)
	<-p.exited
}

// explain adds to an error what postgres has written since from.
func (s *Server) explain(err error, from int64) error {
	text, readErr := tail(s.dir.log(), from)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	if strings.Contains(text, "pre-existing shared memory block") {
		return fmt.Errorf("%w: %s", errLeftovers, text)
	}
	return fmt.Errorf("%w; its log (%s) ends: %s", err, s.dir.log(), text)
}

func tail(path string, from int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	from = max(from, info.Size()-tailSize)
	text, err := io.ReadAll(io.NewSectionReader(f, from, tailSize))
	return strings.TrimSpace(string(text)), err
}
