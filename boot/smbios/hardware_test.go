package smbios

import (
	"fmt"
	"testing"

	"github.com/digitalocean/go-smbios/smbios"
)

// TestMemory adds up what structures 16, 17 and 19 tell.
func TestMemory(t *testing.T) {
	for _, test := range []struct {
		low, high, dimm uint64
		dimms           int
	}{
		{mib, 0, 0, 1},
		{640 * kib, 0, 0, 1},
		{128*mib + kib, 0, 0, 1},
		{3 * gib, gib, 0, 1},
		{3 * gib, 13*gib + kib, 0, 2},
		{4 * gib, 60 * gib, 0, 4},
		{3 * gib, 61 * gib, 32 * gib, 2},       // the size field ends at 32 GiB less 1 MiB
		{3 * gib, 61 * gib, 32*gib - mib, 3},   // its largest value
		{3 * gib, 2*tib - 3*gib, tib, 2},       // the capacity field ends at 2 TiB
		{3 * gib, 2*tib - 3*gib - mib, tib, 2}, // its largest value
		{3 * gib, 4*tib - 4*gib - kib, tib, 4}, // the largest address but one
		{3 * gib, 4*tib - 4*gib, tib, 4},       // the address field ends at 4 TiB
		{3 * gib, 59 * tib, 0, 3777},           // handles of type 19 move up
		{gib, 511*16*gib - gib, 0, 511}, {gib, 512*16*gib - gib, 0, 512}, {gib, 513*16*gib - gib, 0, 513},
	} {
		name := fmt.Sprintf("%d+%d KiB of %d", test.low/kib, test.high/kib, test.dimm)
		t.Run(name, func(t *testing.T) {
			tables := mustBuild(t, Config{Version: V3_0, LowRAM: test.low, HighRAM: test.high, DIMMSize: test.dimm})
			s := check(t, tables)
			if got := len(s[typeMemoryDevice]); got != test.dimms {
				t.Errorf("%d memory devices, want %d", got, test.dimms)
			}
			total := test.low + test.high
			if got := capacity(s[typeMemoryArray][0]); got != total {
				t.Errorf("capacity %d, want %d", got, total)
			}
			var devices uint64
			for _, d := range s[typeMemoryDevice] {
				devices += deviceSize(d)
			}
			if devices < total || devices >= total+mib {
				t.Errorf("devices hold %d bytes of %d", devices, total)
			}
			want := [][2]uint64{{0, test.low - 1}}
			if test.high > 0 {
				want = append(want, [2]uint64{highBase, highBase + test.high - 1})
			}
			var got [][2]uint64
			for _, m := range s[typeMapped] {
				got = append(got, mappedRange(m))
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("mapped %x, want %x", got, want)
			}
		})
	}
}

func capacity(s *smbios.Structure) uint64 {
	if n := le.Uint32(s.Formatted[3:]); n != 0x8000_0000 {
		return uint64(n) * kib
	}
	return le.Uint64(s.Formatted[0x0B:])
}

func deviceSize(s *smbios.Structure) uint64 {
	if n := le.Uint16(s.Formatted[8:]); n != 0x7FFF {
		return uint64(n) * mib
	}
	return uint64(le.Uint32(s.Formatted[0x18:])) * mib
}

func mappedRange(s *smbios.Structure) [2]uint64 {
	f := s.Formatted
	start, end := le.Uint32(f), le.Uint32(f[4:])
	switch {
	case start == 0xFFFF_FFFF && end == 0xFFFF_FFFF:
		return [2]uint64{le.Uint64(f[0x0B:]), le.Uint64(f[0x13:])}
	case start == 0xFFFF_FFFF || end == 0xFFFF_FFFF:
		return [2]uint64{} // half of it is extended
	}
	return [2]uint64{uint64(start) * kib, uint64(end)*kib + kib - 1}
}

// TestProcessors checks the fields that come in two sizes.
func TestProcessors(t *testing.T) {
	for _, test := range []struct {
		cores, threads          int
		family                  uint16
		wantCores, wantThreads  byte
		wantFamily, wantFamily2 uint16
	}{
		{1, 1, 0, 1, 1, 1, 1},
		{4, 2, 0x6B, 4, 8, 0x6B, 0x6B},
		{127, 2, 0xFD, 127, 254, 0xFD, 0xFD},
		{255, 1, 0x102, 255, 255, 0xFE, 0x102},
		{256, 2, 1, 255, 255, 1, 1},
		{32767, 2, 1, 255, 255, 1, 1},
	} {
		cfg := Config{Version: V3_0, LowRAM: gib, Processors: Processors{
			Sockets: 2, Cores: test.cores, Threads: test.threads, Family: test.family}}
		list := check(t, mustBuild(t, cfg))[typeProcessor]
		if len(list) != 2 {
			t.Fatalf("%d processors", len(list))
		}
		f := list[1].Formatted
		if f[0x23-4] != test.wantCores || f[0x24-4] != test.wantCores || f[0x25-4] != test.wantThreads {
			t.Errorf("%+v: counts % x", test, f[0x23-4:0x26-4])
		}
		if a, b := le.Uint16(f[0x2A-4:]), le.Uint16(f[0x2E-4:]); int(a) != test.cores || int(b) != test.cores*test.threads {
			t.Errorf("%+v: counts %d and %d", test, a, b)
		}
		if uint16(f[2]) != test.wantFamily || le.Uint16(f[0x28-4:]) != test.wantFamily2 {
			t.Errorf("%+v: families %#x and %#x", test, f[2], le.Uint16(f[0x28-4:]))
		}
	}
}
