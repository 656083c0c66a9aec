package message

import (
	"testing"
)

func TestThread(t *testing.T) {
	t.Parallel()
	const root = "Message-ID: <root@example.org>\r\n"
	want := spool(t, []byte(root+"\r\n"), SpoolOptions{}).Thread()
	if want <= 0 {
		t.Fatalf("Thread() = %d", want)
	}
	tests := []struct {
		name, header string
		same         bool
	}{
		{"references", "Message-ID: <b@x>\r\nReferences: <root@example.org> <a@x>\r\nIn-Reply-To: <a@x>\r\n", true},
		{"folded references", "References:\r\n <root@\r\n\texample.org>\r\n <a@x>\r\n", true},
		{"in any case of the name", "REFERENCES: <root@example.org>\r\n", true},
		{"only in reply to", "In-Reply-To: <root@example.org>\r\nMessage-ID: <b@x>\r\n", true},
		{"in reply to, with a phrase", "In-Reply-To: Your message of Monday <root@example.org>\r\n", true},
		{"without brackets", "In-Reply-To: root@example.org\r\n", true},
		{"empty references", "References: <>\r\nIn-Reply-To: <root@example.org>\r\n", true},
		{"references win", "In-Reply-To: <root@example.org>\r\nReferences: <a@x> <root@example.org>\r\n", false},
		{"another case is another id", "Message-ID: <ROOT@example.org>\r\n", false},
		{"of the message inside", "Content-Type: message/rfc822\r\n\r\nMessage-ID: <root@example.org>\r\n", false},
	}
	for _, test := range tests {
		if got := spool(t, []byte(test.header+"\r\n"), SpoolOptions{}).Thread(); (got == want) != test.same || got < 0 {
			t.Errorf("%s: %d, that of the root is %d", test.name, got, want)
		}
	}
}

func TestThreadOfNone(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"", "Subject: x\r\n", "Message-ID: \r\n", "References: <\r\n", "In-Reply-To: your message\r\n"} {
		if got := spool(t, []byte(header+"\r\nx\r\n"), SpoolOptions{}).Thread(); got != 0 {
			t.Errorf("%q: %d", header, got)
		}
	}
}
