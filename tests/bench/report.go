package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/govmm/govmm/tests/bench/stats"
)

// report is everything that is known after a run, as the JSON file has it.
type report struct {
	Date     string
	Machine  string // this one
	QEMU     string // version
	Settings settings
	Places   map[place]string // what each is
	Rows     []row
	Results  results
}

// values are a row's of one VMM, in the order of the rounds: as measured, and
// normalised if the row is so.
func (r *report) values(row row, v vmm) (raw, normalised []float64) {
	for _, s := range r.Results.Samples {
		if s.Row != row.Name || s.VMM != v {
			continue
		}
		n := s.Value
		switch {
		case !row.Normalised || s.Exit == 0:
		case row.Unit == "us":
			n /= s.Exit
		default: // by time
			n *= s.Exit
		}
		raw, normalised = append(raw, s.Value), append(normalised, n)
	}
	return raw, normalised
}

// markdown writes the tables of the groups, and how they came about.
func (r *report) markdown(w io.Writer, chosen []group) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s; %s. %d machines of each, %d rounds with each", r.Date, r.Machine, r.QEMU, r.Settings.Boots, r.Settings.Rounds)
	fmt.Fprintf(&b, " (with %v of load, or %v of idling). The ratio is govmm's figure to its peer's.\n", r.Settings.Load, r.Settings.Idle)
	for _, p := range places() {
		here := slices.DeleteFunc(slices.Clone(chosen), func(g group) bool { return g.place != p })
		if len(here) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", p.title(), r.Places[p])
		b.WriteString("| row | what | better | govmm | peer | its figure | ratio | spread |\n|---|---|---|---|---|---|---|---|\n")
		for _, g := range here {
			for _, row := range g.rows {
				for _, peer := range g.vmms[1:] {
					b.WriteString(r.line(row, peer))
				}
			}
		}
	}
	for i, f := range r.Results.Failures {
		if i == 0 {
			b.WriteString("\n### Failures\n\n")
		}
		fmt.Fprintf(&b, "- %s\n", strings.ReplaceAll(f, "\n", "\n  "))
	}
	b.WriteString("\n### Command lines\n")
	for _, c := range r.Results.Commands {
		fmt.Fprintf(&b, "\n%s, %s:\n\n```sh\n%s\n```\n", c.Group, c.VMM, c.Text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// line is a row of a table.
func (r *report) line(row row, peer vmm) string {
	ours, ourNormal := r.values(row, govmm)
	theirs, theirNormal := r.values(row, peer)
	ratio := stats.Compare(ourNormal, theirNormal)
	better := "less"
	if row.More {
		better = "more"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", row.Name, row.Title, better,
		figure(ours, row.Unit), peer, figure(theirs, row.Unit), ratio, percent(ratio.Summary))
}

// figure is the median of values with three digits, and its unit.
func figure(values []float64, unit string) string {
	s := stats.Summarize(values)
	if s.N == 0 {
		return "none"
	}
	digits := 0
	for limit := 100.0; s.Median < limit && digits < 2; limit /= 10 {
		digits++
	}
	return fmt.Sprintf("%.*f %s", digits, s.Median, unit)
}

func percent(s stats.Summary) string {
	if s.N < 2 {
		return ""
	}
	return fmt.Sprintf("±%.1f%%", s.Spread*100)
}

// writeJSON writes all of the report to a file.
func (r *report) writeJSON(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(file, append(text, '\n'))
}

func writeFile(name string, data []byte) error { return os.WriteFile(name, data, 0o644) }
