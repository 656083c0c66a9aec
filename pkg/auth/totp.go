package auth

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"
)

// What every authenticator knows: other lengths, times and hashes of RFC 6238 are ignored by some of them.
const (
	codeDigits = 6
	codePeriod = 30 // seconds
	codeDrift  = 1  // steps that a clock may be off by (RFC 6238 §5.2)
	codeSecret = 20 // octets: as long as the hash (RFC 4226 §4, R6)
)

// NewTOTP makes a secret for the codes of a user, and the URI that authenticators read. issuer says whose server it is.
func NewTOTP(issuer, user string) (secret, uri string, err error) {
	key, err := totp.Generate(totp.GenerateOpts{
		Issuer: issuer, AccountName: user, Period: codePeriod, SecretSize: codeSecret,
		Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1,
	})
	if err != nil {
		return "", "", fmt.Errorf("make a secret: %w", err)
	}
	return key.Secret(), key.URL(), nil
}

// MatchCode says which time step a code is of, if it is of one about now.
func MatchCode(secret, code string, now time.Time) (step int64, ok bool) {
	current := now.Unix() / codePeriod
	for step = current - codeDrift; step <= current+codeDrift; step++ {
		match, err := hotp.ValidateCustom(code, uint64(step), secret, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && match {
			return step, true
		}
	}
	return 0, false
}

// splitCode takes the code off the end of the password of an account that needs one.
func (t *attempt) splitCode() {
	cut := len(t.password) - codeDigits
	if t.app != nil || t.cred.TOTP == "" || cut < 1 || strings.Trim(t.password[cut:], "0123456789") != "" {
		return
	}
	t.password, t.code = t.password[:cut], t.password[cut:]
}

// spendCode takes the code of an attempt whose password is right, so that no process takes it again (RFC 6238 §5.2).
func (a *Auth) spendCode(ctx context.Context, t *attempt) (fault string, err error) {
	if t.code == "" {
		return "code of the second factor missing", nil
	}
	step, ok := MatchCode(t.cred.TOTP, t.code, a.opt.Now())
	if !ok {
		return "wrong code of the second factor", nil
	}
	fresh, err := a.opt.Directory.UseCode(ctx, t.cred.Account, step)
	switch {
	case err != nil:
		return "", unavailable(ctx, fmt.Errorf("use a code: %w", err))
	case !fresh:
		return "code of the second factor was used before", nil
	}
	return "", nil
}
