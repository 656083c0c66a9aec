package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"postern/pkg/config"
	"postern/pkg/embedded"
	"postern/pkg/gateway"
)

// postern is the real program, with a private PostgreSQL.
type postern struct {
	*process        // of the last start
	binary   string //
	dir      string // its data folder
	log      string //
	host     string // an address of loopback that it has for itself

	mu    sync.Mutex
	addrs map[string]string // guarded by mu; where it says that it listens, by service
}

// services are those that must listen before Postern is ready.
var services = []string{"lmtp", "pop3", "imap", "http"}

// newPostern says where the program keeps what it keeps: below dir.
func newPostern(binary, dir string) *postern {
	return &postern{
		binary: binary, dir: filepath.Join(dir, "postern"), log: filepath.Join(dir, "postern.log"),
		// Ports that it had are still free when it starts again: nobody else listens on this address.
		host:  fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254)),
		addrs: make(map[string]string),
	}
}

// settings are variables of the environment. The first time it chooses its ports itself, and says in its log which.
func (p *postern) settings() []string {
	set := []string{
		"POSTERN_DATA_DIR=" + p.dir, "POSTERN_HOSTNAME=localhost", "POSTERN_TLS_MODE=self-signed",
		fmt.Sprintf("POSTERN_LIMITS_CONNECTIONS_PER_ADDRESS=%d", connections),
		fmt.Sprintf("POSTERN_LIMITS_SESSIONS_PER_ACCOUNT=%d", connections),
	}
	for _, s := range services {
		set = append(set, "POSTERN_"+strings.ToUpper(s)+"_LISTEN="+cmp.Or(p.addr(s), p.host+":0"))
	}
	return set
}

// start runs the program and returns when it serves.
func (p *postern) start(ctx context.Context) error {
	cmd := exec.Command(p.binary, "serve")
	cmd.Env = append(os.Environ(), p.settings()...)
	serving, err := p.run(cmd)
	if err != nil {
		return fmt.Errorf("start Postern: %w", err)
	}
	if err := p.await(ctx, serving); err != nil {
		return errors.Join(fmt.Errorf("start Postern: %w; the end of its log:\n%s", err, tail(p.log)), p.stop())
	}
	return nil
}

// run starts the command with a log that is kept and read at the same time. The channel is closed when it serves.
func (p *postern) run(cmd *exec.Cmd) (<-chan struct{}, error) {
	log, err := os.OpenFile(p.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	defer w.Close()
	cmd.Stdout, cmd.Stderr = w, w
	if p.process, err = start(cmd); err != nil {
		return nil, errors.Join(err, r.Close(), log.Close())
	}
	serving := make(chan struct{})
	go p.read(r, log, serving)
	return serving, nil
}

// read keeps the log, and notes where the services listen, until the program ends.
func (p *postern) read(r io.ReadCloser, log io.WriteCloser, serving chan<- struct{}) {
	defer r.Close()
	defer log.Close()
	lines := bufio.NewReader(io.TeeReader(r, log))
	for heard := 0; heard < len(services); {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var said struct{ Msg, Service, Addr string }
		if json.Unmarshal(line, &said) != nil || said.Msg != "listening" {
			continue
		}
		heard++
		p.mu.Lock()
		p.addrs[said.Service] = said.Addr
		p.mu.Unlock()
	}
	close(serving)
	_, _ = io.Copy(io.Discard, lines) // ends with the program; a log that cannot be written is no reason to stop measuring
}

// addr is where a service listens.
func (p *postern) addr(service string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addrs[service]
}

// pair is the file of the certificate it has made, and its key.
func (p *postern) pair() string { return filepath.Join(p.dir, "certs", "self-signed.pem") }

// config is what the program was started with.
func (p *postern) config() (*config.Config, error) {
	return config.Load(config.Source{Environ: p.settings})
}

// addAccounts makes accounts that all have the same hash.
func (p *postern) addAccounts(ctx context.Context, addresses []string, hash string) error {
	c, err := p.config()
	if err != nil {
		return fmt.Errorf("settings of Postern: %w", err)
	}
	b, err := gateway.OpenForCommand(ctx, gateway.Options{Config: c})
	if err != nil {
		return fmt.Errorf("add accounts to Postern: %w", err)
	}
	defer b.Close()
	for _, address := range addresses {
		if _, err := b.Store.CreateAccount(ctx, address, hash, 0); err != nil {
			return fmt.Errorf("add %s to Postern: %w", address, err)
		}
	}
	return nil
}

// database is the connection string of its private PostgreSQL, which serves while it does.
func (p *postern) database(ctx context.Context) (string, error) {
	c, err := p.config()
	if err != nil {
		return "", fmt.Errorf("settings of Postern: %w", err)
	}
	s, err := embedded.Attach(ctx, embedded.Options{DataDir: c.ClusterDir()})
	if err != nil {
		return "", fmt.Errorf("PostgreSQL of Postern: %w", err)
	}
	return s.DSN(), s.Stop(ctx) // it is not ours: this lets go of it, so that Postern need not wait for us when it stops
}
