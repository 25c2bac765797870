package vmm

import (
	"maps"
	"testing"
	"testing/fstest"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/kvm"
)

// What a domain says of the TSC and of kvmclock shows in CPUID, and nothing else
// changes.
func TestTimerFeatures(t *testing.T) {
	const all = ^uint32(0)
	host := func() []kvm.CPUIDEntry {
		var table []kvm.CPUIDEntry
		for _, f := range []uint32{1, 2, 0x80000001, 0x80000007, 0x40000001} {
			table = append(table, kvm.CPUIDEntry{Function: f, Eax: all, Ebx: all, Ecx: all, Edx: all})
		}
		return append(table,
			kvm.CPUIDEntry{Function: 7, Index: 0, Ebx: all},
			kvm.CPUIDEntry{Function: 7, Index: 1, Ebx: all},
			kvm.CPUIDEntry{Function: 0x40000000, Eax: 0x40000001})
	}
	noClock := map[uint32]kvm.CPUIDEntry{
		0x40000001: {Function: 0x40000001, Eax: all &^ 0x1000009, Ebx: all, Ecx: all, Edx: all},
	}
	noTSC := map[uint32]kvm.CPUIDEntry{
		1:          {Function: 1, Eax: all, Ebx: all, Ecx: all &^ (1 << 24), Edx: all &^ (1 << 4)},
		7:          {Function: 7, Ebx: all &^ 2},
		0x80000001: {Function: 0x80000001, Eax: all, Ebx: all, Ecx: all, Edx: all &^ (1 << 27)},
		0x80000007: {Function: 0x80000007, Eax: all, Ebx: all, Ecx: all, Edx: all &^ (1 << 8)},
	}
	maps.Copy(noTSC, noClock)
	for _, tt := range []struct {
		name    string
		timers  []*domcfg.Timer
		changed map[uint32]kvm.CPUIDEntry // by leaf, subleaf 0
		added   []kvm.CPUIDEntry
	}{
		{"unasked", nil, nil, nil},
		{"present", []*domcfg.Timer{{Name: "tsc", Present: domcfg.Yes}, {Name: "kvmclock", Present: domcfg.Yes}}, nil, nil},
		{"no kvmclock", []*domcfg.Timer{{Name: "kvmclock", Present: domcfg.No}}, noClock, nil},
		{"no TSC", []*domcfg.Timer{{Name: "tsc", Present: domcfg.No, Frequency: 1e9}}, noTSC, nil},
		{"frequency", []*domcfg.Timer{{Name: "tsc", Frequency: 2_400_000_499}},
			map[uint32]kvm.CPUIDEntry{0x40000000: {Function: 0x40000000, Eax: 0x40000010}},
			[]kvm.CPUIDEntry{{Function: 0x40000010, Eax: 2_400_000, Ebx: 1_000_000}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &Machine{domain: &domcfg.Domain{Clock: &domcfg.Clock{Timers: tt.timers}}}
			got := m.timerFeatures(host())
			want := append(host(), tt.added...)
			for i, e := range want {
				if c, ok := tt.changed[e.Function]; ok && e.Index == 0 {
					want[i] = c
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%d leaves, want %d", len(got), len(want))
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("%+v, want %+v", got[i], want[i])
				}
			}
		})
	}
}

func TestSameRate(t *testing.T) {
	for _, tt := range []struct {
		a, b uint32
		want bool
	}{
		{2_400_000, 2_400_000, true},
		{2_400_600, 2_400_000, true},
		{2_399_400, 2_400_000, true},
		{2_400_601, 2_400_000, false},
		{2_399_399, 2_400_000, false},
		{1, ^uint32(0), false},
		{^uint32(0), 0, false},
	} {
		if got := sameRate(tt.a, tt.b); got != tt.want {
			t.Errorf("%d and %d kHz: %v", tt.a, tt.b, got)
		}
	}
}

func TestClockSource(t *testing.T) {
	const file = "devices/system/clocksource/clocksource0/current_clocksource"
	got, err := clockSource(fstest.MapFS{file: {Data: []byte("kvm-clock\n")}})
	if err != nil || got != "kvm-clock" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := clockSource(fstest.MapFS{}); err == nil {
		t.Errorf("without the file: %q", got)
	}
}
