package smbios

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/digitalocean/go-smbios/smbios"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

const (
	gib = 1 << 30
	tib = 1 << 40
)

// fullConfig has a value in every field.
func fullConfig(v Version) Config {
	return Config{
		Version: v,
		Machine: Machine{Manufacturer: "maker", Product: "a machine", Version: "pc-1"},
		BIOS:    &BIOS{Vendor: "LENOVO", Version: "6FET82WW (3.12 )", Date: "11/26/2009", Release: "3.18", UEFI: true},
		System: System{
			Manufacturer: "Fedora", Product: "Virt-Manager", Version: "0.8.2-3.fc14", Serial: "32dfcb37",
			UUID: [16]byte{0x3e, 0x3f, 0xce, 0x45, 0x4f, 0x53, 0x4f, 0xa7, 0xbb, 0x32, 0x11, 0xf3, 0x41, 0x68, 0xb8, 0x2b},
			SKU:  "sku-1", Family: "Red Hat",
		},
		BaseBoard: &BaseBoard{
			Manufacturer: "board maker", Product: "board", Version: "b1", Serial: "b2", Asset: "b3", Location: "bottom",
		},
		Chassis:    Chassis{Manufacturer: "case maker", Version: "c1", Serial: "c2", Asset: "c3", SKU: "c4"},
		OEMStrings: []string{"first", "  second\n", "third"},
		Processors: Processors{
			Sockets: 2, Cores: 3, Threads: 2, Manufacturer: "chip maker", Version: "chip", Family: 0x6B,
			Signature: 0x306C3, Features: 0x0FABFBFF, Speed: 3000, Serial: "p1", Asset: "p2", Part: "p3",
		},
		LowRAM:  3 * gib,
		HighRAM: 17 * gib,
	}
}

func mustBuild(t testing.TB, cfg Config) *Tables {
	t.Helper()
	tables, err := Build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// stringFields are the offsets of string numbers in a structure of a type.
func stringFields(kind uint8) []int {
	return map[uint8][]int{
		typeBIOS:         {4, 5, 8},
		typeSystem:       {4, 5, 6, 7, 0x19, 0x1A},
		typeBaseBoard:    {4, 5, 6, 7, 8, 0x0A},
		typeChassis:      {4, 6, 7, 8, 0x15},
		typeProcessor:    {4, 7, 0x10, 0x20, 0x21, 0x22},
		typeMemoryDevice: {0x10, 0x11, 0x17, 0x18, 0x19, 0x1A},
	}[kind]
}

// check reads tables as a guest does: entry point, structures, references.
func check(t testing.TB, tables *Tables) map[uint8][]*smbios.Structure {
	t.Helper()
	const address = 0xF_0020
	image, err := tables.Place(address, 0xF_0000)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := smbios.ParseEntryPoint(bytes.NewReader(image.Anchor))
	if err != nil {
		t.Fatal(err)
	}
	if at, size := entry.Table(); at != address || size != len(image.Data) {
		t.Errorf("entry point leads to %d bytes at %#x, want %d at %#x", size, at, len(image.Data), address)
	}
	if s := sum(image.Anchor); s != 0 {
		t.Errorf("entry point sums to %#x", s)
	}
	list, err := smbios.NewDecoder(bytes.NewReader(image.Data)).Decode()
	if err != nil {
		t.Fatal(err)
	}
	byType := make(map[uint8][]*smbios.Structure)
	handles := make(map[uint16]uint8) // to types
	size, largest := 0, 0
	for _, s := range list {
		h := s.Header
		if _, taken := handles[h.Handle]; taken {
			t.Errorf("handle %#x is there twice", h.Handle)
		}
		handles[h.Handle] = h.Type
		byType[h.Type] = append(byType[h.Type], s)
		n := structureSize(s)
		size, largest = size+n, max(largest, n)
		for _, offset := range stringFields(h.Type) {
			if n := int(s.Formatted[offset-headerSize]); n > len(s.Strings) {
				t.Errorf("type %d, offset %#x: string %d of %d", h.Type, offset, n, len(s.Strings))
			}
		}
	}
	if last := list[len(list)-1].Header; last.Type != typeEnd || size != len(image.Data) {
		t.Errorf("last structure is of type %d, and ends at %d of %d bytes", last.Type, size, len(image.Data))
	}
	if e, ok := entry.(*smbios.EntryPoint32Bit); ok {
		if int(e.NumberStructures) != len(list) || int(e.MaxStructureSize) != largest {
			t.Errorf("entry point tells of %d structures of up to %d bytes, but there are %d of up to %d",
				e.NumberStructures, e.MaxStructureSize, len(list), largest)
		}
		if s := sum(image.Anchor[anchor2Start:]); s != 0 {
			t.Errorf("intermediate anchor sums to %#x", s)
		}
	}
	checkReferences(t, byType, handles)
	return byType
}

// structureSize is the number of bytes that a structure takes in the table.
func structureSize(s *smbios.Structure) int {
	n := headerSize + len(s.Formatted) + 1
	for _, text := range s.Strings {
		n += len(text) + 1
	}
	if len(s.Strings) == 0 {
		n++
	}
	return n
}

func checkReferences(t testing.TB, byType map[uint8][]*smbios.Structure, handles map[uint16]uint8) {
	t.Helper()
	refer := func(kind uint8, offset int, to uint8) {
		for _, s := range byType[kind] {
			handle := le.Uint16(s.Formatted[offset-headerSize:])
			if got, found := handles[handle]; !found || got != to {
				t.Errorf("type %d, handle %#x refers to handle %#x, which is of type %d, not %d", kind, s.Header.Handle, handle, got, to)
			}
		}
	}
	refer(typeBaseBoard, 0x0B, typeChassis)
	refer(typeMemoryDevice, 0x04, typeMemoryArray)
	refer(typeMapped, 0x0C, typeMemoryArray)
	if n := le.Uint16(byType[typeMemoryArray][0].Formatted[0x0D-headerSize:]); int(n) != len(byType[typeMemoryDevice]) {
		t.Errorf("array of %d devices, but there are %d", n, len(byType[typeMemoryDevice]))
	}
}

func TestGolden(t *testing.T) {
	for name, cfg := range map[string]Config{
		"minimal-2.8": {LowRAM: 128 * mib},
		"minimal-3.0": {Version: V3_0, LowRAM: 128 * mib},
		"full-2.8":    fullConfig(V2_8),
		"full-3.0":    fullConfig(V3_0),
	} {
		t.Run(name, func(t *testing.T) {
			tables := mustBuild(t, cfg)
			check(t, tables)
			golden(t, name+".hex", hex.Dump(tables.Anchor)+"\n"+hex.Dump(tables.Data))
		})
	}
}

// golden compares a text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

func TestRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"control character", func(c *Config) { c.System.Serial = "ab\x07" }, "system serial: byte 0x07 at position 3"},
		{"zero byte", func(c *Config) { c.System.Family = "a\x00b" }, "system family: byte 0x00 at position 2"},
		{"line break", func(c *Config) { c.BIOS.Vendor = "a\nb" }, "BIOS vendor: byte 0x0a"},
		{"not ASCII", func(c *Config) { c.System.Product = "Gerät" }, "system product: byte 0xc3 at position 4"},
		{"delete", func(c *Config) { c.Chassis.Asset = "\x7f" }, "chassis asset: byte 0x7f"},
		{"long string", func(c *Config) { c.BaseBoard.Serial = strings.Repeat("x", MaxString+1) }, "base board serial: 4097 bytes are too long"},
		{"OEM string", func(c *Config) { c.OEMStrings = []string{"a", "\x1b"} }, "OEM string 2: byte 0x1b"},
		{"empty OEM string", func(c *Config) { c.OEMStrings = []string{"a", " "} }, "OEM string 2 is empty"},
		{"many OEM strings", func(c *Config) { c.OEMStrings = slices.Repeat([]string{"x"}, 256) }, "256 OEM strings"},
		{"release of one number", func(c *Config) { c.BIOS.Release = "3" }, `BIOS release "3" is not of the form`},
		{"release of three", func(c *Config) { c.BIOS.Release = "1.2.3" }, "BIOS release"},
		{"large release", func(c *Config) { c.BIOS.Release = "1.256" }, "BIOS release"},
		{"negative release", func(c *Config) { c.BIOS.Release = "-1.2" }, "BIOS release"},
		{"signed release", func(c *Config) { c.BIOS.Release = "+1.2" }, "BIOS release"},
		{"ISO date", func(c *Config) { c.BIOS.Date = "2011-04-05" }, `BIOS date "2011-04-05" is not a date`},
		{"month 13", func(c *Config) { c.BIOS.Date = "13/01/2011" }, "BIOS date"},
		{"30 February", func(c *Config) { c.BIOS.Date = "02/30/2011" }, "BIOS date"},
		{"year of three digits", func(c *Config) { c.BIOS.Date = "02/03/201" }, "BIOS date"},
		{"trailing text", func(c *Config) { c.BIOS.Date = "02/03/2011x" }, "BIOS date"},
		{"sockets", func(c *Config) { c.Processors.Sockets = MaxSockets + 1 }, "2561 processor sockets"},
		{"negative sockets", func(c *Config) { c.Processors.Sockets = -1 }, "-1 processor sockets"},
		{"cores", func(c *Config) { c.Processors.Cores = 65535 }, "65535 cores"},
		{"threads", func(c *Config) { c.Processors.Cores, c.Processors.Threads = 256, 256 }, "256 threads in each of 256 cores"},
		{"no RAM", func(c *Config) { c.LowRAM = 0 }, "needs RAM"},
		{"odd RAM", func(c *Config) { c.HighRAM = 1023 }, "not a multiple of 1024"},
		{"low RAM beyond 4 GiB", func(c *Config) { c.LowRAM = 4*gib + kib }, "beyond 4 GiB"},
		{"high RAM to the end", func(c *Config) { c.HighRAM = 1<<64 - kib }, "more than"},
		{"odd DIMM", func(c *Config) { c.DIMMSize = mib + kib }, "not a multiple of 1 MiB"},
		{"huge DIMM", func(c *Config) { c.DIMMSize = 1 << 52 }, "too large"},
		{"too many DIMMs", func(c *Config) { c.DIMMSize = mib }, "raise DIMMSize"},
		{"version", func(c *Config) { c.Version = 2 }, "Version(2)"},
		{"2.8 over 64 KiB", func(c *Config) { c.OEMStrings = slices.Repeat([]string{strings.Repeat("x", 2000)}, 40) }, "write version 3.0"},
		{"3.0 over its limit", func(c *Config) {
			c.Version = V3_0
			c.Processors.Sockets = 1000
			c.Processors.Part = strings.Repeat("x", MaxString)
		}, "bytes of structures are more than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := fullConfig(V2_8)
			test.change(&cfg)
			_, err := Build(cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "smbios: ") {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	for _, date := range []string{"", "01/02/2011", "1/2/11", "12/31/99", "02/29/2012", " 01/02/2011\n"} {
		mustBuild(t, Config{LowRAM: gib, BIOS: &BIOS{Date: date}})
	}
	for release, want := range map[string][2]byte{
		"": {0, 0}, "0.0": {0, 0}, "255.255": {255, 255}, "4.07": {4, 7}, " 1.2 ": {1, 2},
	} {
		s := check(t, mustBuild(t, Config{LowRAM: gib, BIOS: &BIOS{Release: release}}))[typeBIOS][0]
		if got := [2]byte(s.Formatted[biosMajor-headerSize:]); got != want {
			t.Errorf("release %q is stored as %v, want %v", release, got, want)
		}
	}
}

// TestStrings checks that empty and blank strings have no number, and that white
// space at the ends goes.
func TestStrings(t *testing.T) {
	s := check(t, mustBuild(t, Config{LowRAM: gib, System: System{
		Manufacturer: "\n  maker \t", Product: "two words", Version: "v", Serial: " \r\n", Family: "~"},
	}))[typeSystem][0]
	want := []string{"maker", "two words", "v", "~"}
	if fmt.Sprint(s.Strings) != fmt.Sprint(want) {
		t.Errorf("strings %q, want %q", s.Strings, want)
	}
	numbers := append(bytes.Clone(s.Formatted[:4]), s.Formatted[systemSKU-headerSize:]...)
	if !bytes.Equal(numbers, []byte{1, 2, 3, 0, 0, 4}) {
		t.Errorf("string numbers %v", numbers)
	}
}

func TestUUID(t *testing.T) {
	cfg := fullConfig(V2_8)
	s := check(t, mustBuild(t, cfg))[typeSystem][0]
	want := "45ce3f3e534fa74fbb3211f34168b82b"
	if got := hex.EncodeToString(s.Formatted[4:20]); got != want {
		t.Errorf("UUID bytes %s, want %s", got, want)
	}
	if back := swapUUID([16]byte(s.Formatted[4:20])); back != cfg.System.UUID {
		t.Errorf("UUID %x does not come back: %x", cfg.System.UUID, back)
	}
}

// TestAnyStrings writes strings of any bytes: what is not refused can be read.
func TestAnyStrings(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	written := 0
	for range 3000 {
		text := func() string {
			b := make([]byte, rng.IntN(20))
			for i := range b {
				b[i] = byte(0x1C + rng.IntN(0x64)) // a few beyond both ends
			}
			return string(b)
		}
		if rng.IntN(4) > 0 {
			plain := text
			text = func() string { return dotted(trim(plain())) }
		}
		cfg := Config{
			Version: Version(rng.IntN(2)), LowRAM: gib,
			BIOS:       &BIOS{Vendor: text(), Version: text()},
			System:     System{text(), text(), text(), text(), [16]byte{1}, text(), text()},
			BaseBoard:  &BaseBoard{text(), text(), text(), text(), text(), text()},
			Chassis:    Chassis{text(), text(), text(), text(), text()},
			OEMStrings: []string{text(), text()},
		}
		tables, err := Build(cfg)
		if err != nil {
			continue
		}
		written++
		s := check(t, tables)
		if got, want := s[typeOEMStrings][0].Strings[1], trim(cfg.OEMStrings[1]); got != want {
			t.Errorf("OEM string %q came back as %q", want, got)
		}
	}
	if written < 1000 {
		t.Errorf("only %d of 3000 were not refused", written)
	}
}

func FuzzBuild(f *testing.F) {
	f.Add("QEMU", "1.0", "01/02/2011", "1.2", uint64(gib), uint64(0), uint64(0), 1, 1, 1, false)
	f.Add("", "x\x00", "x", "-", uint64(3*gib), uint64(5*tib), uint64(tib), 300, 70000, 2, true)
	f.Fuzz(func(t *testing.T, a, b, date, release string, low, high, dimm uint64, sockets, cores, threads int, v3 bool) {
		cfg := Config{
			BIOS:       &BIOS{Vendor: a, Version: b, Date: date, Release: release},
			System:     System{Manufacturer: b, Serial: a},
			OEMStrings: []string{a, b},
			LowRAM:     low,
			HighRAM:    high,
			DIMMSize:   dimm,
			Processors: Processors{Sockets: sockets, Cores: cores, Threads: threads},
		}
		if v3 {
			cfg.Version = V3_0
		}
		tables, err := Build(cfg)
		if err != nil {
			return
		}
		if _, err := tables.Place(mib, 0xF_0000); err != nil {
			t.Fatal(err)
		}
		if len(tables.Data) < 1<<15 {
			check(t, tables)
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	cfg := fullConfig(V2_8)
	b.ReportAllocs()
	for b.Loop() {
		mustBuild(b, cfg)
	}
}
