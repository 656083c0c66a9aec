package bench

import (
	"context"
	"slices"
	"time"
)

// Report is what the runs of several steps say.
type Report struct {
	Target  string    `json:"target"`
	Options Described `json:"options"`
	Rows    []Row     `json:"rows"`
	Started time.Time `json:"started"`
	Took    float64   `json:"took_seconds"`
}

// Described is how much work there was.
type Described struct {
	Messages int    `json:"messages"`
	Octets   int64  `json:"octets"`
	Burst    int    `json:"burst"`
	Sample   int    `json:"sample"`
	Small    bool   `json:"small"`
	Seed     uint64 `json:"seed"`
}

// Row is what the runs of one step say.
type Row struct {
	Name           string    `json:"name"`
	Title          string    `json:"title"`
	Group          string    `json:"group"`
	Unit           string    `json:"unit"`
	HigherIsBetter bool      `json:"higher_is_better"`
	Values         []float64 `json:"values"`
	Value          float64   `json:"value"`            // their median
	Reason         string    `json:"reason,omitempty"` // why there are none
}

// NewRow makes the row of a step from its runs.
func NewRow(s Step, runs []Figure) Row {
	r := Row{Name: s.Name, Title: s.Title, Group: s.Group, Unit: s.Unit, HigherIsBetter: s.HigherIsBetter, Values: []float64{}}
	for _, f := range runs {
		if f.Reason != "" {
			r.Reason = f.Reason
			continue
		}
		r.Values = append(r.Values, f.Value)
	}
	r.Value = median(r.Values)
	return r
}

// Describe says how much work a Bench has been given.
func (b *Bench) Describe() Described {
	return Described{Messages: b.o.Messages, Octets: b.total, Burst: b.o.Burst, Sample: b.o.Sample, Small: b.o.Small, Seed: b.o.Seed}
}

// Measure runs each of the steps several times and tells each row as it is there. What it has measured before an error is in
// the report.
func (b *Bench) Measure(ctx context.Context, steps []Step, runs int, tell func(Row)) (Report, error) {
	r := Report{Target: b.target.Name, Options: b.Describe(), Rows: []Row{}, Started: time.Now()}
	for _, s := range steps {
		var figures []Figure
		for i := range runs {
			b.o.Progress(s.Title, i, runs)
			f, err := b.Run(ctx, s)
			if err != nil {
				return r, err
			}
			if figures = append(figures, f); f.Reason != "" {
				break
			}
		}
		b.o.Progress(s.Title, runs, runs)
		row := NewRow(s, figures)
		r.Rows, r.Took = append(r.Rows, row), time.Since(r.Started).Seconds()
		tell(row)
	}
	return r, nil
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
