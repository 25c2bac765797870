package stats

import (
	"math"
	"testing"
)

func TestSummarize(t *testing.T) {
	for _, test := range []struct {
		name           string
		values         []float64
		median, spread float64
	}{
		{"none", nil, 0, 0},
		{"one", []float64{7}, 7, 0},
		{"two", []float64{12, 8}, 10, 0.2},
		{"three, unsorted", []float64{11, 9, 10}, 10, 0.1},
		{"eight drop none", []float64{1, 9, 10, 10, 10, 10, 11, 19}, 10, 0.9},
		{"nine drop one on either side", []float64{0, 9, 9, 10, 10, 10, 11, 11, 100}, 10, 0.1},
		{"equal", []float64{5, 5, 5}, 5, 0},
		{"zeroes", []float64{0, 0}, 0, 0},
	} {
		s := Summarize(test.values)
		if s.N != len(test.values) || s.Median != test.median || math.Abs(s.Spread-test.spread) > 1e-9 {
			t.Errorf("%s: %+v, want median %v and spread %v", test.name, s, test.median, test.spread)
		}
	}
}

// The numbers are those of tables of confidence intervals for the median.
func TestOutside(t *testing.T) {
	for n, want := range map[int]int{1: 0, 2: 0, 5: 0, 6: 0, 8: 0, 9: 1, 11: 1, 12: 2, 15: 3, 17: 4, 20: 5, 50: 17} {
		if got := outside(n); got != want {
			t.Errorf("outside(%d) = %d, want %d", n, got, want)
		}
	}
}

func TestSummarizeKeepsItsInput(t *testing.T) {
	values := []float64{3, 1, 2}
	Summarize(values)
	if values[0] != 3 || values[1] != 1 || values[2] != 2 {
		t.Errorf("the values were sorted in place: %v", values)
	}
}

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		name         string
		ours, theirs []float64
		verdict      Verdict
		text         string
	}{
		{"clear", []float64{20, 22, 21}, []float64{10, 11, 10}, Different, "2.00"},
		{"clearly less", []float64{5, 5, 5}, []float64{10, 10, 11}, Different, "0.50"},
		// Each round is disturbed, but both machines alike.
		{"disturbed together", []float64{20, 2, 12}, []float64{10, 1, 6}, Different, "2.00"},
		{"equal", []float64{100, 101, 99}, []float64{100, 100, 100}, Equal, "1 (equal)"},
		{"swallowed", []float64{5, 20, 11}, []float64{10, 10, 10}, Swallowed, "no ratio: lost in the spread"},
		{"one round", []float64{2}, []float64{1}, Unknown, "no ratio: 1 rounds"},
		{"a peer that failed", []float64{2, 2}, nil, Unknown, "no ratio: 0 rounds"},
		{"no division by zero", []float64{2, 2, 2}, []float64{0, 1, 1}, Different, "2.00"},
		{"rounds that one lacks", []float64{2, 2, 50}, []float64{1, 1}, Different, "2.00"},
	} {
		r := Compare(test.ours, test.theirs)
		if r.Verdict != test.verdict || r.String() != test.text {
			t.Errorf("%s: %v %q (%+v), want %v %q", test.name, r.Verdict, r, r.Summary, test.verdict, test.text)
		}
	}
}
