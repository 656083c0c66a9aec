package certs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/libdns/libdns"
)

func challengeRecord(value string) []libdns.Record {
	return []libdns.Record{libdns.TXT{Name: "_acme-challenge.mail", Text: value}}
}

// TestDNSHook: the command is told what to do, and why it failed is told.
func TestDNSHook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := filepath.Join(dir, "hook")
	const text = "#!/bin/sh\necho \"$@\" >> \"$1\"\n[ \"$4\" != bad ] || { echo no such zone; exit 3; }\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "log")
	h := &DNSHook{Command: []string{script, log}}
	if _, err := h.AppendRecords(t.Context(), "company.test.", challengeRecord("good")); err != nil {
		t.Error(err)
	}
	if _, err := h.DeleteRecords(t.Context(), "company.test.", challengeRecord("good")); err != nil {
		t.Error(err)
	}
	got, err := os.ReadFile(log)
	want := log + " present _acme-challenge.mail.company.test. good\n" + log + " cleanup _acme-challenge.mail.company.test. good\n"
	if err != nil || string(got) != want {
		t.Errorf("the command was called with\n%s, want\n%s, %v", got, want, err)
	}
	_, err = h.AppendRecords(t.Context(), "company.test.", challengeRecord("bad"))
	if err == nil || !strings.Contains(err.Error(), "no such zone") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
}
