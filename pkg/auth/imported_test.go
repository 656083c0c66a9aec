package auth

import (
	"errors"
	"strings"
	"testing"
)

// The hashes of "correct horse" as others have made them: bcrypt and SHA-crypt by libcrypt, PBKDF2, SSHA by OpenSSL's functions.
var importedHashes = map[string]string{
	"SHA-512-CRYPT":             "$6$saltstring$.r0X7ub5wGR2v4Xz7svCIozfnlorFh19V89t8KC9Umd81uGhFgsyTRNyzQDXDIm17fFcR9z3z7oBNdsyYBbtm/",
	"SHA-512-CRYPT with rounds": "{SHA512-CRYPT}$6$rounds=1000$saltstring$YiR6NSM0LQXmu7vAhkMXfkdYk7qtFouVx1Mdr3HmzXspT8kONjlpU3CsV7ezCB62uXJoAdaagsH4ck7/tB9js.",
	"SHA-256-CRYPT":             "{CRYPT}$5$saltstring$vc6YOOogU4kWVvwga8e9zTFgKcy4tb5LaPxIiPJzqEC",
	"bcrypt":                    "{BLF-CRYPT}$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
	"bcrypt 2b":                 "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
	"SSHA":                      "{SSHA}J1/8cWVgczTunyJ5hA+/nqlHwrswMTIzNDU2Nzg5YWJjZGVm",
	"SSHA256":                   "{SSHA256}TycnyLJ5QhE2eprQH+cZDi318lzhJ/29M/zKKptu2m4wMTIzNDU2Nzg5YWJjZGVm",
	"SSHA512":                   "{SSHA512}uIMBRJDYyi++ydl2YpjLqJsD4FEOY4x6dYBTjdryDtlK4nDiaGfezq9n4Yt9tUKSnHDcO95zcLlVgujbGyXJFjAxMjM0NTY3ODlhYmNkZWY=",
	"pbkdf2":                    "$pbkdf2$2900$MDEyMzQ1Njc4OWFiY2RlZg$CM8iLZ4o6iNX1pkpSdiJXuvQ6Og",
	"pbkdf2-sha256":             "$pbkdf2-sha256$2900$MDEyMzQ1Njc4OWFiY2RlZg$L8Dz/JTSuKAd5Xu2g2JFe47MRL74Ws/NGMRlHGLbm/g",
	"pbkdf2-sha512":             "$pbkdf2-sha512$2900$MDEyMzQ1Njc4OWFiY2RlZg$eXCCPf55KHpyPT33EPz2S7YnevAe68VPAgFvAMX4zlgUl33tYXZy6GR12bU/quvz43pdla8LVwb5XaDn1eei9A",
	"PBKDF2 of Dovecot":         "{PBKDF2}$1$saltsalt$5000$eea55bb73edfcebda120ce88c5bec0d56f6053e6",
}

// TestImportHash takes hashes of every scheme there is, and verifies the right and a wrong password.
func TestImportHash(t *testing.T) {
	t.Parallel()
	for name, hash := range importedHashes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secret, err := ImportHash(" " + hash + "\n")
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := checkHash(right, secret); !ok || err != nil {
				t.Errorf("right: %v, %v", ok, err)
			}
			if ok, err := checkHash(right+"!", secret); ok || err != nil {
				t.Errorf("wrong: %v, %v", ok, err)
			}
		})
	}
}

// TestImportHashRefused has what must not be taken: schemes that are unknown or too weak, what is broken, what would take hours.
func TestImportHashRefused(t *testing.T) {
	t.Parallel()
	for _, hash := range []string{
		"", "x", "correct horse", "$", "$$", "$$$$", "{}", "{SSHA}", "{SSHA256}x",
		"$1$salt$qJH7.N4xYta3aEG/dfqo/0", "{MD5-CRYPT}$1$salt$qJH7.N4xYta3aEG/dfqo/0", "{PLAIN}correct horse", "{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=",
		"{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", "{CRYPT}abJnggxhB/yWI", "$y$j9T$x$y", "$argon2i$v=19$m=16,t=2,p=1$c2FsdHNhbHQ$MTIz",
		"$argon2id$v=19$m=99999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$2b$31$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuuabcdefghijklmnopq", "$2b$10$short", "$2b$05$" + strings.Repeat("!", 53),
		"$6$rounds=999999999$salt$" + strings.Repeat("a", 86), "$6$rounds=x$salt$" + strings.Repeat("a", 86), "$6$salt", "$5$",
		"$pbkdf2-sha256$99999999$AAAAAAAAAAA$" + strings.Repeat("A", 43), "$pbkdf2-sha256$0$AAAAAAAAAAA$" + strings.Repeat("A", 43),
		"$pbkdf2-sha256$1000$AAAAAAAAAAA$", "$pbkdf2-md5$1000$AAAAAAAAAAA$" + strings.Repeat("A", 43),
		"{PBKDF2}$1$salt$99999999$" + strings.Repeat("0", 40), "{PBKDF2}$2$salt$1$" + strings.Repeat("0", 40), "{PBKDF2}x",
		"{SSHA}" + strings.Repeat("A", 1000),
	} {
		if secret, err := ImportHash(hash); !errors.Is(err, ErrHash) {
			t.Errorf("ImportHash(%q) = %q, %v", hash, secret, err)
		}
		if ok, err := checkHash(right, hash); ok || err == nil {
			t.Errorf("checkHash(%q) = %v, %v", hash, ok, err)
		}
	}
}

// FuzzImportHash has hashes of any form: what is taken can be compared with, in bounded time.
func FuzzImportHash(f *testing.F) {
	for _, hash := range importedHashes {
		f.Add(hash)
	}
	f.Fuzz(func(t *testing.T, hash string) {
		if secret, err := ImportHash(hash); err == nil && len(secret) > 2*maxImported {
			t.Errorf("%d octets", len(secret))
		}
	})
}

// TestRenew logs in with an imported hash: it is replaced by one of ours, with keys of SCRAM, and the session's epoch stays.
func TestRenew(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.current, s.verify = isCurrent, checkHash
	for name, hash := range importedHashes {
		secret, err := ImportHash(hash)
		if err != nil {
			t.Fatal(err)
		}
		s.dir.change(alice, func(c *Credential) { c.Secret, c.SCRAM = secret, "" })
		s.want(ErrDenied, home, alice, "wrong")
		s.want(nil, home, alice, right)
		got, err := s.dir.Credential(t.Context(), alice)
		if err != nil || !isCurrent(got) || got.Epoch != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if ok, err := checkHash(right, got.Secret); !ok || err != nil {
			t.Errorf("%s: the new hash is another password's: %v", name, err)
		}
		if n := s.verified.len(); n == 0 {
			t.Errorf("%s: not remembered", name)
		}
	}
}
