package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// made is a report of rounds in which the host is disturbed once.
func made() (*report, []group) {
	g := diskGroup(diskMode{"none", "native"})
	g.rows = g.rows[:2] // read-1 and read-32
	r := &report{
		Date: "2030-01-02", Machine: "a machine", QEMU: "QEMU 9", Settings: settings{2, 3, time.Second, time.Minute},
		Places: map[place]string{placeHost: "a test host"},
	}
	for _, round := range []struct{ ours, theirs, exit float64 }{{2000, 1000, 500}, {1000, 1000, 1000}, {2100, 1000, 500}} {
		// In the second round the host was twice as slow when it was our turn.
		r.Results.Samples = append(r.Results.Samples,
			sample{g.rows[0].Name, govmm, round.ours, round.exit},
			sample{g.rows[0].Name, qemuPC, round.theirs, 500},
			sample{g.rows[1].Name, govmm, round.ours, 500},
			sample{g.rows[1].Name, qemuPC, round.theirs, 500})
	}
	r.Results.Commands = []noted{{g.name, govmm, "govmm run bench.xml"}}
	r.Results.Failures = []string{"idle: no such thing"}
	return r, []group{g}
}

func TestMarkdown(t *testing.T) {
	r, chosen := made()
	var b strings.Builder
	if err := r.markdown(&b, chosen); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2030-01-02, a machine; QEMU 9. 2 machines of each, 3 rounds with each (with 1s of load, or 1m0s of idling).",
		"### On a test host with two processors\n\na test host\n",
		// Normalised, the disturbed round is like the others.
		"| disk-none-native/read-1 | 4 KiB random reads, one at a time, cache=none io=native | more | 2000 IOPS | QEMU pc | 1000 IOPS | 2.00 | ±2.5% |",
		// Here it was not the host; the exits cost the same.
		"| disk-none-native/read-32 | 4 KiB random reads, 32 at a time, cache=none io=native | more | 2000 IOPS | QEMU pc | 1000 IOPS | 2.00 | ±27.5% |",
		"- idle: no such thing\n",
		"disk-none-native, govmm:\n\n```sh\ngovmm run bench.xml\n```\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), placeHere.title()) {
		t.Error("a place is there in which nothing was measured")
	}
}

func TestNormalised(t *testing.T) {
	r := &report{Results: results{Samples: []sample{{"a", govmm, 10, 4}, {"b", govmm, 10, 4}, {"b", govmm, 10, 0}, {"a", qemuPC, 1, 1}}}}
	for _, test := range []struct {
		row  row
		want []float64
	}{
		{row{Name: "a", Unit: "us", Normalised: true}, []float64{2.5}},
		{row{Name: "a", Unit: "IOPS", Normalised: true}, []float64{40}},
		{row{Name: "a", Unit: "IOPS"}, []float64{10}},
		{row{Name: "b", Unit: "IOPS", Normalised: true}, []float64{40, 10}},
		{row{Name: "c", Unit: "IOPS"}, nil},
	} {
		_, got := r.values(test.row, govmm)
		if len(got) != len(test.want) {
			t.Errorf("%+v: %v, want %v", test.row, got, test.want)
			continue
		}
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("%+v: %v, want %v", test.row, got, test.want)
			}
		}
	}
}

func TestFigure(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   string
	}{
		{nil, "none"}, {[]float64{1234.5}, "1234 x"}, {[]float64{99.96}, "100.0 x"}, {[]float64{12.34}, "12.3 x"}, {[]float64{1.234}, "1.23 x"}, {[]float64{0}, "0.00 x"},
	} {
		if got := figure(test.values, "x"); got != test.want {
			t.Errorf("%v: %q, want %q", test.values, got, test.want)
		}
	}
}

func TestChoose(t *testing.T) {
	names := map[string]bool{}
	for _, g := range groups() {
		for _, r := range g.rows {
			if names[r.Name] || !strings.HasPrefix(r.Name, g.name+"/") {
				t.Errorf("row %s of group %s: a name is its group's and its own, once", r.Name, g.name)
			}
			names[r.Name] = true
		}
	}
	chosen := choose(groups(), regexp.MustCompile("^net-user/(send|echo)$"))
	if len(chosen) != 1 || len(chosen[0].rows) != 2 {
		t.Errorf("chosen %+v", chosen)
	}
	if all := choose(groups(), regexp.MustCompile("")); len(all) != len(groups()) {
		t.Errorf("%d groups of %d", len(all), len(groups()))
	}
	s := &session{group: &chosen[0]}
	if s.wants("receive") || !s.wants("echo") {
		t.Error("a row is measured that was not chosen, or the other way round")
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-quick", "-rounds", "7", "-rows", "^a"})
	if err != nil || o.settings.Rounds != 7 || o.settings.Boots != quick().Boots || o.pattern.String() != "^a" {
		t.Errorf("%+v, %v", o, err)
	}
	for _, bad := range [][]string{{"-rows", "("}, {"stray"}, {"-rounds", "-1"}, {"-load", "-1s"}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
