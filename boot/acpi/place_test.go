package acpi

import (
	"bytes"
	"strings"
	"testing"
)

func TestPlaceErrors(t *testing.T) {
	tables := mustBuild(t, Config{})
	for _, test := range []struct {
		name       string
		data, rsdp uint64
		want       string
	}{
		{"data not aligned", 0x10_0010, 0xF_0000, "not aligned to 64"},
		{"data across 4 GiB", 1<<32 - 64, 0xF_0000, "below 4 GiB"},
		{"data above 4 GiB", 1 << 32, 0xF_0000, "below 4 GiB"},
		{"data at the end of memory", 1<<64 - 64, 0xF_0000, "below 4 GiB"},
		{"RSDP not aligned", 0x10_0000, 0xF_0008, "not aligned to 16"},
		{"RSDP below", 0x10_0000, 0xD_FFF0, "outside"},
		{"RSDP across the end", 0x10_0000, 0xF_FFF0, "outside"},
		{"RSDP at the end of memory", 0x10_0000, 1<<64 - 16, "outside"},
		{"overlap", 0xF_0000, 0xF_0040, "overlaps"},
		{"overlap at the start", 0xF_0000, 0xE_FFE0, "overlaps"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := tables.Place(test.data, test.rsdp)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestPlaceEverywhere places tables at several addresses, and leaves the blobs
// as they were.
func TestPlaceEverywhere(t *testing.T) {
	tables := mustBuild(t, fullConfig())
	data, rsdp := bytes.Clone(tables.Data), bytes.Clone(tables.RSDP)
	end := uint64(1<<32) - uint64(len(tables.Data)+DataAlign-1)/DataAlign*DataAlign
	for _, addrs := range [][2]uint64{
		{0xE_0040, 0xE_0000},
		{0x7FE_0000, 0xF_FFD0},
		{end, 0xF_0000},
		{0, 0xF_0000},
	} {
		img := mustPlace(t, tables, addrs[0], addrs[1])
		if img.DataAddr != addrs[0] || img.RSDPAddr != addrs[1] {
			t.Errorf("placed at %#x and %#x, want %#x", img.DataAddr, img.RSDPAddr, addrs)
		}
		walk(t, img)
	}
	if !bytes.Equal(data, tables.Data) || !bytes.Equal(rsdp, tables.RSDP) {
		t.Error("Place changed the blobs")
	}
}

// TestRelocationList checks what a firmware's loader relies on: fields inside
// their blobs, offsets that lie in the target, checksum bytes that are zero and
// inside their range.
func TestRelocationList(t *testing.T) {
	tables := mustBuild(t, fullConfig())
	blobs := map[Blob][]byte{RSDP: tables.RSDP, Data: tables.Data}
	for _, p := range tables.Pointers {
		field := blobs[p.In][p.Offset:]
		var offset uint64
		switch p.Size {
		case 4:
			offset = uint64(le.Uint32(field))
		case 8:
			offset = le.Uint64(field)
		default:
			t.Fatalf("pointer %+v is of %d bytes", p, p.Size)
		}
		if offset >= uint64(len(blobs[p.To])) {
			t.Errorf("pointer %+v leads to offset %#x of %d bytes", p, offset, len(blobs[p.To]))
		}
	}
	// Every table but the FACS has one checksum, the RSDP two.
	if got, want := len(tables.Checksums), len(tables.Index)-1+2; got != want {
		t.Errorf("%d checksums, want %d", got, want)
	}
	for _, c := range tables.Checksums {
		if c.Offset < c.Start || c.Offset >= c.Start+c.Length || c.Start+c.Length > len(blobs[c.In]) {
			t.Errorf("checksum %+v is out of range", c)
		} else if v := blobs[c.In][c.Offset]; v != 0 {
			t.Errorf("checksum %+v is %#x before it is made", c, v)
		}
	}
	for _, x := range tables.Index {
		if got := string(tables.Data[x.Offset : x.Offset+4]); got != x.Signature {
			t.Errorf("table %+v has signature %q", x, got)
		}
	}
	if tables.Table("SSDT") != nil {
		t.Error("found a table that is not there")
	}
}

// FuzzBuild checks that a Config either is refused or gives tables that a guest
// can walk.
func FuzzBuild(f *testing.F) {
	f.Add(uint16(4), uint32(1), uint64(0xE000_0000), uint64(0xFEBF_FFFF), uint64(0), uint64(0), uint16(0x600), uint16(0), uint8(9), uint8(10), 1, uint16(0x3F8), true)
	f.Add(uint16(300), uint32(3), uint64(0), uint64(0), uint64(1<<32), uint64(1<<64-1), uint16(0xFFC0), uint16(0xFFFC), uint8(15), uint8(3), 4, uint16(0xFFF8), false)
	f.Fuzz(func(t *testing.T, cpus uint16, stride uint32, first, last, first64, last64 uint64,
		pmBase, gpe0 uint16, sci, pirq uint8, com int, port uint16, all bool) {
		cfg := Config{
			PCIWindow:   Window{first, last},
			PCIWindow64: Window{first64, last64},
			PMBase:      pmBase,
			GPE0Base:    gpe0,
			SCI:         sci,
			PIRQs:       []uint8{pirq},
			Serial:      []Serial{{COM: com, Port: port, IRQ: pirq ^ 1}},
			Keyboard:    all,
			Mouse:       all,
			HPET:        all,
			PVPanicPort: port,
		}
		for i := range uint32(cpus) {
			cfg.CPUs = append(cfg.CPUs, CPU{APICID: i * stride, Enabled: true})
		}
		tables, err := Build(cfg)
		if err != nil {
			return
		}
		walk(t, mustPlace(t, tables, 0x10_0000, 0xF_0000))
	})
}

func BenchmarkBuild(b *testing.B) {
	cfg := fullConfig()
	b.ReportAllocs()
	for b.Loop() {
		mustBuild(b, cfg)
	}
}
