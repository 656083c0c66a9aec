package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"postern/pkg/bench"
)

// result is what a whole run found.
type result struct {
	Messages      int             `json:"messages"`
	Work          bench.Described `json:"work"`
	Setting       []fact          `json:"setting"` // machine, versions, durability
	Rows          []row           `json:"rows"`
	Floors        []row           `json:"floors"`
	GeometricMean float64         `json:"geometric_mean"`
	Took          float64         `json:"took_seconds"`
}

// fact is a thing that the figures depend on.
type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// row compares two in one kind of work.
type row struct {
	Name           string    `json:"name"`
	Title          string    `json:"title"`
	Group          string    `json:"group"`
	Unit           string    `json:"unit"`
	HigherIsBetter bool      `json:"higher_is_better"`
	Ours           side      `json:"postern"`
	Theirs         side      `json:"other"`
	Ratios         []float64 `json:"ratios"` // of each round: above 1, Postern was faster
	Ratio          float64   `json:"ratio"`  // their median; 0 if there is none
}

// side is what one server did in all rounds.
type side struct {
	Values  []float64 `json:"values"`
	Value   float64   `json:"value"`             // their median
	Trouble string    `json:"trouble,omitempty"` // why there are none, or no more
	Failed  bool      `json:"failed,omitempty"`  // it is something that went wrong, not something the server does not do
}

// add takes in what a round said.
func (s *side) add(f bench.Figure, err error) {
	switch {
	case err != nil:
		s.Trouble, s.Failed = err.Error(), true
	case f.Reason != "":
		s.Trouble = f.Reason
	default:
		s.Values = append(s.Values, f.Value)
	}
}

// settle works out what the rounds come to. The ratio is the median of those of the rounds: whatever else slowed the machine
// down during one slowed both.
func (r *row) settle() {
	r.Ours.Value, r.Theirs.Value = median(r.Ours.Values), median(r.Theirs.Values)
	r.Ratios = []float64{}
	for i := range min(len(r.Ours.Values), len(r.Theirs.Values)) {
		r.Ratios = append(r.Ratios, ratio(r.Ours.Values[i], r.Theirs.Values[i], r.HigherIsBetter))
	}
	r.Ratio = median(r.Ratios)
}

// ratio is how many times as good the first is.
func ratio(ours, theirs float64, higherIsBetter bool) float64 {
	if !higherIsBetter {
		ours, theirs = theirs, ours
	}
	if theirs <= 0 {
		return 0
	}
	return ours / theirs
}

// median of values; 0 if there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// geometricMean of the ratios there are.
func geometricMean(rows []row) float64 {
	var sum float64
	var n int
	for _, r := range rows {
		if r.Ratio > 0 {
			sum += math.Log(r.Ratio)
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return math.Exp(sum / float64(n))
}

// markdown is the table as docs/performance.md has it.
func (r *result) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| Work, mailbox of %s messages | | Postern | Dovecot | Ratio | of the rounds |\n|---|---|--:|--:|--:|--:|\n", number(float64(r.Messages)))
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.Title, row.Unit, row.Ours, row.Theirs, row.times(), row.spread())
	}
	fmt.Fprintf(&b, "| **Geometric mean** | | | | **%s** | |\n", number(r.GeometricMean))
	if len(r.Floors) > 0 {
		b.WriteString("\n| Floor | | Postern | Floor | Share | of the rounds |\n|---|---|--:|--:|--:|--:|\n")
		for _, row := range r.Floors {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.Title, row.Unit, row.Ours, row.Theirs, row.share(), row.spread())
		}
	}
	b.WriteString("\n")
	for _, f := range r.Setting {
		fmt.Fprintf(&b, "- %s: %s\n", f.Name, f.Value)
	}
	return b.String()
}

// String is the figure, or why there is none.
func (s side) String() string {
	if s.Trouble != "" {
		return strings.NewReplacer("\n", " ", "|", "/").Replace(s.Trouble)
	}
	return number(s.Value)
}

func (r *row) times() string {
	if r.Ratio == 0 {
		return "–"
	}
	return number(r.Ratio)
}

func (r *row) share() string {
	if r.Ratio == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f %%", 100*r.Ratio)
}

// spread is the least and the most of the rounds' ratios.
func (r *row) spread() string {
	if len(r.Ratios) < 2 {
		return ""
	}
	return number(slices.Min(r.Ratios)) + "–" + number(slices.Max(r.Ratios))
}

// number writes a figure with three digits that count, and all that stand before the point.
func number(v float64) string {
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	if v == 0 {
		digits = 0
	}
	s := strconv.FormatFloat(v, 'f', min(max(digits, 0), 6), 64)
	whole, fraction, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}

// replaceBetween puts text between two markers, each on a line of its own, and leaves the rest as it is.
func replaceBetween(doc, name, text string) (string, error) {
	begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->\n"
	before, rest, ok := strings.Cut(doc, begin)
	if !ok {
		return "", fmt.Errorf("there is no line %q", strings.TrimSpace(begin))
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("there is no line %q", strings.TrimSpace(end))
	}
	return before + begin + text + end + after, nil
}

// line is a row for a terminal.
func (r *row) line() string {
	return fmt.Sprintf("%-52.52s %-7s %12s %12s %8s  %s", r.Title, r.Unit, r.Ours.short(), r.Theirs.short(), r.times(), r.spread()) + r.troubles()
}

// short is the figure if there is one.
func (s side) short() string {
	if s.Trouble != "" {
		return "–"
	}
	return number(s.Value)
}

// troubles says why figures are missing, each on a line of its own.
func (r *row) troubles() string {
	var b strings.Builder
	for _, s := range []struct {
		who string
		side
	}{{"Postern", r.Ours}, {"Dovecot", r.Theirs}} {
		if s.Trouble != "" {
			fmt.Fprintf(&b, "\n       %s: %s", s.who, s.Trouble)
		}
	}
	return b.String()
}

// text is the table for a terminal.
func (r *result) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-52s %-7s %12s %12s %8s  %s\n", "", "", "Postern", "Dovecot", "ratio", "of the rounds")
	for _, row := range r.Rows {
		b.WriteString(row.line() + "\n")
	}
	fmt.Fprintf(&b, "%-52s %-7s %12s %12s %8s\n", "Geometric mean", "", "", "", number(r.GeometricMean))
	for _, row := range r.Floors {
		fmt.Fprintf(&b, "%s: %s of %s %s, %s (%s)%s\n", row.Title, row.Ours.short(), row.Theirs.short(), row.Unit, row.share(), row.spread(), row.troubles())
	}
	for _, f := range r.Setting {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	return b.String()
}
