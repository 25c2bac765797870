package firmware

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/boot"
	"github.com/govmm/govmm/boot/acpi"
	"github.com/govmm/govmm/boot/smbios"
)

// TestItems compares all items of a machine with what SeaBIOS reads.
func TestItems(t *testing.T) {
	items := mustItems(t, Config{
		LowRAM: 3 << 30, HighRAM: 5 << 30,
		Reserved:      []boot.E820Entry{{Base: 0xFEFFC000, Size: 0x4000, Type: boot.E820Reserved}},
		CPUs:          3,
		APICIDs:       5,
		UUID:          [16]byte{0: 0x12, 15: 0x34},
		BootOrder:     []string{FloppyDrive(PCIFunction{Slot: 1}, 0), IDEDrive(PCIFunction{1, 1}, 0, 1)},
		BootStrict:    true,
		BootMenu:      true,
		BootMenuWait:  3 * time.Second,
		BootFailWait:  -1,
		SerialConsole: 0x3F8,
		Files:         []File{{GenericROM("x.rom"), strings.NewReader("rom")}},
	})
	for _, tt := range []struct {
		name string
		key  uint16
		want string // hexadecimal, or text in quotes
	}{
		{"etc/e820", 0, "0000000000000000" + "000000c000000000" + "01000000" +
			"0000000001000000" + "0000004001000000" + "01000000" +
			"00c0fffe00000000" + "0040000000000000" + "02000000"},
		{"", 0x03, "0000000002000000"},
		{"", 0x05, "0300"},
		{"", 0x0F, "0500"},
		{"", 0x8002, "01000000"},
		{"", 0x02, "12" + strings.Repeat("00", 14) + "34"},
		{"bootorder", 0, `"/pci@i0cf8/isa@1/fdc@03f0/floppy@0` + "\n" + `/pci@i0cf8/ide@1,1/drive@0/disk@1` + "\nHALT\x00"},
		{"", 0x0E, "0100"},
		{"etc/boot-menu-wait", 0, "b80b"},
		{"etc/boot-fail-wait", 0, "ffffffff"},
		{"", 0x04, "0100"},
		{"etc/sercon-port", 0, "f803"},
		{"genroms/x.rom", 0, `"rom`},
	} {
		got := file(t, items, tt.name, tt.key)
		want, isText := strings.CutPrefix(tt.want, `"`)
		if !isText {
			b, err := hex.DecodeString(tt.want)
			if err != nil {
				t.Fatal(err)
			}
			want = string(b)
		}
		if string(got) != want {
			t.Errorf("%q %#x: %q, want %q", tt.name, tt.key, got, want)
		}
	}
	if len(items) != 13 {
		t.Errorf("%d items", len(items))
	}
}

// TestItemsOfLittle checks what is not told of a machine that has it not.
func TestItemsOfLittle(t *testing.T) {
	items := mustItems(t, Config{LowRAM: 16 * mib, CPUs: 1, BootFailWait: time.Minute})
	for _, i := range items {
		switch i.Name {
		case "", "etc/e820":
		case "etc/boot-fail-wait":
			if got := content(t, i.Content); le.Uint32(got) != 60000 || len(got) != 4 {
				t.Errorf("%s: % x", i.Name, got)
			}
		default:
			t.Errorf("there is %s", i.Name)
		}
	}
	if got := file(t, items, "etc/e820", 0); len(got) != 20 {
		t.Errorf("memory map of %d bytes", len(got))
	}
	if got := file(t, items, "", keyMaxCPUs); le.Uint16(got) != 1 {
		t.Errorf("% x APIC ids", got)
	}
}

func TestItemsErrors(t *testing.T) {
	anchor := make([]byte, 31)
	copy(anchor, "_SM_")
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"little RAM", func(c *Config) { c.LowRAM = mib - 1 }, "LowRAM"},
		{"much low RAM", func(c *Config) { c.LowRAM = 4<<30 + 1 }, "LowRAM"},
		{"much high RAM", func(c *Config) { c.HighRAM = 1 << 52 }, "HighRAM"},
		{"empty range", func(c *Config) { c.Reserved = []boot.E820Entry{{Base: 1, Type: boot.E820Reserved}} }, "Reserved"},
		{"type unknown to firmware", func(c *Config) { c.Reserved = []boot.E820Entry{{Base: 0, Size: 1, Type: boot.E820NVS}} }, "Reserved"},
		{"range that wraps", func(c *Config) {
			c.Reserved = []boot.E820Entry{{Base: math.MaxUint64, Size: 2, Type: boot.E820Reserved}}
		}, "Reserved"},
		{"no CPU", func(c *Config) { c.CPUs = 0 }, "CPUs"},
		{"many CPUs", func(c *Config) { c.CPUs = 65536 }, "CPUs"},
		{"few APIC ids", func(c *Config) { c.CPUs, c.APICIDs = 4, 3 }, "APICIDs"},
		{"path without slash", func(c *Config) { c.BootOrder = []string{"ide"} }, "BootOrder"},
		{"path with newline", func(c *Config) { c.BootOrder = []string{"/a\n/b"} }, "BootOrder"},
		{"long boot order", func(c *Config) { c.BootOrder = []string{"/" + strings.Repeat("a", bootOrderMax)} }, "BootOrder"},
		{"long menu", func(c *Config) { c.BootMenuWait = 66 * time.Second }, "BootMenuWait"},
		{"negative menu", func(c *Config) { c.BootMenuWait = -time.Second }, "BootMenuWait"},
		{"long retry", func(c *Config) { c.BootFailWait = 1000 * time.Hour }, "BootFailWait"},
		{"no anchor", func(c *Config) { c.SMBIOS = &smbios.Tables{} }, "SMBIOS: the anchor is not"},
		{"half an anchor", func(c *Config) { c.SMBIOS = &smbios.Tables{Anchor: anchor[:30]} }, "SMBIOS: the anchor is not"},
		{"lengths differ", func(c *Config) { c.SMBIOS = &smbios.Tables{Anchor: anchor, Data: make([]byte, 7)} }, "have 0 bytes, and they have 7"},
		{"file without name", func(c *Config) { c.Files = []File{{"", strings.NewReader("")}} }, "Files"},
		{"file without content", func(c *Config) { c.Files = []File{{Name: "a"}} }, "Files"},
	} {
		cfg := Config{LowRAM: 64 * mib, CPUs: 1}
		tt.change(&cfg)
		if _, err := Items(cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestSMBIOS(t *testing.T) {
	v2, v3 := make([]byte, 31), make([]byte, 24)
	copy(v2, "_SM_")
	le.PutUint16(v2[0x16:], 5)
	copy(v3, "_SM3_")
	le.PutUint32(v3[0x0C:], 5)
	for _, anchor := range [][]byte{v2, v3} {
		items := mustItems(t, Config{LowRAM: mib, CPUs: 1, SMBIOS: &smbios.Tables{Anchor: anchor, Data: []byte("table")}})
		a, tables := file(t, items, "etc/smbios/smbios-anchor", 0), file(t, items, "etc/smbios/smbios-tables", 0)
		if !bytes.Equal(a, anchor) || string(tables) != "table" {
			t.Errorf("%q: % x, %q", anchor[:5], a, tables)
		}
	}
}

// TestSMBIOSOfMachine passes on what package smbios builds.
func TestSMBIOSOfMachine(t *testing.T) {
	for _, v := range []smbios.Version{smbios.V2_8, smbios.V3_0} {
		tables, err := smbios.Build(smbios.Config{Version: v, LowRAM: 64 * mib})
		if err != nil {
			t.Fatal(err)
		}
		items := mustItems(t, Config{LowRAM: 64 * mib, CPUs: 1, SMBIOS: tables})
		if got := file(t, items, smbios.TablesFile, 0); !bytes.Equal(got, tables.Data) {
			t.Errorf("%v: %d bytes of tables", v, len(got))
		}
	}
}

func TestBootPaths(t *testing.T) {
	slot5 := PCIFunction{Slot: 5}
	for _, tt := range []struct{ got, want string }{
		{IDEDrive(PCIFunction{1, 1}, 1, 0), "/pci@i0cf8/ide@1,1/drive@1/disk@0"},
		{SATADrive(PCIFunction{Slot: 0x1F, Function: 2}, 10), "/pci@i0cf8/pci8086,2922@1f,2/drive@a/disk@0"},
		{FloppyDrive(PCIFunction{Slot: 1}, 1), "/pci@i0cf8/isa@1/fdc@03f0/floppy@1"},
		{VirtioDisk(slot5), "/pci@i0cf8/scsi@5/disk@0,0"},
		{SCSIDisk(PCIFunction{Slot: 0x10}, 1, 258), "/pci@i0cf8/scsi@10/channel@0/disk@1,102"},
		{USBDisk(PCIFunction{1, 2}, 1), "/pci@i0cf8/usb@1,2/storage@1/channel@0/disk@0,0"},
		{NIC(PCIFunction{Slot: 3}), "/pci@i0cf8/ethernet@3/ethernet-phy@0"},
		{ROM(GenericROM("a.rom")), "/rom@genroms/a.rom"},
		{VGAROM("b.rom"), "vgaroms/b.rom"},
		{PCIROM(0x1AF4, 0x1000), "pci1af4,1000.rom"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s, want %s", tt.got, tt.want)
		}
	}
}

// loaded is what the table loader of a firmware leaves in memory.
type loaded struct {
	data map[string][]byte
	base map[string]uint64
}

// runLoader carries out the commands as firmware does, with the files at given
// addresses.
func runLoader(t *testing.T, items []Item, base map[string]uint64) loaded {
	t.Helper()
	l := loaded{map[string][]byte{}, base}
	script := file(t, items, fileLoader, 0)
	if len(script)%128 != 0 {
		t.Fatalf("commands of %d bytes", len(script))
	}
	name := func(b []byte) string {
		s, rest, ended := bytes.Cut(b[:56], []byte{0})
		if !ended || len(bytes.Trim(rest, "\x00")) != 0 {
			t.Fatalf("file name %q", b[:56])
		}
		return string(s)
	}
	zones := map[string]byte{fileRSDP: 2, fileTables: 1}
	for ; len(script) > 0; script = script[128:] {
		c := script[4:128]
		switch command := le.Uint32(script); command {
		case 1:
			f, align, zone := name(c), le.Uint32(c[56:]), c[60]
			if l.data[f] != nil || zone != zones[f] || base[f]%uint64(align) != 0 || align == 0 {
				t.Fatalf("allocate %s, alignment %d, zone %d", f, align, zone)
			}
			l.data[f] = file(t, items, f, 0)
		case 2:
			dest, source, offset, size := name(c), name(c[56:]), le.Uint32(c[112:]), c[116]
			field := l.data[dest][offset:][:size]
			address := base[source]
			if address == 0 || size != 4 && size != 8 {
				t.Fatalf("pointer of %d bytes to %s", size, source)
			}
			var wide [8]byte
			copy(wide[:], field)
			le.PutUint64(wide[:], le.Uint64(wide[:])+address)
			copy(field, wide[:])
		case 3:
			f, offset, start, length := name(c), le.Uint32(c[56:]), le.Uint32(c[60:]), le.Uint32(c[64:])
			l.data[f][offset] -= sum(l.data[f][start : start+length])
		default:
			t.Fatalf("command %d", command)
		}
	}
	return l
}

// TestTableLoader compares what firmware makes of the tables with what
// acpi.Place makes of them.
func TestTableLoader(t *testing.T) {
	tables := mustTables(t)
	items := mustItems(t, Config{LowRAM: 64 * mib, CPUs: 1, ACPI: tables})
	for _, at := range []struct{ data, rsdp uint64 }{{0x3FE_0000, 0xF_6000}, {0xE_0000, 0xF_FFC0}} {
		want, err := tables.Place(at.data, at.rsdp)
		if err != nil {
			t.Fatal(err)
		}
		got := runLoader(t, items, map[string]uint64{fileTables: at.data, fileRSDP: at.rsdp})
		if !bytes.Equal(got.data[fileRSDP], want.RSDP) || !bytes.Equal(got.data[fileTables], want.Data) {
			t.Errorf("tables at %#x and %#x differ from those that were placed there", at.data, at.rsdp)
		}
	}
	// The files themselves hold offsets still.
	if !bytes.Equal(file(t, items, fileTables, 0), tables.Data) || !bytes.Equal(file(t, items, fileRSDP, 0), tables.RSDP) {
		t.Error("the files are not the tables as they were built")
	}
}

// TestLoaderCommands checks the layout of each command byte by byte.
func TestLoaderCommands(t *testing.T) {
	b := &builder{}
	if err := b.acpi(&acpi.Tables{
		RSDP: []byte{1}, Data: []byte{2},
		Pointers:  []acpi.Pointer{{In: acpi.RSDP, Offset: 0x18, Size: 8, To: acpi.Data}},
		Checksums: []acpi.Checksum{{In: acpi.Data, Offset: 9, Start: 0x102, Length: 0x203}},
	}); err != nil {
		t.Fatal(err)
	}
	pad := func(s string, n int) string { return s + strings.Repeat("\x00", n-len(s)) }
	rsdp, data := pad("etc/acpi/rsdp", 56), pad("etc/acpi/tables", 56)
	want := pad("\x01\x00\x00\x00"+rsdp+"\x10\x00\x00\x00\x02", 128) +
		pad("\x01\x00\x00\x00"+data+"\x40\x00\x00\x00\x01", 128) +
		pad("\x02\x00\x00\x00"+rsdp+data+"\x18\x00\x00\x00\x08", 128) +
		pad("\x03\x00\x00\x00"+data+"\x09\x00\x00\x00\x02\x01\x00\x00\x03\x02\x00\x00", 128)
	if got := file(t, b.items, "etc/table-loader", 0); string(got) != want {
		t.Errorf("%q, want\n%q", got, want)
	}
}

func TestKernelErrorIsAboutItsPart(t *testing.T) {
	image := bzImage(nil, []byte("kernel"), nil)
	for _, tt := range []struct {
		kernel Kernel
		part   boot.Part
	}{
		{Kernel{}, boot.PartKernel},
		{Kernel{Image: image, Cmdline: strings.Repeat("c", 3000)}, boot.PartCmdline},
		{Kernel{Image: image, Initrd: sparse(1 << 40)}, boot.PartInitrd},
	} {
		_, err := Items(Config{LowRAM: 64 * mib, CPUs: 1, Kernel: &tt.kernel})
		if e := (*boot.Error)(nil); !errors.As(err, &e) || e.Part != tt.part {
			t.Errorf("error %v is not about %s", err, tt.part)
		}
	}
}
