package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"text/template"
)

// dovecot is Debian's Dovecot with a configuration of its own, as an unprivileged user.
type dovecot struct {
	*process   // of the last start
	*listeners // IMAP, POP3, LMTP
	dir, log   string
	as         *syscall.Credential // whom to run as; nil: ourselves
}

// dovecotUser is whom Dovecot runs as when we are root.
const dovecotUser = "nobody"

// dovecotConfig is Dovecot's documentation's advice for speed (login processes that stay, hashes computed by several), limits that no step reaches, the
// same cipher of TLS as Postern's, and Dovecot's defaults for the rest: indexes, caches and logs among them.
var dovecotConfig = template.Must(template.New("").Parse(`protocols = imap pop3 lmtp
listen = 127.0.0.1
base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/state
log_path = {{.Dir}}/dovecot.log
default_internal_user = {{.User}}
default_internal_group = {{.Group}}
default_login_user = {{.User}}
default_process_limit = {{.Connections}}
default_client_limit = {{.Clients}}
default_vsz_limit = 2 G
postmaster_address = postmaster@example.org
hostname = localhost

mail_location = maildir:~/Maildir
mail_fsync = {{.Fsync}}
mail_max_userip_connections = {{.Connections}}
first_valid_uid = 1
namespace inbox {
  inbox = yes
  separator = /
}

ssl = required
ssl_cert = <{{.Dir}}/pair.pem
ssl_key = <{{.Dir}}/pair.pem
ssl_min_protocol = TLSv1.2
ssl_cipher_suites = TLS_AES_128_GCM_SHA256

auth_cache_size = 64 M
auth_cache_ttl = 1 hour
auth_cache_verify_password_with_worker = yes
passdb {
  driver = passwd-file
  args = scheme=ARGON2ID username_format=%u {{.Dir}}/users
}
userdb {
  driver = static
  args = uid={{.UID}} gid={{.GID}} home={{.Dir}}/mail/%u allow_all_users=yes
}

service anvil {
  chroot =
}
service stats {
  chroot =
}
service auth {
  client_limit = {{.Clients}}
}
service imap {
  process_limit = {{.Connections}}
}
service lmtp {
  inet_listener lmtp {
    port = {{.LMTP}}
  }
}
service imap-login {
  chroot =
  service_count = 0
  process_min_avail = {{.Cores}}
  process_limit = {{.Cores}}
  client_limit = {{.Connections}}
  inet_listener imap {
    port = 0
  }
  inet_listener imaps {
    port = {{.IMAP}}
    ssl = yes
  }
}
service pop3-login {
  chroot =
  service_count = 0
  process_min_avail = {{.Cores}}
  process_limit = {{.Cores}}
  client_limit = {{.Connections}}
  inet_listener pop3 {
    port = 0
  }
  inet_listener pop3s {
    port = {{.POP3}}
    ssl = yes
  }
}
`))

// dovecotValues fill in dovecotConfig.
type dovecotValues struct {
	Dir, User, Group, Fsync     string
	UID, GID                    int
	Connections, Clients, Cores int
	IMAP, POP3, LMTP            int
}

// dovecotOptions says how to run Dovecot.
type dovecotOptions struct {
	dir   string // for all it keeps
	pair  string // file of the certificate and its key
	fsync string // mail_fsync
	users []string
	hash  string // of everyone's password
}

// newDovecot writes the configuration. We open the listeners and hand them over as systemd does: no port is guessed, and it
// is the same after a restart.
func newDovecot(ctx context.Context, o dovecotOptions) (*dovecot, error) {
	d := &dovecot{dir: filepath.Join(o.dir, "dovecot"), log: filepath.Join(o.dir, "dovecot.log")}
	v, err := d.owner()
	if err != nil {
		return nil, fmt.Errorf("configure Dovecot: %w", err)
	}
	if d.listeners, err = listenThrice(ctx); err != nil {
		return nil, fmt.Errorf("configure Dovecot: %w", err)
	}
	v.Dir, v.Fsync, v.IMAP, v.POP3, v.LMTP = d.dir, o.fsync, d.port(0), d.port(1), d.port(2)
	if err := d.write(o, v); err != nil {
		return nil, errors.Join(fmt.Errorf("configure Dovecot: %w", err), d.listeners.close())
	}
	return d, nil
}

// start runs Dovecot and returns when it serves.
func (d *dovecot) start(ctx context.Context) error {
	if err := d.run(); err != nil {
		return fmt.Errorf("start Dovecot: %w", err)
	}
	greeted := make(chan struct{})
	go d.greet(greeted)
	if err := d.await(ctx, greeted); err != nil {
		err = fmt.Errorf("start Dovecot: %w; the end of its log:\n%s\n%s", err, tail(d.log), tail(d.ownLog()))
		return errors.Join(err, d.stop())
	}
	return nil
}

// close ends what start began and gives up the ports.
func (d *dovecot) close() error { return errors.Join(d.stop(), d.listeners.close()) }

// owner finds out whom to run as: ourselves, or somebody who may do less when we are root.
func (d *dovecot) owner() (v dovecotValues, err error) {
	u, err := user.Current()
	if err == nil && os.Geteuid() == 0 {
		u, err = user.Lookup(dovecotUser)
	}
	if err != nil {
		return v, err
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return v, err
	}
	v = dovecotValues{User: u.Username, Group: g.Name, Connections: connections, Clients: 4 * connections, Cores: runtime.NumCPU()}
	if v.UID, err = strconv.Atoi(u.Uid); err != nil {
		return v, err
	}
	if v.GID, err = strconv.Atoi(u.Gid); err != nil {
		return v, err
	}
	if os.Geteuid() == 0 {
		d.as = &syscall.Credential{Uid: uint32(v.UID), Gid: uint32(v.GID)}
	}
	return v, nil
}

// write makes the folder with the configuration, the users and the certificate.
func (d *dovecot) write(o dovecotOptions, v dovecotValues) error {
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return err
	}
	var conf, users strings.Builder
	if err := dovecotConfig.Execute(&conf, v); err != nil {
		return err
	}
	for _, name := range o.users {
		fmt.Fprintf(&users, "%s:{ARGON2ID}%s\n", name, o.hash)
	}
	pair, err := os.ReadFile(o.pair)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{"dovecot.conf": conf.String(), "users": users.String(), "pair.pem": string(pair)} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return giveAway(d.dir, v.UID, v.GID)
}

// giveAway makes a folder, with what is in it, a user's own.
func giveAway(dir string, uid, gid int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Lchown(filepath.Join(dir, e.Name()), uid, gid); err != nil {
			return err
		}
	}
	return os.Lchown(dir, uid, gid)
}

// run starts the master process with the listeners, as sd_listen_fds(3) describes: their number, and the process that they
// are for, which is known only to itself.
func (d *dovecot) run() error {
	log, err := os.OpenFile(d.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	const script = `LISTEN_PID=$$ exec "$0" -F -c "$1"`
	cmd := exec.Command("/bin/sh", "-c", script, dovecotBinary(), filepath.Join(d.dir, "dovecot.conf"))
	cmd.Dir = d.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C", fmt.Sprintf("LISTEN_FDS=%d", len(d.files))}
	cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = d.files, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.as}
	d.process, err = start(cmd)
	return err
}

// dovecotBinary is the master's path. Debian keeps it where not every user's PATH leads.
func dovecotBinary() string {
	if path, err := exec.LookPath("dovecot"); err == nil {
		return path
	}
	return "/usr/sbin/dovecot"
}

// greet closes the channel when LMTP greets: until Dovecot takes them, connections wait in the listener.
func (d *dovecot) greet(greeted chan<- struct{}) {
	c, err := net.Dial("tcp", d.addr(2))
	if err != nil {
		return
	}
	defer c.Close()
	stop := make(chan struct{})
	defer close(stop)
	go func(exited <-chan struct{}) {
		select {
		case <-exited:
			c.Close()
		case <-stop:
		}
	}(d.exited)
	var hello [3]byte
	if _, err := io.ReadFull(c, hello[:]); err == nil && string(hello[:]) == "220" {
		close(greeted)
	}
}

// ownLog is what the services write into; log is what the master says before it knows that.
func (d *dovecot) ownLog() string { return filepath.Join(d.dir, "dovecot.log") }

// setting asks the program what a setting of the running configuration is.
func (d *dovecot) setting(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, "doveconf", "-c", filepath.Join(d.dir, "dovecot.conf"), "-h", name).Output()
	if err != nil {
		return "", fmt.Errorf("doveconf %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// listeners are open ports, with the files to hand over.
type listeners struct {
	opened []net.Listener
	files  []*os.File
}

// listenThrice opens three ports on loopback.
func listenThrice(ctx context.Context) (*listeners, error) {
	l := new(listeners)
	var lc net.ListenConfig
	for range 3 {
		opened, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.opened = append(l.opened, opened)
		f, err := opened.(*net.TCPListener).File()
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.files = append(l.files, f)
	}
	return l, nil
}

func (l *listeners) addr(i int) string { return l.opened[i].Addr().String() }

func (l *listeners) port(i int) int { return l.opened[i].Addr().(*net.TCPAddr).Port }

// close gives up our hold of the ports; a program that was given them keeps its own.
func (l *listeners) close() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	for _, o := range l.opened {
		errs = append(errs, o.Close())
	}
	return errors.Join(errs...)
}
