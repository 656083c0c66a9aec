package certs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/libdns/libdns"
)

// DNSHook makes DNS-01 records with a command of the operator's, for every provider that has no other way in:
//
//	command present _acme-challenge.mail.example.org. VALUE
//	command cleanup _acme-challenge.mail.example.org. VALUE
//
// It must return when the record is on its way, and fail if it is not. It is safe for concurrent use if the command is.
type DNSHook struct {
	Command []string // the program and its first arguments
}

// hookOutput is how much of what a hook prints goes into an error.
const hookOutput = 500

// AppendRecords implements libdns.RecordAppender.
func (h *DNSHook) AppendRecords(ctx context.Context, zone string, recs []libdns.Record) ([]libdns.Record, error) {
	return h.each(ctx, "present", zone, recs)
}

// DeleteRecords implements libdns.RecordDeleter.
func (h *DNSHook) DeleteRecords(ctx context.Context, zone string, recs []libdns.Record) ([]libdns.Record, error) {
	return h.each(ctx, "cleanup", zone, recs)
}

func (h *DNSHook) each(ctx context.Context, what, zone string, recs []libdns.Record) ([]libdns.Record, error) {
	var errs []error
	for _, rec := range recs {
		rr := rec.RR()
		errs = append(errs, h.run(ctx, what, libdns.AbsoluteName(rr.Name, strings.TrimSuffix(zone, ".")+"."), rr.Data))
	}
	return recs, errors.Join(errs...)
}

func (h *DNSHook) run(ctx context.Context, args ...string) error {
	args = append(append([]string(nil), h.Command...), args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		out = bytes.TrimSpace(out)
		return fmt.Errorf("%s: %w: %q", strings.Join(args, " "), err, out[:min(len(out), hookOutput)])
	}
	return nil
}
