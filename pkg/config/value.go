package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// assign sets a setting to what was found: text from a variable or a flag, any scalar or list from the file.
func (s *setting) assign(c *Config, found any) error {
	p := s.field(c)
	text, err := scalar(p, found)
	if err != nil {
		return err
	}
	if s.oneOf != nil && !slices.Contains(s.oneOf, text) {
		return fmt.Errorf("%q is not known; it is one of %s", text, strings.TrimPrefix(strings.Join(s.oneOf, ", "), ", "))
	}
	return parse(p, text)
}

// scalar turns a value of the file into the text that means the same, if its kind suits the field at p.
func scalar(p, found any) (string, error) {
	switch v := found.(type) {
	case string:
		return v, nil
	case bool:
		if _, ok := p.(*bool); ok {
			return formatBool(v), nil
		}
	case int64:
		switch p.(type) {
		case *int, *size:
			return formatInt(v), nil
		}
	case []any:
		if _, ok := p.(*[]string); ok {
			return join(v)
		}
	}
	return "", fmt.Errorf("%v is not %s", found, kind(p))
}

func join(list []any) (string, error) {
	var words []string
	for _, v := range list {
		word, ok := v.(string)
		if !ok || strings.Contains(word, ",") {
			return "", fmt.Errorf("%v is not text that can stand in a list", v)
		}
		words = append(words, word)
	}
	return strings.Join(words, ","), nil
}

func kind(p any) string {
	switch p.(type) {
	case *[]string:
		return `text or a list of texts`
	case *int:
		return "a whole number"
	case *size:
		return `a size, like "64MiB" or a number of octets`
	case *time.Duration:
		return `a time, like "90s", "2h" or "14d"`
	case *bool:
		return "true or false"
	}
	return "text (in quotation marks)"
}

// parse reads text into the field at p.
func parse(p any, text string) (err error) {
	switch p := p.(type) {
	case *string:
		*p = text
	case *[]string:
		*p = split(text)
	case *int:
		*p, err = strconv.Atoi(text)
	case *size:
		*p, err = parseSize(text)
	case *time.Duration:
		*p, err = parseDuration(text)
	case *bool:
		*p, err = strconv.ParseBool(text)
	default:
		err = errors.New("no such kind")
	}
	if err != nil {
		return fmt.Errorf("%q is not %s", text, kind(p))
	}
	return nil
}

// split reads a list; "off" is the empty one.
func split(text string) []string {
	var words []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" && word != "off" {
			words = append(words, word)
		}
	}
	return words
}

// units of sizes, the longer names first. Both kinds are known; a quota is often given in decimal ones.
var units = []struct {
	name   string
	octets int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"KB", 1e3},
	{"B", 1},
}

// ParseSize reads a number of octets: "64MiB", "2GB", "1048576".
func ParseSize(text string) (int64, error) {
	n, err := parseSize(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not %s", text, kind(&n))
	}
	return n, nil
}

func parseSize(text string) (size, error) {
	number, factor := strings.TrimSpace(text), int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimSpace(rest), u.octets
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, err
	}
	if n < 0 || n > (1<<62)/factor {
		return 0, strconv.ErrRange
	}
	return n * factor, nil
}

// parseDuration is time.ParseDuration with days.
func parseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	days, ok := strings.CutSuffix(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseInt(days, 10, 64)
	if err != nil {
		return 0, err
	}
	if n < -100_000 || n > 100_000 {
		return 0, strconv.ErrRange
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }
func formatBool(b bool) string { return strconv.FormatBool(b) }

func formatSize(n size) string {
	for _, u := range units[:4] {
		if n != 0 && n%u.octets == 0 {
			return formatInt(n/u.octets) + u.name
		}
	}
	return formatInt(n)
}

func formatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d != 0 && d%day == 0 {
		return formatInt(int64(d/day)) + "d"
	}
	text := d.String()
	if rest, ok := strings.CutSuffix(text, "m0s"); ok {
		text = rest + "m"
	}
	if rest, ok := strings.CutSuffix(text, "h0m"); ok {
		text = rest + "h"
	}
	return text
}
