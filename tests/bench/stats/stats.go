// Package stats draws conclusions from repeated measurements of two machines,
// or says that none can be drawn.
//
// Measurements are taken in rounds, in each of which every machine has its
// turn, so that what disturbs the host for longer than a round disturbs all of
// them alike. Ratios are formed within a round. Medians are given, and with
// them the spread: half the width of the interval that holds the true median
// with a probability of 95%, whatever the distribution (the order statistics
// that the binomial distribution gives). Fewer than six values are too few for
// that; then it is half their range.
package stats

import (
	"fmt"
	"math"
	"slices"
)

// Summary describes the values of one measurement.
type Summary struct {
	N      int
	Median float64
	Spread float64 // relative to the median: 0.05 is 5% to either side
}

// Summarize describes values. Without any, all is 0.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	sorted := slices.Sorted(slices.Values(values))
	s := Summary{N: len(sorted), Median: median(sorted)}
	drop := outside(len(sorted))
	kept := sorted[drop : len(sorted)-drop]
	if width := kept[len(kept)-1] - kept[0]; width > 0 {
		s.Spread = width / 2 / math.Abs(s.Median)
	}
	return s
}

// outside is how many of n sorted values are outside of the interval, on either
// side: the most for which the true median is below the interval, or above it,
// with a probability of at most 2.5%. Each value is below the true median with
// a probability of one half.
func outside(n int) int {
	const tail = 0.025
	probability := math.Exp2(-float64(n)) // of i values below it
	sum := probability
	for i := 0; i < n/2; i++ {
		if probability *= float64(n-i) / float64(i+1); sum+probability > tail {
			return i
		}
		sum += probability
	}
	return 0
}

func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Verdict is what the ratios of several rounds allow to be said.
type Verdict int

// The verdicts.
const (
	Unknown   Verdict = iota // fewer than two rounds
	Swallowed                // the spread is wider than the difference
	Equal                    // no difference, known within EqualWithin
	Different
)

func (v Verdict) String() string {
	return [...]string{"unknown", "swallowed", "equal", "different"}[v]
}

// EqualWithin is the widest spread with which two machines are called equal.
const EqualWithin = 0.05

// Ratio compares one machine with another.
type Ratio struct {
	Summary
	Verdict Verdict
}

// Compare forms the ratio of ours to theirs, round by round. The slices hold a
// value a round; rounds that only one of them has do not count.
func Compare(ours, theirs []float64) Ratio {
	n := min(len(ours), len(theirs))
	ratios := make([]float64, 0, n)
	for i := range n {
		if theirs[i] > 0 && ours[i] > 0 {
			ratios = append(ratios, ours[i]/theirs[i])
		}
	}
	r := Ratio{Summary: Summarize(ratios)}
	switch difference := math.Abs(r.Median - 1); {
	case r.N < 2:
		r.Verdict = Unknown
	case difference > r.Spread*r.Median:
		r.Verdict = Different
	case r.Spread <= EqualWithin:
		r.Verdict = Equal
	default:
		r.Verdict = Swallowed
	}
	return r
}

// String is the ratio with its spread, or the reason that there is none.
func (r Ratio) String() string {
	switch r.Verdict {
	case Different:
		return fmt.Sprintf("%.2f", r.Median)
	case Equal:
		return "1 (equal)"
	case Swallowed:
		return "no ratio: lost in the spread"
	}
	return fmt.Sprintf("no ratio: %d rounds", r.N)
}
