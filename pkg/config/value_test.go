package config

import (
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1048576": 1 << 20, "64MiB": 64 << 20, "64 MiB": 64 << 20, "2GB": 2e9, "2GiB": 2 << 30, "1TiB": 1 << 40,
		"10kB": 10_000, "10KB": 10_000, "3KiB": 3 << 10, "5B": 5, " 7 ": 7,
		"": -1, "MiB": -1, "-1": -1, "1.5GB": -1, "1Mi": -1, "9999999999TiB": -1, "1e9": -1, "64mib": -1,
	} {
		got, err := ParseSize(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("ParseSize(%q) = %d, want %d", text, got, want)
		}
	}
}

// TestFormat has what is written read back the same.
func TestFormat(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 1: "1", 1500: "1500", 1 << 10: "1KiB", 100 << 20: "100MiB", 3 << 30: "3GiB", 2e9: "1953125KiB"} {
		got := formatSize(n)
		if back, err := parseSize(got); got != want || back != n || err != nil {
			t.Errorf("formatSize(%d) = %s, read back %d, %v; want %s", n, got, back, err, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 30 * time.Second: "30s", 2 * time.Minute: "2m", 90 * time.Minute: "1h30m", time.Hour: "1h", 61 * time.Second: "1m1s",
		48 * time.Hour: "2d", 25 * time.Hour: "25h", 1500 * time.Millisecond: "1.5s",
	} {
		got := formatDuration(d)
		if back, err := parseDuration(got); got != want || back != d || err != nil {
			t.Errorf("formatDuration(%d) = %s, read back %d, %v; want %s", d, got, back, err, want)
		}
	}
	for _, bad := range []string{"", "d", "1.5d", "999999999d", "5", "5 minutes"} {
		if d, err := parseDuration(bad); err == nil {
			t.Errorf("parseDuration(%q) = %v", bad, d)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"imap.lsten": "imap.listen", "imap_listen": "imap.listen", "POSTERN_DATABSE_URL": "database.url", "datadir": "data_dir",
		"tls.certfile": "tls.cert_file", "log.levle": "log.level",
	} {
		if got := nearest(key); got != "; did you mean "+want+"?" {
			t.Errorf("nearest(%s) = %q, want %s", key, got, want)
		}
	}
}
