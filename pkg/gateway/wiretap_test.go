package gateway_test

import (
	"bufio"
	"compress/flate"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// wiretap stands between a mail program and a server, under the server's certificate, and writes down the shapes of the
// commands that the program sends: numbers, strings and literals are left out.
type wiretap struct {
	*server // as the program sees it; only imap is set

	behind   string // the server's address
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	said  map[string]int // shape to times
}

func newWiretap(t *testing.T, s *server) *wiretap {
	t.Helper()
	pair := filepath.Join(s.dir, "certs", "self-signed.pem")
	cert, err := tls.LoadX509KeyPair(pair, pair)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{server: &server{imap: l.Addr().String()}, behind: s.imap, listener: l, said: make(map[string]int)}
	w.wg.Go(w.accept)
	t.Cleanup(func() {
		w.close()
		t.Log(w.report())
	})
	return w
}

func (w *wiretap) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return // closed
		}
		far, err := tls.Dial("tcp", w.behind, insecure)
		if err != nil {
			near.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, near, far)
		w.mu.Unlock()
		r, pipe := io.Pipe()
		w.wg.Go(func() {
			_, err := io.Copy(io.MultiWriter(far, pipe), near)
			pipe.CloseWithError(err)
			far.Close()
		})
		w.wg.Go(func() {
			_, _ = io.Copy(near, far) // it ends when either hangs up
			near.Close()
		})
		w.wg.Go(func() {
			w.listen(bufio.NewReader(r))
			_, _ = io.Copy(io.Discard, r)
		})
	}
}

// close hangs up on everybody and returns when all that was said has been written down.
func (w *wiretap) close() {
	w.listener.Close()
	w.mu.Lock()
	for _, c := range w.conns {
		c.Close()
	}
	w.mu.Unlock()
	w.wg.Wait()
}

// listen writes down the commands of one connection.
func (w *wiretap) listen(r *bufio.Reader) {
	for {
		text, err := readCommand(r)
		if err != nil {
			return
		}
		shape := shapeOf(text)
		if shape == "" {
			continue
		}
		w.mu.Lock()
		w.said[shape]++
		w.mu.Unlock()
		if strings.HasPrefix(shape, "COMPRESS ") {
			r = bufio.NewReader(flate.NewReader(r)) // no program sends on before it has the reply
		}
	}
}

var literal = regexp.MustCompile(`\{(\d+)(\+?)\}$`)

// readCommand reads a line, and what follows as long as it ends in a literal.
func readCommand(r *bufio.Reader) (string, error) {
	var text strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		text.WriteString(line)
		m := literal.FindStringSubmatch(line)
		if m == nil {
			return text.String(), nil
		}
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return "", err
		}
		if _, err := io.CopyN(io.Discard, r, n); err != nil {
			return "", err
		}
	}
}

var (
	quotedString = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	numbers      = regexp.MustCompile(`(^|[ (<.])[0-9*][0-9:,*]*\b\*?`)
	literalSize  = regexp.MustCompile(`\{\d+`)
)

// shapeOf is a command without its tag and without what differs from one use to the next. It is empty for what is no
// command: a line of a SASL exchange.
func shapeOf(line string) string {
	if strings.EqualFold(line, "DONE") {
		return "DONE"
	}
	_, text, ok := strings.Cut(line, " ")
	if !ok {
		return ""
	}
	name, rest, _ := strings.Cut(text, " ")
	name = strings.ToUpper(name)
	if name == "UID" {
		name, rest, _ = strings.Cut(rest, " ")
		name = "UID " + strings.ToUpper(name)
	}
	switch name {
	case "LOGIN":
		return "LOGIN"
	case "AUTHENTICATE":
		mechanism, _, initial := strings.Cut(rest, " ")
		if initial {
			mechanism += " (initial response)"
		}
		return name + " " + mechanism
	}
	rest = quotedString.ReplaceAllString(rest, `"…"`)
	rest = literalSize.ReplaceAllString(rest, "{n")
	rest = numbers.ReplaceAllString(rest, "${1}n")
	return strings.TrimSpace(name + " " + rest)
}

// extensions says by which words of a command an extension is known.
var extensions = []struct {
	name  string
	known *regexp.Regexp
}{
	{"ACL", regexp.MustCompile(`^(GETACL|SETACL|DELETEACL|MYRIGHTS|LISTRIGHTS)`)},
	{"COMPRESS=DEFLATE", regexp.MustCompile(`^COMPRESS DEFLATE`)},
	{"CONDSTORE", regexp.MustCompile(`(?i)CONDSTORE|MODSEQ|CHANGEDSINCE|UNCHANGEDSINCE`)},
	{"ENABLE", regexp.MustCompile(`^ENABLE`)},
	{"ESEARCH", regexp.MustCompile(`^(UID )?SEARCH RETURN`)},
	{"ID", regexp.MustCompile(`^ID `)},
	{"IDLE", regexp.MustCompile(`^IDLE`)},
	{"LIST-EXTENDED", regexp.MustCompile(`(?i)^LIST (\(|.*RETURN)`)},
	{"LIST-STATUS", regexp.MustCompile(`(?i)^LIST .*RETURN \(.*STATUS`)},
	{"LITERAL+", regexp.MustCompile(`\{n\+\}`)},
	{"METADATA", regexp.MustCompile(`^(GET|SET)METADATA`)},
	{"MOVE", regexp.MustCompile(`^(UID )?MOVE`)},
	{"NAMESPACE", regexp.MustCompile(`^NAMESPACE`)},
	{"NOTIFY", regexp.MustCompile(`^NOTIFY`)},
	{"OBJECTID", regexp.MustCompile(`EMAILID|THREADID|MAILBOXID`)},
	{"QRESYNC", regexp.MustCompile(`QRESYNC`)},
	{"QUOTA", regexp.MustCompile(`^(GET|SET)QUOTA`)},
	{"SASL-IR", regexp.MustCompile(`\(initial response\)`)},
	{"SORT", regexp.MustCompile(`^(UID )?SORT`)},
	{"SPECIAL-USE", regexp.MustCompile(`(?i)SPECIAL-USE`)},
	{"THREAD", regexp.MustCompile(`^(UID )?THREAD`)},
	{"UIDPLUS", regexp.MustCompile(`^UID EXPUNGE`)},
	{"UNSELECT", regexp.MustCompile(`^UNSELECT`)},
	{"UTF8=ACCEPT", regexp.MustCompile(`UTF8=ACCEPT`)},
}

// hear waits until a command of this shape, or one that begins so, has been sent.
func (w *wiretap) hear(t *testing.T, shape string) {
	t.Helper()
	heard := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for said := range w.said {
			if strings.HasPrefix(said, shape) {
				return true
			}
		}
		return false
	}
	if !await(heard) {
		t.Fatalf("%q is never sent", shape)
	}
}

// wantUsed ends the recording and checks that the program used these extensions; another version of it may use more.
func (w *wiretap) wantUsed(t *testing.T, want ...string) {
	t.Helper()
	w.close()
	if missing := without(want, w.used()); len(missing) > 0 {
		t.Errorf("it did not use %q", missing)
	}
}

// used names the extensions of which a command was sent.
func (w *wiretap) used() []string {
	shapes := slices.Collect(maps.Keys(w.said))
	var used []string
	for _, e := range extensions {
		if slices.ContainsFunc(shapes, e.known.MatchString) {
			used = append(used, e.name)
		}
	}
	return used
}

// report lists the shapes of commands and how often each was sent.
func (w *wiretap) report() string {
	var text strings.Builder
	fmt.Fprintf(&text, "used %s\n", strings.Join(w.used(), " "))
	for _, shape := range slices.Sorted(maps.Keys(w.said)) {
		fmt.Fprintf(&text, "%5d %s\n", w.said[shape], shape)
	}
	return text.String()
}
