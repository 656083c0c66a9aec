//go:build acme

package gateway_test

import (
	"path/filepath"
	"testing"
	"time"

	"postern/pkg/certs/acmetest"
)

// TestRenewalByProgram is TestRenewal with the program as it is: what has less than some minutes left is renewed when it next
// looks, after 45 seconds. `make acme-check` runs it.
func TestRenewalByProgram(t *testing.T) {
	t.Parallel()
	ca := acmetest.Start(t, acmetest.Options{Valid: 2 * time.Minute})
	s, err := startServer(filepath.Join(workDir, "renewal"), renewalSettings(ca)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	s.outliveRenewal(t)
}
