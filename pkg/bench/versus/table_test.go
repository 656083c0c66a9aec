package main

import (
	"errors"
	"math"
	"strings"
	"testing"

	"postern/pkg/bench"
)

func TestRatio(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ours, theirs float64
		higher       bool
		want         float64
	}{
		{300, 100, true, 3},  // a rate
		{100, 300, false, 3}, // a time, or memory
		{0, 100, true, 0},
		{100, 0, true, 0}, // nothing to compare with
		{0, 100, false, 0},
	} {
		if got := ratio(tt.ours, tt.theirs, tt.higher); got != tt.want {
			t.Errorf("ratio(%v, %v, %v) = %v, want %v", tt.ours, tt.theirs, tt.higher, got, tt.want)
		}
	}
}

// TestSettle has a round in which the machine was slow for both.
func TestSettle(t *testing.T) {
	t.Parallel()
	r := row{HigherIsBetter: true, Ours: side{Values: []float64{200, 20, 220}}, Theirs: side{Values: []float64{100, 10, 100}}}
	r.settle()
	if r.Ours.Value != 200 || r.Theirs.Value != 100 || r.Ratio != 2 || r.spread() != "2.00–2.20" {
		t.Errorf("%+v, spread %s", r, r.spread())
	}
}

// TestTrouble has one server fail a step in its second round: the figures of the first stay, and the row says what happened.
func TestTrouble(t *testing.T) {
	t.Parallel()
	r := row{Title: "Work", Unit: "msg/s", HigherIsBetter: true}
	r.Ours.add(bench.Figure{Value: 10}, nil)
	r.Theirs.add(bench.Figure{Value: 5}, nil)
	r.Theirs.add(bench.Figure{}, errors.New("it fell\nover | twice"))
	r.settle()
	if r.Ratio != 2 || r.Ours.Failed || !r.Theirs.Failed {
		t.Errorf("ratio %v, failed %v and %v", r.Ratio, r.Ours.Failed, r.Theirs.Failed)
	}
	if line := r.line(); !strings.Contains(line, "\n       Dovecot: it fell") {
		t.Errorf("%s", line)
	}
	res := result{Rows: []row{r}}
	if text := res.markdown(); !strings.Contains(text, "| Work | msg/s | 10.0 | it fell over / twice | 2.00 |") {
		t.Errorf("%s", text)
	}
	var unable side
	unable.add(bench.Figure{Reason: "not announced"}, nil)
	if unable.String() != "not announced" || unable.short() != "–" || len(unable.Values) != 0 || unable.Failed {
		t.Errorf("%+v", unable)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{7, 1, 3}, 3}} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.values, got, tt.want)
		}
	}
}

func TestGeometricMean(t *testing.T) {
	t.Parallel()
	if got := geometricMean([]row{{Ratio: 2}, {Ratio: 8}, {}}); math.Abs(got-4) > 1e-9 {
		t.Errorf("mean of 2, 8 and none is %v", got)
	}
	if got := geometricMean(nil); got != 0 {
		t.Errorf("mean of nothing is %v", got)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0: "0", 0.01234: "0.0123", 0.5: "0.500", 1: "1.00", 12.34: "12.3", 123.4: "123", 1234.5: "1,234", 1234567: "1,234,567", 999999.9: "1,000,000",
		0.00000001: "0.000000",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
}

func TestReplaceBetween(t *testing.T) {
	t.Parallel()
	const doc = "before\n<!-- begin bench 5 -->\nold\ntable\n<!-- end bench 5 -->\nafter\n<!-- begin bench 50 -->\n<!-- end bench 50 -->\n"
	got, err := replaceBetween(doc, "bench 5", "new\n")
	if want := strings.Replace(doc, "old\ntable\n", "new\n", 1); err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	if got, err = replaceBetween(doc, "bench 50", "x\n"); err != nil || got != strings.Replace(doc, "50 -->\n<!-- end", "50 -->\nx\n<!-- end", 1) {
		t.Errorf("%v\n%s", err, got)
	}
	for _, broken := range []string{"", "<!-- begin bench 5 -->\n", "<!-- end bench 5 -->\n<!-- begin bench 5 -->\n"} {
		if got, err := replaceBetween(broken, "bench 5", "new\n"); err == nil {
			t.Errorf("%q becomes %q", broken, got)
		}
	}
}

// TestMarkdown writes what docs/performance.md holds.
func TestMarkdown(t *testing.T) {
	t.Parallel()
	res := result{
		Messages: 2000, GeometricMean: 3.4567,
		Rows: []row{
			{
				Title: "Delivery", Unit: "msg/s", Ours: side{Value: 4321}, Theirs: side{Value: 1000},
				Ratios: []float64{4, 4.321, 5}, Ratio: 4.321,
			},
			{Title: "THREAD", Unit: "ms", Ours: side{Value: 1}, Theirs: side{Trouble: "not announced"}},
		},
		Floors:  []row{{Title: "of INSERTs", Unit: "msg/s", Ours: side{Value: 8}, Theirs: side{Value: 10}, Ratios: []float64{.8}, Ratio: .8}},
		Setting: []fact{{"Machine", "two cores"}},
	}
	const want = `| Work, mailbox of 2,000 messages | | Postern | Dovecot | Ratio | of the rounds |
|---|---|--:|--:|--:|--:|
| Delivery | msg/s | 4,321 | 1,000 | 4.32 | 4.00–5.00 |
| THREAD | ms | 1.00 | not announced | – |  |
| **Geometric mean** | | | | **3.46** | |

| Floor | | Postern | Floor | Share | of the rounds |
|---|---|--:|--:|--:|--:|
| of INSERTs | msg/s | 8.00 | 10.0 | 80 % |  |

- Machine: two cores
`
	if got := res.markdown(); got != want {
		t.Errorf("%s", got)
	}
}
