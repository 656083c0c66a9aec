package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	unfinished = "cluster.new-"
	logLimit   = 16 << 20 // past it, the log of the last run is put aside at the next start
)

// make makes the data folder and those above it. When we are root it stays ours (invariant 4), and others may pass
// through it to the folders inside that are theirs.
func (l layout) make(as *runAs) error {
	mode := os.FileMode(0o700)
	if as != nil {
		mode = 0o711
	}
	if err := makeFolders(l.root, mode); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if err := os.Chmod(l.root, mode); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

// makeFolders is os.MkdirAll that does not let the umask close a folder it makes: a user that is not ours must be able
// to pass through.
func makeFolders(path string, mode os.FileMode) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return &os.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
		}
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := makeFolders(parent, mode); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Chmod(path, mode)
}

func (l layout) rotateLog() error {
	info, err := os.Stat(l.log())
	if err != nil || info.Size() < logLimit {
		return nil
	}
	return os.Rename(l.log(), l.log()+".1")
}

// makeCluster makes the cluster and the database in it, unless they are there. An interrupted start leaves only a
// folder that the next one removes (invariant 2).
func (s *Server) makeCluster(ctx context.Context) error {
	if err := s.sweepUnfinished(); err != nil {
		return err
	}
	if _, err := os.Stat(s.dir.cluster()); err == nil {
		return s.as.chownAll(s.dir.cluster())
	}
	dir, err := os.MkdirTemp(s.dir.root, unfinished)
	if err != nil {
		return fmt.Errorf("make the cluster: %w", err)
	}
	if err := s.as.chown(dir); err != nil {
		return fmt.Errorf("make the cluster: %w", err)
	}
	s.opt.log("making a new PostgreSQL cluster", "folder", s.dir.cluster(), "version", s.bin.major)
	for _, step := range []func(context.Context, string) error{s.initdb, s.writeHBA, s.createDatabase} {
		if err := step(ctx, dir); err != nil {
			return errors.Join(err, os.RemoveAll(dir))
		}
	}
	if err := os.Rename(dir, s.dir.cluster()); err != nil {
		return fmt.Errorf("make the cluster: %w", err)
	}
	return syncFolder(s.dir.root)
}

func (s *Server) sweepUnfinished() error {
	left, err := filepath.Glob(filepath.Join(globQuote(s.dir.root), unfinished+"*"))
	if err != nil {
		return fmt.Errorf("look for unfinished clusters: %w", err)
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove an unfinished cluster: %w", err)
		}
	}
	return nil
}

func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// characterTypes are tried in turn: not every system has C.UTF-8. Order is by octets in any case, so that no index
// depends on a version of the system's C library; the locale only says what a letter is.
var characterTypes = []string{"C.UTF-8", "en_US.UTF-8", "C"}

func (s *Server) initdb(ctx context.Context, dir string) error {
	var errs []error
	for _, ctype := range characterTypes {
		args := []string{
			"--pgdata", dir, "--username", superuser, "--encoding", "UTF8", "--locale", "C", "--lc-ctype", ctype,
			"--data-checksums", "--auth", "trust",
		}
		if s.opt.Volatile {
			args = append(args, "--no-sync")
		}
		out, err := s.tool(ctx, s.bin.initdb(), args, "")
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("initdb: %w: %s", err, strings.TrimSpace(out)))
		if ctx.Err() != nil || !strings.Contains(out, "invalid locale") {
			break
		}
	}
	return errors.Join(errs...)
}

// writeHBA lets in whoever can reach the socket: its folder is private, and the server listens nowhere else.
func (s *Server) writeHBA(_ context.Context, dir string) error {
	const rules = "# Written by Postern. The folder of the socket is private.\nlocal all all trust\nlocal replication all trust\n"
	f, err := os.OpenFile(filepath.Join(dir, "pg_hba.conf"), os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("pg_hba.conf: %w", err)
	}
	_, err = f.WriteString(rules)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("pg_hba.conf: %w", err)
	}
	return nil
}

// createDatabase uses the single-user mode, so that no server has to be started on an unfinished cluster.
func (s *Server) createDatabase(ctx context.Context, dir string) error {
	args := []string{"--single", "-D", dir}
	for _, kv := range s.settings("") {
		args = append(args, "-c", kv)
	}
	out, err := s.tool(ctx, s.bin.postgres(), append(args, "postgres"), "create database "+database+";\n")
	if err == nil && strings.Contains(out, "ERROR:") { // single-user mode reports failure only in words
		err = errors.New("failed")
	}
	if err != nil {
		return fmt.Errorf("create the database: %w: %s", err, strings.TrimSpace(out))
	}
	return nil
}

// tool runs a program of PostgreSQL to its end and returns what it said.
func (s *Server) tool(ctx context.Context, name string, args []string, input string) (string, error) {
	var out strings.Builder
	cmd := s.as.command(s.dir.root, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	dieWithUs(cmd, syscall.SIGKILL)
	p, err := spawn(cmd)
	if err != nil {
		return "", err
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		killGroup(p.pid)
		<-p.exited
		return out.String(), context.Cause(ctx)
	}
	return out.String(), p.err
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
