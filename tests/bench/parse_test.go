package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/guest"
)

func TestParseAnswer(t *testing.T) {
	if count, ns, err := parseAnswer("12 3400"); count != 12 || ns != 3400 || err != nil {
		t.Errorf("%v %v, %v", count, ns, err)
	}
	for _, bad := range []string{"", "1", "1 2 3", "1 2x", "-1 2", "1.5 2", "NaN 1", "1e3 1", "1 99999999999999999999"} {
		if count, ns, err := parseAnswer(bad); err == nil {
			t.Errorf("%q is taken for %v and %v", bad, count, ns)
		}
	}
}

func TestNanoseconds(t *testing.T) {
	report, err := guest.ParseOutput(strings.NewReader("ok a ns-each = 17\nok b ns-each = 0\nok c ns-each = 1.5\ndone 3 ok, 0 not ok\n"))
	if err != nil {
		t.Fatal(err)
	}
	if ns, err := nanoseconds(report, "a", "ns-each"); ns != 17 || err != nil {
		t.Errorf("%v, %v", ns, err)
	}
	for _, bad := range []string{"b", "c", "d"} {
		if ns, err := nanoseconds(report, bad, "ns-each"); err == nil {
			t.Errorf("%s gives %v", bad, ns)
		}
	}
}

func TestParseTimes(t *testing.T) {
	const stat = "17 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 40 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 150 41 42"
	got, err := parseTimes(stat)
	want := times{user: 2500 * time.Millisecond, system: 400 * time.Millisecond, guest: 1500 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "17 (a) S 1 2", strings.Replace(stat, "250", "x", 1)} {
		if got, err := parseTimes(bad); err == nil {
			t.Errorf("%q gives %+v", bad, got)
		}
	}
}

func TestSumMemory(t *testing.T) {
	const smaps = `00400000-00500000 r-xp 00000000 fe:00 1 /usr/bin/x
Size:               1024 kB
Pss:                 100 kB
Private_Clean:        40 kB
Private_Dirty:         2 kB
VmFlags: rd ex mr
7f0000000000-7f0004000000 rw-p 00000000 00:00 0
Size:              65536 kB
Pss:                5000 kB
Private_Dirty:      5000 kB
`
	for _, test := range []struct {
		kinds []string
		want  int
	}{{[]string{"Private_Clean", "Private_Dirty"}, 42 << 10}, {[]string{"Pss"}, 100 << 10}} {
		if got, err := sumMemory(strings.NewReader(smaps), 64<<20, test.kinds...); got != test.want || err != nil {
			t.Errorf("%v: %d, %v, want %d", test.kinds, got, err, test.want)
		}
	}
	if got, err := sumMemory(strings.NewReader(smaps), 32<<20, "Pss"); err == nil {
		t.Errorf("%d without the guest's RAM", got)
	}
	if got, err := sumMemory(strings.NewReader(strings.Replace(smaps, "100", "1OO", 1)), 64<<20, "Pss"); err == nil {
		t.Errorf("%d of no number", got)
	}
}

func TestAwaitMark(t *testing.T) {
	for text, good := range map[string]bool{"!": true, "Start CPU 0\r\n!": true, "": false, "no": false, strings.Repeat("x", 5000) + "!": false} {
		if err := awaitMark(strings.NewReader(text)); (err == nil) != good {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// A VMM that fails has no more turns, and the others go on.
func TestTurns(t *testing.T) {
	s := &session{
		ctx: t.Context(), group: &group{name: "g", vmms: []vmm{govmm, qemuPC, gokvm}}, lost: map[vmm]bool{gokvm: true},
		log: t.Logf, keep: func(results) error { return nil },
	}
	had := map[vmm]int{}
	err := s.turns(3, func(v vmm, counts bool) error {
		if had[v]++; v == qemuPC && had[v] == 2 {
			return errors.New("it stands still")
		}
		return nil
	})
	if err != nil || had[govmm] != 4 || had[qemuPC] != 2 || had[gokvm] != 0 {
		t.Errorf("%v, turns %v", err, had)
	}
	if f := s.results.Failures; len(f) != 1 || f[0] != "g: QEMU pc: it stands still" {
		t.Errorf("failures %q", f)
	}
	if err := s.turns(1, func(vmm, bool) error { return errors.New("no") }); err == nil {
		t.Error("a group of which nothing is measured is no failure")
	}
}
