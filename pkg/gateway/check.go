package gateway

import (
	"errors"
	"fmt"

	"postern/pkg/auth"
	"postern/pkg/config"
	"postern/pkg/imap"
)

// CheckSettings says everything that is wrong with settings that only those can read whom they are for: names of capabilities and
// mechanisms, filters of LDAP, files. It opens no connection.
func CheckSettings(c *config.Config) error {
	var errs []error
	if _, err := imap.CheckDisable(c.IMAP.Disable); err != nil {
		errs = append(errs, fmt.Errorf("imap.disable: %w", err))
	}
	if err := auth.CheckMechanisms(c.Auth.Mechanisms); err != nil {
		errs = append(errs, fmt.Errorf("auth.mechanisms: %w", err))
	}
	_, err := oauthOptions(&c.Auth.OAuth)
	errs = append(errs, err)
	if len(c.Auth.LDAP.URLs) > 0 {
		_, err = newLDAP(&c.Auth.LDAP)
		errs = append(errs, err)
	}
	_, err = newHTTPLogin(&c.Auth.HTTP)
	return errors.Join(append(errs, err)...)
}
