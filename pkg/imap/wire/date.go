package wire

import (
	"time"
)

const (
	dateLayout     = "_2-Jan-2006"
	dateTimeLayout = "_2-Jan-2006 15:04:05 -0700"
)

// Date reads a date, quoted or not.
func (d *Decoder) Date() time.Time {
	s := ""
	if d.Peek() == '"' {
		s = d.quoted()
	} else {
		s = d.Atom()
	}
	return d.parseTime(dateLayout, s, "a date such as 1-Feb-2006")
}

// DateTime reads a quoted date with time and zone.
func (d *Decoder) DateTime() time.Time {
	return d.parseTime(dateTimeLayout, d.quoted(), `a date such as " 1-Feb-2006 15:04:05 +0100"`)
}

func (d *Decoder) parseTime(layout, s, what string) time.Time {
	if d.err != nil {
		return time.Time{}
	}
	t, err := time.Parse(layout, s)
	if year := t.UTC().Year(); err != nil || year < 1 || year > 9999 { // in UTC, it must be written with four digits again
		d.Fail("%s before this", what)
		return time.Time{}
	}
	return t
}
