package main

import (
	"maps"
	"testing"
)

func TestParseTable(t *testing.T) {
	entries, err := parseTable(table)
	if err != nil || len(entries) < 10 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if got := string(format(table, entries)); got != table {
		t.Errorf("the table is not written as it is read:\n%s", got)
	}
	for _, bad := range []string{"", "# only this\n", "a b\n", "a b 1 2\n", "a b x\n", "a b -1\n"} {
		if _, err := parseTable(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestTooMany(t *testing.T) {
	for _, test := range []struct {
		recorded, measured int
		want               bool
	}{{0, 0, false}, {0, 1, true}, {5, 6, true}, {5, 4, false}, {8800, 8888, false}, {8800, 8889, true}} {
		if got := (entry{allocs: test.recorded}).tooMany(test.measured); got != test.want {
			t.Errorf("%d after %d: %v", test.measured, test.recorded, got)
		}
	}
}

func TestPattern(t *testing.T) {
	got := pattern([]entry{{name: "A/x=1"}, {name: "B"}, {name: "A/y.z/w"}})
	if want := `^(BenchmarkA|BenchmarkB)$/^(x=1|y\.z)$/^(w)$`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestParseOutput(t *testing.T) {
	got, err := parseOutput(`goos: linux
BenchmarkRead/same-2  	     200	       142.4 ns/op	       0 B/op	       0 allocs/op
BenchmarkPing-16      	     200	  9 ns/op	  422.32 MB/s	     747 B/op	      12 allocs/op
BenchmarkNoMemory-2   	     200	  9 ns/op
BenchmarkOne  	     200	  9 ns/op	     747 B/op	      3 allocs/op
PASS
`)
	want := map[string]int{"Read/same": 0, "Ping": 12, "One": 3}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if got, err := parseOutput("PASS\n"); err == nil {
		t.Errorf("nothing gives %v", got)
	}
}
