// Package slapdtest runs a real LDAP server, OpenLDAP's slapd (Debian's package of that name), for tests.
package slapdtest

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/pkg/certs/certtest"
	"postern/pkg/listen/freeport"
)

// The entries there are, all below Base. Anna and Carla have the password Password, Bert has none, and two have the address
// Shared. Nobody but Searcher may search.
const (
	Base           = "dc=example,dc=org"
	People         = "ou=people," + Base
	Password       = "correct horse battery"
	Searcher       = "cn=search," + Base
	SearcherSecret = "the searcher's"
	Shared         = "shared@example.org"
)

const data = `dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=search,dc=example,dc=org
objectClass: person
cn: search
sn: search
userPassword: the searcher's

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=elsewhere,ou=people,dc=example,dc=org
objectClass: referral
objectClass: extensibleObject
ou: elsewhere
ref: ldap://127.0.0.1:1/ou=people,dc=example,dc=org
`

const entry = `
dn: uid=%[1]s,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: %[1]s
cn: %[1]s
sn: %[1]s
mail: %[2]s
%[3]s`

const config = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile %[1]s/pid
argsfile %[1]s/args
TLSCertificateFile %[1]s/cert.pem
TLSCertificateKeyFile %[1]s/cert.pem
TLSVerifyClient never
database mdb
maxsize 8388608
suffix dc=example,dc=org
directory %[1]s/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=search,dc=example,dc=org" read by * none
`

// patience is how long it may take to start.
const patience = time.Minute

// Server is a slapd. It speaks LDAP on a socket, on a port, and on one with TLS; its certificate is for 127.0.0.1.
type Server struct {
	Socket, Plain, TLS string // URLs
	RootsFile          string // certificates to trust when talking to it, PEM
	Roots              *x509.CertPool

	dir   string
	proc  *exec.Cmd
	ended chan struct{} // closed when proc has
	log   bytes.Buffer  // of proc; to be read when it has ended
}

// Start runs a server until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "slapd-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // what is left is the system's to remove
	s := &Server{
		dir: dir, RootsFile: filepath.Join(dir, "cert.pem"), Socket: "ldapi://" + dir + "/socket",
	}
	s.Roots = certtest.Loopback(t, s.RootsFile)
	text := data + fmt.Sprintf(entry, "anna", "anna@example.org", "userPassword: "+Password+"\n") +
		fmt.Sprintf(entry, "bert", "bert@example.org", "") +
		fmt.Sprintf(entry, "carla", "carla@example.org", "userPassword: "+Password+"\n") +
		fmt.Sprintf(entry, "one", Shared, "userPassword: "+Password+"\n") + fmt.Sprintf(entry, "other", Shared, "userPassword: "+Password+"\n")
	for name, text := range map[string]string{"slapd.conf": fmt.Sprintf(config, dir), "data.ldif": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	add := exec.Command("/usr/sbin/slapadd", "-f", filepath.Join(dir, "slapd.conf"), "-l", filepath.Join(dir, "data.ldif"))
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("slapadd (Debian's package slapd): %v\n%s", err, out)
	}
	for tries := 0; ; tries++ { // a port may be taken after it was found free
		s.Plain, s.TLS = "ldap://"+freeport.For(t), "ldaps://"+freeport.For(t)
		if err := s.run(); err == nil {
			break
		} else if tries == 5 {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("slapd said:\n%s", s.log.Bytes()[max(0, s.log.Len()-5000):])
		}
	})
	return s
}

// Run starts the server, again if it has been stopped, and returns when it answers.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) run() error {
	urls := fmt.Sprintf("ldapi://%s %s %s", url.PathEscape(s.dir+"/socket"), s.Plain, s.TLS)
	s.proc = exec.Command("/usr/sbin/slapd", "-f", filepath.Join(s.dir, "slapd.conf"), "-h", urls, "-d", "0")
	s.proc.Stdout, s.proc.Stderr = &s.log, &s.log
	if err := s.proc.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	go func() {
		_ = s.proc.Wait() // how it ended does not matter
		close(s.ended)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); ; {
		err := s.answers()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("slapd has ended:\n%s", s.log.Bytes())
		case <-late:
			s.Stop()
			return fmt.Errorf("slapd does not answer: %w", err)
		}
	}
}

// answers reports whether all of the server's listeners are there.
func (s *Server) answers() error {
	for addr, network := range map[string]string{
		s.dir + "/socket": "unix", strings.TrimPrefix(s.Plain, "ldap://"): "tcp", strings.TrimPrefix(s.TLS, "ldaps://"): "tcp",
	} {
		conn, err := net.Dial(network, addr)
		if err != nil {
			return err
		}
		conn.Close()
	}
	return nil
}

// Stop ends the server as a crash would.
func (s *Server) Stop() {
	_ = s.proc.Process.Kill() // it may have ended
	<-s.ended
}
