package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asGateway makes the test binary behave as a gateway on the folder that it names; see TestMain.
const asGateway = "TEST_GATEWAY_FOLDER"

// TestMain lets a test start this binary as a second process that runs a server until it is killed.
func TestMain(m *testing.M) {
	folder := os.Getenv(asGateway)
	if folder == "" {
		code := m.Run()
		if err := os.RemoveAll(template); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
	if _, err := Start(context.Background(), Options{DataDir: folder, Volatile: true}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

// folder returns a new folder that an unprivileged user can reach, unlike t.TempDir's.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func options(t *testing.T) Options {
	return Options{DataDir: folder(t), Volatile: true, Log: func(msg string, kv ...any) { t.Log(append([]any{msg}, kv...)...) }}
}

// template is the folder of seed, "" until that has been called.
var template string

// seed makes one cluster for all tests that do not ask how a cluster is made.
var seed = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pg-")
	if err != nil {
		return "", err
	}
	template = dir
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	s, err := Start(ctx, Options{DataDir: dir, Volatile: true})
	if err != nil {
		return "", err
	}
	return s.dir.cluster(), s.Stop(ctx)
})

// seeded are options whose folder holds a cluster already.
func seeded(t *testing.T) Options {
	t.Helper()
	opt := options(t)
	cluster, err := seed()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", cluster, opt.DataDir).CombinedOutput(); err != nil {
		t.Fatalf("copy the cluster: %v: %s", err, out)
	}
	return opt
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// running starts a server that is stopped with the test.
func running(t *testing.T, opt Options) *Server {
	t.Helper()
	s, err := Start(within(t), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(within(t)); err != nil {
		t.Error(err)
	}
}

// query asks the server something with psql, as any client would.
func query(t *testing.T, s *Server, sql string) string {
	t.Helper()
	postgres, err := filepath.EvalSymlinks(s.bin.postgres())
	if err != nil {
		t.Fatal(err)
	}
	psql := filepath.Join(filepath.Dir(postgres), "psql")
	out, err := exec.Command(psql, "-XAtq", "-d", s.DSN(), "-c", sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for ctx := within(t); !cond(); {
		if pause(ctx, 5*time.Millisecond) != nil {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func postmasterOf(t *testing.T, s *Server) int {
	t.Helper()
	pm, err := readPostmaster(s.dir.cluster())
	if err != nil || pm.pid == 0 {
		t.Fatalf("postmaster.pid: %+v, %v", pm, err)
	}
	return pm.pid
}

// TestLifecycle makes a cluster, uses it, stops it and finds everything again.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	opt := options(t)
	opt.Settings = map[string]string{"work_mem": "5MB"}
	s, err := Start(within(t), opt)
	if err != nil {
		t.Fatal(err)
	}
	query(t, s, "create table kept as values (42)")
	for sql, want := range map[string]string{
		"show listen_addresses": "",
		"show data_checksums":   "on",
		"show server_encoding":  "UTF8",
		"show lc_collate":       "C",
		"show work_mem":         "5MB",
		"select lower('ÄÖ')":    "äö",
		"select current_user":   "postern",
		"show fsync":            "off",
	} {
		if got := query(t, s, sql); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	if info, err := os.Stat(s.dir.run()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder of the socket: %v, %v; want mode 0700", info, err)
	}
	hba, err := os.ReadFile(filepath.Join(s.dir.cluster(), "pg_hba.conf"))
	if err != nil || strings.Contains(string(hba), "\nhost") {
		t.Errorf("pg_hba.conf lets the network in: %v\n%s", err, hba)
	}
	pid := postmasterOf(t, s)
	stop(t, s)
	<-s.Done()
	if isPostmaster(pid, s.dir.cluster()) {
		t.Error("postgres is running after Stop")
	}
	opt.Volatile = false
	s = running(t, opt)
	if got := query(t, s, "table kept"); got != "42" {
		t.Errorf("after a restart: %q, want 42", got)
	}
	if got := query(t, s, "show fsync"); got != "on" {
		t.Errorf("fsync is %q without Volatile", got)
	}
}

// TestUnprivileged runs the life cycle as a user who is not root: with no user to change to, everything is our own.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	as, err := chooseUser("", "")
	if err != nil {
		t.Fatal(err)
	}
	if as == nil {
		return // we are such a user, and TestLifecycle has been that test
	}
	home := folder(t)
	program := filepath.Join(home, "embedded.test")
	copyProgram(t, program)
	if err := errors.Join(as.chown(home), as.chown(program)); err != nil {
		t.Fatal(err)
	}
	cmd := as.command(home, program, "-test.run=^TestLifecycle$|^TestAttach$")
	cmd.Env = append(environment(), "TMPDIR="+home, "HOME="+home)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("as %s: %v\n%s", as.name, err, out)
	}
}

func copyProgram(t *testing.T, to string) {
	t.Helper()
	from, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, from); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestKilledServer kills the postmaster: it is restarted, and what was committed is there.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	s := running(t, seeded(t))
	query(t, s, "create table kept as values (42)")
	for range 2 {
		old := postmasterOf(t, s)
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the server is back", func() bool {
			pm, err := readPostmaster(s.dir.cluster())
			return err == nil && pm.pid != old && s.Err() == nil && probe(within(t), s.socket) == nil
		})
		if got := query(t, s, "table kept"); got != "42" {
			t.Fatalf("after a crash: %q, want 42", got)
		}
	}
}

// TestKilledOwner kills the process that owns the server; the next owner takes over, and never are there two servers.
func TestKilledOwner(t *testing.T) {
	t.Parallel()
	opt := seeded(t)
	gateway := exec.Command(os.Args[0])
	gateway.Env = append(os.Environ(), asGateway+"="+opt.DataDir)
	gateway.Stderr = os.Stderr
	out, err := gateway.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := io.ReadAll(io.LimitReader(out, 6)); err != nil || string(line) != "ready\n" {
		t.Fatalf("gateway: %q, %v", line, err)
	}
	guest, err := Open(within(t), opt)
	if err != nil || guest.Owned() {
		t.Fatalf("Open beside a gateway: %+v, %v", guest, err)
	}
	old := postmasterOf(t, guest)
	stop(t, guest)
	if err := gateway.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = gateway.Wait() // killed
	s := running(t, opt)
	if isPostmaster(old, s.dir.cluster()) {
		t.Error("the old server still runs")
	}
	if pid := postmasterOf(t, s); pid == old {
		t.Error("the old server was taken over")
	}
}

// TestOrphan finds a server that its owner could not take along: it is stopped before another is started.
func TestOrphan(t *testing.T) {
	t.Parallel()
	opt := seeded(t)
	s := running(t, opt)
	query(t, s, "create table kept as values (42)")
	stop(t, s)
	cmd := s.as.command(s.dir.cluster(), s.bin.postgres(), "-D", s.dir.cluster(),
		"-c", "listen_addresses=", "-c", "unix_socket_directories="+s.dir.run())
	orphan, err := spawn(cmd)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the orphan is up", func() bool { return probe(within(t), s.dir.run()) == nil })
	s = running(t, opt)
	<-orphan.exited
	if pid := postmasterOf(t, s); pid == orphan.pid {
		t.Error("the orphan is still there")
	}
	if got := query(t, s, "table kept"); got != "42" {
		t.Errorf("after the orphan: %q, want 42", got)
	}
}

// TestStalePIDFile finds the trace of a dead server whose process number is now another's, as in a new container.
func TestStalePIDFile(t *testing.T) {
	t.Parallel()
	opt := seeded(t)
	s := running(t, opt)
	stop(t, s)
	text := strconv.Itoa(os.Getppid()) + "\n" + s.dir.cluster() + "\n1\n5432\n" + s.dir.run() + "\n\n0 0\nready\n"
	if err := os.WriteFile(pidFile(s.dir.cluster()), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s = running(t, opt)
	if err := syscall.Kill(os.Getppid(), 0); err != nil {
		t.Errorf("the bystander: %v", err)
	}
	query(t, s, "select 1")
}

// TestInterruptedFirstStart leaves half a cluster behind, which the next start removes.
func TestInterruptedFirstStart(t *testing.T) {
	t.Parallel()
	opt := options(t)
	ctx, cancel := context.WithCancel(within(t))
	opt.Log = func(msg string, _ ...any) {
		if strings.HasPrefix(msg, "making a new") {
			cancel()
		}
	}
	if s, err := Start(ctx, opt); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled Start: %v, %v", s, err)
	}
	half := filepath.Join(opt.DataDir, unfinished+"1")
	if err := os.MkdirAll(filepath.Join(half, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	opt.Log = nil
	query(t, running(t, opt), "select 1")
	if left, err := filepath.Glob(filepath.Join(opt.DataDir, unfinished+"*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// TestAttach has several processes' worth of users on one folder.
func TestAttach(t *testing.T) {
	t.Parallel()
	opt := seeded(t)
	if _, err := Attach(within(t), opt); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("Attach to nothing: %v", err)
	}
	owner, err := Open(within(t), opt)
	if err != nil || !owner.Owned() {
		t.Fatalf("Open on an idle folder: %+v, %v", owner, err)
	}
	if _, err := start(within(t), opt, 0); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("a second Start: %v, want ErrInUse and our process number", err)
	}
	guest, err := Open(within(t), opt)
	if err != nil || guest.Owned() {
		t.Fatalf("Open beside an owner: %+v, %v", guest, err)
	}
	guest.bin = owner.bin
	query(t, guest, "create table t (n int)")

	// The owner is asked to stop while a guest is at work: it waits, but lets nobody else in.
	stopped := make(chan error, 1)
	go func() { stopped <- owner.Stop(context.Background()) }()
	query(t, guest, "create table u (n int)")
	stop(t, guest)
	<-guest.Done()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if _, err := Attach(within(t), opt); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Attach after Stop: %v", err)
	}
}

// TestOpenTogether opens one folder from many sides at once, before anything is there.
func TestOpenTogether(t *testing.T) {
	t.Parallel()
	opt := options(t)
	servers := make(chan *Server)
	for range 4 {
		go func() {
			s, err := Open(within(t), opt)
			if err != nil {
				t.Error(err)
			}
			servers <- s
		}()
	}
	var owner *Server
	for range 4 {
		switch s := <-servers; {
		case s == nil:
		case s.Owned() && owner != nil:
			t.Error("two owners")
		case s.Owned():
			owner = s
		default:
			defer stop(t, s)
		}
	}
	if owner == nil {
		t.Fatal("no owner")
	}
	t.Cleanup(func() { stop(t, owner) })
}

// TestLongPath has a data folder whose path is too long for a socket.
func TestLongPath(t *testing.T) {
	t.Parallel()
	opt := options(t)
	if err := os.Chmod(opt.DataDir, 0o711); err != nil {
		t.Fatal(err)
	}
	opt.DataDir = filepath.Join(opt.DataDir, strings.Repeat("long ", 20), `it's "quoted"`)
	s := running(t, opt)
	if strings.HasPrefix(s.socket, opt.DataDir) || len(socketPath(s.socket)) > longest {
		t.Fatalf("socket in %q", s.socket)
	}
	guest, err := Open(within(t), opt)
	if err != nil {
		t.Fatal(err)
	}
	if guest.DSN() != s.DSN() {
		t.Errorf("guest's %q, owner's %q", guest.DSN(), s.DSN())
	}
	query(t, s, "select 1")
	stop(t, guest)
	stop(t, s)
	if _, err := os.Stat(s.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder of the socket after Stop: %v", err)
	}
}

// TestFailedStart shows what postgres has to say when it does not start.
func TestFailedStart(t *testing.T) {
	t.Parallel()
	opt := seeded(t)
	opt.Settings = map[string]string{"shared_buffers": "lots"}
	_, err := Start(within(t), opt)
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("Start: %v", err)
	}
	opt.Settings = nil
	query(t, running(t, opt), "select 1")
}
