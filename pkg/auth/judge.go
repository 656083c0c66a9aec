package auth

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"
)

// refusal is what the client is told, and why, which only the operator is. The zero value is none.
type refusal struct {
	as  error
	why string
}

// errNextWay is the refusal of a password that has not matched yet.
var errNextWay = errors.New("to be checked elsewhere")

// way is one way to check a password: by the hash that is kept, or by asking a directory elsewhere.
type way struct {
	line     *line
	match    func(context.Context, *attempt) (fault string, err error) // whether it is the user's
	verified *recent[digest, struct{}]                                 // of late
	key      func(*attempt) digest                                     // in verified
}

// ways lists those for an attempt, one at least. They depend on the domain only: not on whether there is such a user.
func (a *Auth) ways(t *attempt) []way {
	switch {
	case t.realm == nil:
		return []way{a.here}
	case t.realm.Only:
		return []way{t.realm.way()}
	}
	return []way{a.here, t.realm.way()}
}

// judge says whether the attempt is refused; an error means that it could not be judged. Nothing of one way is held while
// waiting for the next: a slow directory holds up nobody's hash.
func (a *Auth) judge(ctx context.Context, t *attempt, fault string) (r refusal, err error) {
	for i := range t.ways {
		r, err = a.judgeBy(ctx, t, i, fault)
		switch {
		case err != nil && i > 0 && t.cred.Secret != "": // nobody guesses at what is kept here while the directory is away
			a.throttle.failed(t.keys, t.print)
			return r, err
		case err != nil || !errors.Is(r.as, errNextWay):
			return r, err
		}
	}
	return r, err
}

// judgeBy judges by one way. What is to be checked waits for its turn before anything is decided: so a hundred attempts at once
// are judged nearly one after another, and each sees the failures of those before.
func (a *Auth) judgeBy(ctx context.Context, t *attempt, i int, fault string) (refusal, error) {
	if !a.isCached(t) {
		if why := a.throttle.hopeless(t.keys); why != "" {
			return refusal{ErrThrottled, why}, nil
		}
		leave, err := a.queue(ctx, t, t.ways[i].line)
		if err != nil {
			return refusal{}, err
		}
		defer leave()
	}
	if why := a.throttle.verdict(&t.keys, a.isCached(t)); why != "" {
		return refusal{ErrThrottled, why}, nil
	}
	matched := false
	if fault == "" {
		var err error
		if matched, fault, err = a.prove(ctx, t, t.ways[i]); err != nil {
			return refusal{}, err
		}
	}
	switch {
	case fault == "":
		return refusal{}, nil
	case !matched && i+1 < len(t.ways):
		return refusal{as: errNextWay}, nil
	}
	a.throttle.failed(t.keys, t.print)
	return refusal{ErrDenied, fault}, nil
}

// prove says whether the password is the user's, and what keeps it from logging in.
func (a *Auth) prove(ctx context.Context, t *attempt, w way) (matched bool, fault string, err error) {
	switch {
	case t.app != nil:
		return true, a.faultOfApp(t), nil
	case a.isCached(t): // perhaps since a moment ago: a client opens several connections at once
		return true, "", nil
	}
	if fault, err = w.match(ctx, t); err != nil || fault != "" {
		return false, fault, err
	}
	switch {
	case t.cred.AppOnly:
		return true, "only app passwords log in to this account", nil
	case t.cred.TOTP != "":
		fault, err = a.spendCode(ctx, t)
		return true, fault, err
	}
	w.verified.put(w.key(t), struct{}{})
	return true, "", nil
}

// matchHash compares with the hash that is kept, exactly once, whether or not there is such a user: how long it takes must not
// tell.
func (a *Auth) matchHash(ctx context.Context, t *attempt) (fault string, err error) {
	secret := t.cred.Secret
	if secret == "" {
		secret = decoy
	}
	ok, err := a.verify(t.password, secret)
	switch {
	case errors.Is(err, errSecret):
		a.audit(t).Error("stored password cannot be used", zap.Error(err))
		return "stored password cannot be used", nil
	case err != nil:
		return "", fmt.Errorf("check a password: %w", err)
	case t.faultOfAccount() != "":
		return t.faultOfAccount(), nil
	case t.cred.Secret == "":
		return "account has no password", nil
	case !ok:
		return "wrong password", nil
	}
	a.renew(ctx, t)
	return "", nil
}
