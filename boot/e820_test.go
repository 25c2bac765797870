package boot

import (
	"slices"
	"strings"
	"testing"
)

func TestE820Map(t *testing.T) {
	lowEntries := []E820Entry{
		{0, 0x9FC00, E820RAM},
		{0x9FC00, 0x400, E820Reserved},
		{0xE0000, 0x20000, E820Reserved},
	}
	for _, tt := range []struct {
		name      string
		low, high uint64
		reserved  []E820Entry
		want      []E820Entry // after lowEntries
	}{
		{"low RAM", 64 * mib, 0, nil, []E820Entry{{mib, 63 * mib, E820RAM}}},
		{"1 MiB", mib, 0, nil, nil},
		{"high RAM", 3 << 30, 5 << 30, nil, []E820Entry{{mib, 3<<30 - mib, E820RAM}, {4 << 30, 5 << 30, E820RAM}}},
		{"ACPI at the top", 64 * mib, 0, []E820Entry{{63 * mib, mib, E820ACPI}},
			[]E820Entry{{mib, 62 * mib, E820RAM}, {63 * mib, mib, E820ACPI}}},
		{"hole in the middle", 64 * mib, 0, []E820Entry{{8 * mib, mib, E820NVS}},
			[]E820Entry{{mib, 7 * mib, E820RAM}, {8 * mib, mib, E820NVS}, {9 * mib, 55 * mib, E820RAM}}},
		{"outside RAM", 64 * mib, 0, []E820Entry{{0xFEC00000, 0x1000, E820Reserved}},
			[]E820Entry{{mib, 63 * mib, E820RAM}, {0xFEC00000, 0x1000, E820Reserved}}},
		{"joined", 64 * mib, 0, []E820Entry{{62 * mib, mib, E820Reserved}, {63 * mib, mib, E820Reserved}},
			[]E820Entry{{mib, 61 * mib, E820RAM}, {62 * mib, 2 * mib, E820Reserved}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := E820Map(tt.low, tt.high, tt.reserved)
			if err != nil {
				t.Fatal(err)
			}
			if want := append(slices.Clone(lowEntries), tt.want...); !slices.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

func TestE820MapErrors(t *testing.T) {
	var many []E820Entry
	for i := range uint64(70) {
		many = append(many, E820Entry{(2 + 2*i) * mib, mib, E820Reserved})
	}
	for _, tt := range []struct {
		low, high uint64
		reserved  []E820Entry
		want      string
	}{
		{mib - 1, 0, nil, "at least 1 MiB"},
		{5 << 30, 0, nil, "below 4 GiB"},
		{mib, 1 << 52, nil, "52-bit"},
		{mib, 0, []E820Entry{{mib, 0, E820ACPI}}, "empty"},
		{mib, 0, []E820Entry{{mib, ^uint64(0), E820ACPI}}, "wraps"},
		{mib, 0, []E820Entry{{mib, 1, E820RAM}}, "among the reserved"},
		{mib, 0, []E820Entry{{mib, 2, E820ACPI}, {mib + 1, 2, E820NVS}}, "overlap"},
		{1 << 30, 0, many, "144 ranges"},
	} {
		if _, err := E820Map(tt.low, tt.high, tt.reserved); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%#x, %#x, %v: error %v, want %q", tt.low, tt.high, tt.reserved, err, tt.want)
		}
	}
}

func TestArena(t *testing.T) {
	a := &arena{free: []E820Entry{{0x1000, 0x4000, E820RAM}, {0x8000, 0x8000, E820RAM}}}
	const max = ^uint64(0)
	for _, tt := range []struct {
		w               window
		lowest, highest uint64
		places          uint64
	}{
		{window{0x1000, 0x1000, 0, max}, 0x1000, 0xF000, 12},
		{window{0x1001, 0x1000, 0, max}, 0x1000, 0xE000, 10},
		{window{0x4000, 0x2000, 0, max}, 0x8000, 0xC000, 3},
		{window{0x1000, 0x1000, 0x4800, max}, 0x8000, 0xF000, 8},
		{window{0x1000, 0x1000, 0, 0x9000}, 0x1000, 0x8000, 5},
		{window{0x9000, 1, 0, max}, 0, 0, 0},
		{window{1, 1 << 63, 0x1001, max}, 0, 0, 0},
		{window{1, 0x1000, max - 1, max}, 0, 0, 0}, // aligning wraps around
	} {
		lowest, ok := a.lowest(tt.w)
		if lowest != tt.lowest || ok != (tt.places > 0) {
			t.Errorf("%#x: lowest %#x %v, want %#x", tt.w, lowest, ok, tt.lowest)
		}
		highest, ok := a.highest(tt.w)
		if highest != tt.highest || ok != (tt.places > 0) {
			t.Errorf("%#x: highest %#x %v, want %#x", tt.w, highest, ok, tt.highest)
		}
		if n := a.places(tt.w); n != tt.places {
			t.Errorf("%#x: %d places, want %d", tt.w, n, tt.places)
			continue
		}
		if tt.places > 0 && (a.place(0, tt.w) != tt.lowest || a.place(tt.places-1, tt.w) != tt.highest) {
			t.Errorf("%#x: places from %#x to %#x", tt.w, a.place(0, tt.w), a.place(tt.places-1, tt.w))
		}
	}
	if err := a.claim(0x2000, 0x1000); err != nil {
		t.Fatal(err)
	}
	for _, r := range []Range{{0x2800, 1}, {0x1800, 0x1000}, {0x4000, 0x2000}, {0xF000, max}} {
		if a.claim(r.Base, r.Size) == nil {
			t.Errorf("%#x was claimed", r)
		}
	}
	want := []E820Entry{{0x1000, 0x1000, E820RAM}, {0x3000, 0x2000, E820RAM}, {0x8000, 0x8000, E820RAM}}
	if !slices.Equal(a.free, want) {
		t.Errorf("free: %v", a.free)
	}
}
