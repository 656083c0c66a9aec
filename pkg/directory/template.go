package directory

import "strings"

// expand puts the user's address into a template, in one pass: what stands for {local} is not looked at again. escape makes a
// text fit for where it is put.
func expand(template, user string, escape func(string) string) string {
	at := strings.LastIndexByte(user, '@')
	local, domain := user[:max(at, 0)], user[at+1:]
	return strings.NewReplacer(
		"{address}", escape(user), "{local}", escape(local), "{domain}", escape(domain),
	).Replace(template)
}
