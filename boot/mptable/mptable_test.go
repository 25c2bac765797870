package mptable

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// cpuList returns n processors, the first of which is the bootstrap processor.
func cpuList(n int) []CPU {
	cpus := make([]CPU, n)
	for i := range cpus {
		cpus[i] = CPU{APICID: uint32(i), Enabled: true, BSP: i == 0}
	}
	return cpus
}

// parsed is what a guest reads from the tables.
type parsed struct {
	pointer    floating
	header     configHeader
	processors []processorEntry
	buses      []busEntry
	ioAPICs    []ioAPICEntry
	ioInts     []interruptEntry
	localInts  []interruptEntry
}

func decode[T any](t testing.TB, b []byte) (v T, rest []byte) {
	t.Helper()
	n, err := binary.Decode(b, le, &v)
	if err != nil {
		t.Fatal(err)
	}
	return v, b[n:]
}

// parse checks the structure of an image built for base (sections 4.1 to 4.3).
func parse(t testing.TB, base uint64, image []byte) (p parsed) {
	t.Helper()
	p.pointer, _ = decode[floating](t, image)
	f := p.pointer
	if string(f.Signature[:]) != "_MP_" || f.Length != 1 || f.Revision != 4 || f.Feature1 != 0 || f.Feature2 != 0 {
		t.Fatalf("floating pointer %+v", f)
	}
	if s := sum(image[:16]); s != 0 {
		t.Errorf("floating pointer sums to %#x", s)
	}
	table := image[uint64(f.ConfigAddress)-base:]
	var rest []byte
	p.header, rest = decode[configHeader](t, table)
	h := p.header
	if string(h.Signature[:]) != "PCMP" || h.Revision != 4 || int(h.Length) != len(table) || h.ExtendedLength != 0 {
		t.Fatalf("configuration header %+v of a table of %d bytes", h, len(table))
	}
	if s := sum(table); s != 0 {
		t.Errorf("configuration table sums to %#x", s)
	}

	last, count := uint8(0), 0
	for ; len(rest) > 0; count++ {
		kind := rest[0]
		if kind < last {
			t.Fatalf("entry %d of type %d comes after one of type %d", count, kind, last)
		}
		last = kind
		switch kind {
		case entryProcessor:
			var e processorEntry
			e, rest = decode[processorEntry](t, rest)
			p.processors = append(p.processors, e)
		case entryBus:
			var e busEntry
			e, rest = decode[busEntry](t, rest)
			p.buses = append(p.buses, e)
		case entryIOAPIC:
			var e ioAPICEntry
			e, rest = decode[ioAPICEntry](t, rest)
			p.ioAPICs = append(p.ioAPICs, e)
		case entryIOInt:
			var e interruptEntry
			e, rest = decode[interruptEntry](t, rest)
			p.ioInts = append(p.ioInts, e)
		case entryLocalInt:
			var e interruptEntry
			e, rest = decode[interruptEntry](t, rest)
			p.localInts = append(p.localInts, e)
		default:
			t.Fatalf("entry %d is of type %d", count, kind)
		}
	}
	if count != int(h.EntryCount) {
		t.Errorf("%d entries, header says %d", count, h.EntryCount)
	}
	return p
}

func mustBuild(t testing.TB, base uint64, cfg Config) parsed {
	t.Helper()
	image, err := Build(base, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, base, image)
}

func TestStructureSizes(t *testing.T) {
	for name, sizes := range map[string][2]int{
		"floating pointer": {binary.Size(floating{}), floatingPointerSize},
		"header":           {binary.Size(configHeader{}), configHeaderSize},
		"processor":        {binary.Size(processorEntry{}), 20},
		"bus":              {binary.Size(busEntry{}), 8},
		"I/O APIC":         {binary.Size(ioAPICEntry{}), 8},
		"interrupt":        {binary.Size(interruptEntry{}), 8},
		"$PIR header":      {binary.Size(pirHeader{}), 32},
		"$PIR slot":        {binary.Size(pirSlot{}), 16},
	} {
		if sizes[0] != sizes[1] {
			t.Errorf("%s has %d bytes, want %d", name, sizes[0], sizes[1])
		}
	}
}

func TestProcessors(t *testing.T) {
	cfg := Config{
		CPUs:      []CPU{{APICID: 4, Enabled: true}, {APICID: 2, Enabled: true, BSP: true}, {APICID: 254}},
		Signature: 0x000A_06B1, Features: 0x1783_FBFF,
	}
	p := mustBuild(t, 0xF_0000, cfg)
	want := []processorEntry{
		{Type: 0, LAPICID: 2, LAPICVersion: 0x14, Flags: 3, Signature: 0x6B1, Features: 0x1783_FBFF},
		{Type: 0, LAPICID: 4, LAPICVersion: 0x14, Flags: 1, Signature: 0x6B1, Features: 0x1783_FBFF},
		{Type: 0, LAPICID: 254, LAPICVersion: 0x14, Flags: 0, Signature: 0x6B1, Features: 0x1783_FBFF},
	}
	if fmt.Sprint(p.processors) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", p.processors, want)
	}
	if p.header.LAPICAddress != 0xFEE0_0000 {
		t.Errorf("local APIC address %#x", p.header.LAPICAddress)
	}
	// LINT0 takes the 8259s of the bootstrap processor, LINT1 is NMI everywhere.
	wantLocal := []interruptEntry{
		{Type: 4, Kind: 3, SourceBus: 1, DestAPIC: 2, DestInput: 0},
		{Type: 4, Kind: 1, SourceBus: 1, DestAPIC: 0xFF, DestInput: 1},
	}
	if fmt.Sprint(p.localInts) != fmt.Sprint(wantLocal) {
		t.Errorf("local interrupts %+v, want %+v", p.localInts, wantLocal)
	}
}

func TestBusesAndIOAPIC(t *testing.T) {
	p := mustBuild(t, 0xF_0000, Config{IOAPICID: 5, IOAPICAddr: 0xFEC1_0000, IOAPICVersion: 0x20})
	if len(p.buses) != 2 || string(p.buses[0].Name[:]) != "PCI   " || p.buses[0].BusID != 0 ||
		string(p.buses[1].Name[:]) != "ISA   " || p.buses[1].BusID != 1 {
		t.Errorf("buses %+v", p.buses)
	}
	if want := (ioAPICEntry{2, 5, 0x20, 1, 0xFEC1_0000}); len(p.ioAPICs) != 1 || p.ioAPICs[0] != want {
		t.Errorf("I/O APICs %+v, want %+v", p.ioAPICs, want)
	}
	for _, e := range p.ioInts {
		if e.DestAPIC != 5 {
			t.Errorf("%+v does not go to the I/O APIC of id 5", e)
		}
	}
}

// TestInterrupts checks where interrupts go and how they are triggered.
func TestInterrupts(t *testing.T) {
	type source struct{ bus, irq uint8 }
	type dest struct {
		input uint8
		flags uint16
	}
	const level = 0xD
	pci := func(slot, pin int) source { return source{0, uint8(slot<<2 | pin)} }
	absent := dest{0xFF, 0xFFFF}

	for _, test := range []struct {
		name string
		cfg  Config
		want map[source]dest
	}{
		{"defaults", Config{}, map[source]dest{
			{1, 0}: {2, 0}, {1, 1}: {1, 0}, {1, 2}: absent, {1, 5}: {5, 0}, {1, 9}: {9, 0},
			{1, 10}: absent, {1, 11}: absent, {1, 15}: {15, 0},
			pci(0, 0): {11, level}, pci(0, 1): {10, level},
			pci(1, 0): {10, level}, pci(1, 1): {10, level}, pci(1, 2): {11, level}, pci(1, 3): {11, level},
			pci(2, 0): {10, level}, pci(3, 0): {11, level}, pci(4, 0): {11, level}, pci(31, 0): {11, level},
		}},
		{"SCI", Config{SCI: 9}, map[source]dest{
			{1, 9}: {9, level}, pci(1, 0): {9, level}, pci(1, 1): {10, level}, pci(5, 0): {10, level},
		}},
		{"SCI shared", Config{SCI: 10}, map[source]dest{
			{1, 10}: {10, level}, {1, 11}: absent, {1, 9}: {9, 0}, pci(1, 0): {10, level},
		}},
		{"four interrupts", Config{PIRQ: [4]uint8{3, 5, 9, 15}}, map[source]dest{
			{1, 3}: absent, {1, 15}: absent, {1, 10}: {10, 0},
			pci(1, 0): {3, level}, pci(1, 3): {15, level}, pci(2, 0): {5, level}, pci(2, 3): {3, level},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := map[source]dest{}
			for _, e := range mustBuild(t, 0xF_0000, test.cfg).ioInts {
				s := source{e.SourceBus, e.SourceIRQ}
				if _, twice := got[s]; twice || e.Kind != kindINT {
					t.Errorf("%+v is listed twice or not an INT", e)
				}
				got[s] = dest{e.DestInput, e.Flags}
			}
			for s, want := range test.want {
				d, found := got[s]
				if !found {
					d = absent
				}
				if d != want {
					t.Errorf("%+v goes to %+v, want %+v", s, d, want)
				}
			}
		})
	}
}

func TestBuildErrors(t *testing.T) {
	two := cpuList(2)
	two[1].BSP = true
	for _, test := range []struct {
		name string
		base uint64
		cfg  Config
		want string
	}{
		{"too many CPUs", 0xF_0000, Config{CPUs: cpuList(256)}, "CPU 255 has APIC id 255"},
		{"wide APIC id", 0xF_0000, Config{CPUs: []CPU{{0xFFFF_FFFF, true, true}}}, "needs ACPI"},
		{"APIC id twice", 0xF_0000, Config{CPUs: []CPU{{1, true, true}, {1, true, false}}}, "listed twice"},
		{"no BSP", 0xF_0000, Config{CPUs: []CPU{{0, true, false}}}, "0 of the CPUs"},
		{"two BSPs", 0xF_0000, Config{CPUs: two}, "2 of the CPUs"},
		{"BSP disabled", 0xF_0000, Config{CPUs: []CPU{{0, false, true}}}, "not enabled"},
		{"PIRQ", 0xF_0000, Config{PIRQ: [4]uint8{10, 10, 11, 8}}, "PIRQ[3]: 8"},
		{"PIRQ unset", 0xF_0000, Config{PIRQ: [4]uint8{10, 10, 11}}, "PIRQ[3]: 0"},
		{"SCI", 0xF_0000, Config{SCI: 13}, "SCI 13"},
		{"not aligned", 0xF_0008, Config{}, "not aligned"},
		{"between the areas", 0xC_0000, Config{}, "neither"},
		{"too big for the area", 0x9_FC00, Config{}, "neither"},
		{"across the end", 0xF_FFF0, Config{}, "neither"},
		{"end of memory", 1<<64 - 16, Config{}, "neither"},
		{"zero", 0, Config{}, "neither"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Build(test.base, test.cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestCPUCounts builds tables up to the largest machine, in both areas.
func TestCPUCounts(t *testing.T) {
	for _, n := range []int{1, 4, MaxAPICID + 1} {
		for _, base := range []uint64{0x9_0000, 0xF_0000} {
			if p := mustBuild(t, base, Config{CPUs: cpuList(n), SCI: 9}); len(p.processors) != n {
				t.Errorf("%d CPUs at %#x: %d processors", n, base, len(p.processors))
			}
		}
	}
}

// FuzzBuild checks that a Config either is refused or gives well-formed tables.
func FuzzBuild(f *testing.F) {
	f.Add(uint64(0xF_0000), uint16(4), uint32(1), uint8(9), uint8(10), uint8(10), uint8(11), uint8(11))
	f.Add(uint64(0x9_F000), uint16(300), uint32(7), uint8(0), uint8(3), uint8(5), uint8(14), uint8(15))
	f.Fuzz(func(t *testing.T, base uint64, cpus uint16, stride uint32, sci, a, b, c, d uint8) {
		cfg := Config{SCI: sci, PIRQ: [4]uint8{a, b, c, d}, CPUs: cpuList(int(cpus))}
		for i := range cfg.CPUs {
			cfg.CPUs[i].APICID *= stride
		}
		image, err := Build(base, cfg)
		if err != nil {
			return
		}
		parse(t, base, image)
	})
}
