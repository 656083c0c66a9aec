package postgres

import (
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postern/pkg/store"
)

// TestSearchAgain: what has been read for a search is not read again for another that looks for the same, be it turned round or
// in another mailbox; what has come since is.
func TestSearchAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.mail("Subject: 1\r\n\r\nan invoice\r\n", "Subject: 2\r\n\r\na bill\r\n", "Subject: 3\r\n\r\nInvoice\r\n")
	body := func(text string) store.Criteria { return native(imap.SearchCriteria{Body: []string{text}}) }
	not := func(c store.Criteria) store.Criteria { return store.Criteria{Not: []store.Criteria{c}} }
	seen := native(imap.SearchCriteria{Body: []string{"invoice"}, NotFlag: []imap.Flag{imap.FlagSeen}})
	search := func(c store.Criteria, want ...imap.UID) {
		t.Helper()
		got, err := f.a.Search(t.Context(), f.openInbox(f.a), &c)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%+v: %v, %v, want %v", c, got, err, want)
		}
	}
	search(body("invoice"), 1, 3)
	f.exec(`update bodies set data = ''`) // what is read from now on is damaged, and not found
	search(body("INVOICE"), 1, 3)
	search(seen, 1, 3)
	search(not(body("invoice")), 2)
	search(body("bill"))
	f.mail("Subject: 4\r\n\r\ninvoice\r\n")
	search(body("invoice"), 1, 3, 4)
}

// TestVerdictsBound: of more messages than are remembered those read last are.
func TestVerdictsBound(t *testing.T) {
	t.Parallel()
	ids := func(from, n int) []store.MessageID {
		all := make([]store.MessageID, n)
		for i := range all {
			all[i] = store.MessageID(from + i)
		}
		return all
	}
	v := new(verdicts).and(&verdicts{yes: ids(100, 10), no: ids(200, 10)})
	v = v.and(&verdicts{yes: ids(0, 10), no: ids(205, 10)})
	if len(v.yes) != 20 || len(v.no) != 15 || !slices.IsSorted(v.yes) || !slices.IsSorted(v.no) {
		t.Errorf("%+v", v)
	}
	if v.of(5) != store.Yes || v.of(214) != store.No || v.of(50) != store.Unknown {
		t.Error(v.of(5), v.of(214), v.of(50))
	}
	v = v.and(&verdicts{no: ids(1000, verdictsOf-1)})
	if len(v.yes) != 0 || len(v.no) != verdictsOf-1 {
		t.Error(len(v.yes), len(v.no))
	}
}
