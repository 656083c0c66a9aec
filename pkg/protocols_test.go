package pkg_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/pkg/imap"
)

// protocolRow is a row of a table in docs/protocols.md: what it says under each column's name.
type protocolRow struct {
	folder string // of the package named above the table; "" if none is
	cells  map[string]string
}

var (
	packageName = regexp.MustCompile("^Package `(pkg/\\w+)`")
	quoted      = regexp.MustCompile("`([^`]+)`")
)

// readProtocols returns the rows of docs/protocols.md by the heading above their table.
func readProtocols(t *testing.T) map[string][]protocolRow {
	t.Helper()
	text, err := os.ReadFile("../docs/protocols.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]protocolRow)
	var heading, folder string
	var columns []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		title, isHeading := strings.CutPrefix(line, "## ")
		found := packageName.FindStringSubmatch(line)
		switch {
		case isHeading:
			heading, folder = title, ""
		case found != nil:
			folder = found[1]
		case !strings.HasPrefix(line, "|"):
			columns = nil
		case columns == nil:
			columns = cells(line)
		case !strings.HasPrefix(line, "|-"):
			rows[heading] = append(rows[heading], newRow(t, folder, columns, cells(line)))
		}
	}
	return rows
}

func cells(line string) []string {
	fields := strings.Split(strings.Trim(line, "|"), "|")
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	return fields
}

func newRow(t *testing.T, folder string, columns, cells []string) protocolRow {
	t.Helper()
	if len(cells) != len(columns) {
		t.Fatalf("%d cells under %d columns: %q", len(cells), len(columns), cells)
	}
	r := protocolRow{folder, make(map[string]string)}
	for i, name := range columns {
		r.cells[name] = cells[i]
	}
	return r
}

// words are what a cell has between backquotes.
func (r protocolRow) words(column string) []string {
	var words []string
	for _, found := range quoted.FindAllStringSubmatch(r.cells[column], -1) {
		words = append(words, found[1])
	}
	return words
}

// path is where a file of a row is, from this folder.
func (r protocolRow) path(name string) string {
	switch {
	case strings.HasPrefix(name, "pkg/"):
		return path.Join("..", name)
	case strings.HasSuffix(name, ".txt"):
		return path.Join("..", r.folder, "testdata", name)
	}
	return path.Join("..", r.folder, name)
}

// TestProtocols holds docs/protocols.md to the code: what it points to is there, and it lists what is offered.
func TestProtocols(t *testing.T) {
	t.Parallel()
	rows := readProtocols(t)
	tests := testNames(t)
	for heading, table := range rows {
		for _, r := range table {
			where := heading + ", RFC " + r.cells["RFC"]
			if r.cells["Status"] == "" || len(r.words("File")) == 0 || len(r.words("Test")) == 0 {
				t.Errorf("%s: status, file and test are needed", where)
			}
			for _, name := range append(r.words("File"), r.words("Test")...) {
				if strings.HasPrefix(name, "Test") {
					if !slices.Contains(tests, name) {
						t.Errorf("%s: there is no %s", where, name)
					}
				} else if _, err := os.Stat(r.path(name)); err != nil {
					t.Errorf("%s: %v", where, err)
				}
			}
		}
	}
	var offered []string
	for _, c := range imap.Capabilities() {
		offered = append(offered, string(c.Name))
	}
	sameOffers(t, "IMAP", append(offered, "AUTH=EXTERNAL", "AUTH=SCRAM-SHA-256-PLUS", "AUTH=SCRAM-SHA-256",
		"AUTH=OAUTHBEARER", "AUTH=XOAUTH2", "AUTH=PLAIN", "AUTH=LOGIN"), rows["IMAP"]) // the mechanisms are auth's
	sameOffers(t, "POP3", announced(t, "pop3/testdata/capa.txt", "S1: "), rows["POP3"])
	sameOffers(t, "LMTP", announced(t, "lmtp/testdata/deliver.txt", "S1: 250-", "S1: 250 "), rows["LMTP"])
}

// TestReadme: the list of IMAP's extensions in the README is that of what is offered.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| IMAP \| (.*) \|$`).FindSubmatch(text)
	if row == nil {
		t.Fatal("there is no row of IMAP")
	}
	words := strings.FieldsFunc(string(row[1]), func(r rune) bool { return strings.ContainsRune(" ,;()", r) })
	for _, c := range imap.Capabilities() {
		name := strings.TrimPrefix(string(c.Name), "RIGHTS=kxte") // part of ACL
		if name = strings.TrimPrefix(name, "QUOTA=RES-"); name != "" && !slices.Contains(words, name) {
			t.Errorf("%s is not in the README", c.Name)
		}
	}
}

// testNames are the names of all tests.
func testNames(t *testing.T) []string {
	t.Helper()
	test := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	var names []string
	err := filepath.WalkDir(".", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range test.FindAllStringSubmatch(string(text), -1) {
			names = append(names, found[1])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// announced are the keywords of the first list in a transcript whose lines begin so. Transcripts are what is true on the
// wire: their own test sees to that.
func announced(t *testing.T, file string, begins ...string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keyword := regexp.MustCompile(`^[A-Z0-9][A-Z0-9-]+( .*)?$`)
	var words []string
	for line := range strings.Lines(string(text)) {
		for _, begin := range begins {
			line = strings.TrimPrefix(line, begin)
		}
		line = strings.TrimSpace(line)
		switch {
		case keyword.MatchString(line):
			word, _, _ := strings.Cut(line, " ")
			words = append(words, word)
		case len(words) > 0:
			return words
		}
	}
	t.Fatalf("%s: no end of the list", file)
	return nil
}

func sameOffers(t *testing.T, protocol string, offered []string, table []protocolRow) {
	t.Helper()
	var listed []string
	for _, r := range table {
		listed = append(listed, r.words("Offered as")...)
	}
	for _, word := range offered {
		if !slices.Contains(listed, word) {
			t.Errorf("%s: %s is offered and has no row", protocol, word)
		}
	}
	for _, word := range listed {
		if !slices.Contains(offered, word) {
			t.Errorf("%s: %s has a row and is not offered", protocol, word)
		}
	}
}

// TestReadmeSpeed: the README says of the speed beside Dovecot what the tables of docs/performance.md say.
func TestReadmeSpeed(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := os.ReadFile("../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	means := regexp.MustCompile(`\| \*\*Geometric mean\*\* \|.*\*\*([\d.]+)\*\*`).FindAllSubmatch(tables, -1)
	if len(means) != 2 {
		t.Fatalf("%d geometric means, want one for 2,000 messages and one for 50,000", len(means))
	}
	for i, by := range []string{"is %s times as fast", "and %s times with one of 50,000"} {
		if want := strings.Replace(by, "%s", string(means[i][1]), 1); !strings.Contains(string(readme), want) {
			t.Errorf("the README does not say %q", want)
		}
	}
}
