package acpi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// cpuList returns n CPUs of which the first enabled are present.
func cpuList(n, enabled int) []CPU {
	cpus := make([]CPU, n)
	for i := range cpus {
		cpus[i] = CPU{APICID: uint32(i), Enabled: i < enabled}
	}
	return cpus
}

// fullConfig is a machine with everything the tables can describe.
func fullConfig() Config {
	return Config{
		CPUs:           cpuList(6, 4),
		PCIWindow64:    Window{6 << 30, 8<<30 - 1},
		GPE0Base:       0xAFE0,
		SMICommandPort: 0xB2,
		Serial:         []Serial{{COM: 1}, {COM: 2}, {COM: 3}, {COM: 4, Port: 0x1C8, IRQ: 6}},
		Parallel:       []Parallel{{LPT: 1}, {LPT: 2}, {LPT: 3}},
		Keyboard:       true,
		Mouse:          true,
		PVPanicPort:    0x505,
		HPET:           true,
		RTCNeedsNoAck:  true,
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

func mustPlace(t testing.TB, tables *Tables, data, rsdp uint64) *Image {
	t.Helper()
	img, err := tables.Place(data, rsdp)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// machine reads placed tables the way a guest does: by address.
type machine struct {
	t   testing.TB
	img *Image
}

func (m machine) at(addr uint64) []byte {
	m.t.Helper()
	if addr < m.img.DataAddr || addr >= m.img.DataAddr+uint64(len(m.img.Data)) {
		m.t.Fatalf("address %#x is outside the tables", addr)
	}
	return m.img.Data[addr-m.img.DataAddr:]
}

// table checks the header of the table at addr and returns its bytes.
func (m machine) table(addr uint64) (signature string, table []byte) {
	m.t.Helper()
	b := m.at(addr)
	var h header
	if _, err := binary.Decode(b, le, &h); err != nil {
		m.t.Fatal(err)
	}
	signature, table = string(h.Signature[:]), b[:h.Length]
	if s := sum(table); s != 0 {
		m.t.Errorf("%s sums to %#x, want 0", signature, s)
	}
	if string(h.OEMID[:]) != oemID || string(h.OEMTableID[:]) != oemTableID {
		m.t.Errorf("%s has OEM ids %q and %q", signature, h.OEMID, h.OEMTableID)
	}
	return signature, table
}

// walk finds all tables from the RSDP on, by the XSDT, after checking that the
// RSDT lists the same.
func walk(t testing.TB, img *Image) map[string][]byte {
	t.Helper()
	m := machine{t, img}
	var r rsdp
	if _, err := binary.Decode(img.RSDP, le, &r); err != nil {
		t.Fatal(err)
	}
	if string(r.Signature[:]) != "RSD PTR " || r.Revision != 2 || int(r.Length) != len(img.RSDP) {
		t.Fatalf("RSDP is %+v", r)
	}
	if sum(img.RSDP[:rsdpV1Size]) != 0 || sum(img.RSDP) != 0 {
		t.Errorf("RSDP checksums are wrong: % X", img.RSDP)
	}
	signature, rsdt := m.table(uint64(r.RSDTAddress))
	if signature != "RSDT" {
		t.Fatalf("RSDT address leads to %q", signature)
	}
	signature, xsdt := m.table(r.XSDTAddress)
	if signature != "XSDT" {
		t.Fatalf("XSDT address leads to %q", signature)
	}
	rsdt, xsdt = rsdt[headerSize:], xsdt[headerSize:]
	if len(xsdt) != 2*len(rsdt) {
		t.Fatalf("RSDT has %d bytes of entries, XSDT %d", len(rsdt), len(xsdt))
	}

	found := map[string][]byte{}
	for i := range len(rsdt) / 4 {
		addr := le.Uint64(xsdt[8*i:])
		if addr != uint64(le.Uint32(rsdt[4*i:])) {
			t.Errorf("entry %d differs between RSDT and XSDT", i)
		}
		signature, table := m.table(addr)
		if found[signature] != nil {
			t.Errorf("%s is listed twice", signature)
		}
		found[signature] = table
	}

	fadt := decodeFADT(t, found["FACP"])
	if uint64(fadt.DSDT) != fadt.XDSDT {
		t.Errorf("DSDT is at %#x and %#x", fadt.DSDT, fadt.XDSDT)
	}
	_, found["DSDT"] = m.table(fadt.XDSDT)
	if fadt.FirmwareCtrl%DataAlign != 0 || fadt.XFirmwareCtrl != 0 {
		t.Errorf("FACS is at %#x and %#x", fadt.FirmwareCtrl, fadt.XFirmwareCtrl)
	}
	found["FACS"] = m.at(uint64(fadt.FirmwareCtrl))[:64]
	return found
}

func decodeFADT(t testing.TB, table []byte) fadtBody {
	t.Helper()
	var f fadtBody
	if n, err := binary.Decode(table[headerSize:], le, &f); err != nil || headerSize+n != len(table) {
		t.Fatalf("FADT of %d bytes: decoded %d: %v", len(table), n, err)
	}
	return f
}

// maxDSDT bounds the DSDT: what is always there, and each processor.
func maxDSDT(cpus int) int { return 5000 + 40*cpus }

func TestCPUCounts(t *testing.T) {
	for _, n := range []int{1, 4, 255, 300, MaxCPUs} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			cfg := fullConfig()
			cfg.CPUs = cpuList(n, (n+1)/2)
			tables := mustBuild(t, cfg)
			found := walk(t, mustPlace(t, tables, 0x7FE_0000, 0xF_0000))

			for _, signature := range []string{"FACP", "APIC", "WAET", "HPET", "DSDT", "FACS"} {
				if found[signature] == nil {
					t.Errorf("%s is missing", signature)
				}
			}
			size := len(found["DSDT"])
			if size > maxDSDT(n) {
				t.Errorf("DSDT of %d bytes exceeds %d", size, maxDSDT(n))
			}
			t.Logf("%d CPUs: DSDT %d bytes, all tables %d bytes", n, size, len(tables.Data))
			if short := len(found["FACP"]); short != 244 {
				t.Errorf("FADT of %d bytes, want 244", short)
			}
		})
	}
}

func TestFADT(t *testing.T) {
	plain := decodeFADT(t, mustBuild(t, Config{}).Table("FACP"))
	full := decodeFADT(t, mustBuild(t, fullConfig()).Table("FACP"))
	many := decodeFADT(t, mustBuild(t, Config{CPUs: cpuList(9, 1)}).Table("FACP"))
	moved := decodeFADT(t, mustBuild(t, Config{PMBase: 0xB000, SCI: 10, PIRQs: []uint8{11}}).Table("FACP"))
	for _, test := range []struct {
		name      string
		got, want uint64
	}{
		{"SCI", uint64(plain.SCIInterrupt), 9},
		{"SMI_CMD", uint64(plain.SMICommand), 0},
		{"ACPI_ENABLE", uint64(plain.ACPIEnable), 0},
		{"PM1a_EVT", uint64(plain.PM1aEventBlock), 0x600},
		{"PM1a_CNT", uint64(plain.PM1aControlBlock), 0x604},
		{"PM_TMR", uint64(plain.PMTimerBlock), 0x608},
		{"GPE0", uint64(plain.GPE0Block), 0x60C},
		{"X_PM1a_EVT", plain.XPM1aEvent.Address, 0x600},
		{"X_PM1a_EVT width", uint64(plain.XPM1aEvent.BitWidth), 32},
		{"X_PM1a_CNT", plain.XPM1aControl.Address, 0x604},
		{"X_PM1a_CNT width", uint64(plain.XPM1aControl.BitWidth), 16},
		{"X_PM_TMR", plain.XPMTimer.Address, 0x608},
		{"X_GPE0", plain.XGPE0.Address, 0x60C},
		{"reset port", plain.ResetRegister.Address, 0xCF9},
		{"reset space", uint64(plain.ResetRegister.SpaceID), 1},
		{"reset width", uint64(plain.ResetRegister.BitWidth), 8},
		{"reset value", uint64(plain.ResetValue), 6},
		{"reset supported", uint64(plain.Flags >> 10 & 1), 1},
		{"PM timer of 32 bits", uint64(plain.Flags >> 8 & 1), 0},
		{"power button as a device", uint64(plain.Flags >> 4 & 1), 0},
		{"sleep button absent", uint64(plain.Flags >> 5 & 1), 1},
		{"WBINVD", uint64(plain.Flags & 1), 1},
		{"boot flags", uint64(plain.BootArch), 1},
		{"century", uint64(plain.Century), 0x32},
		{"cluster model", uint64(plain.Flags >> 18 & 1), 0},

		{"full: boot flags", uint64(full.BootArch), 3},
		{"full: SMI_CMD", uint64(full.SMICommand), 0xB2},
		{"full: ACPI_ENABLE", uint64(full.ACPIEnable), 0xF1},
		{"full: ACPI_DISABLE", uint64(full.ACPIDisable), 0xF0},
		{"full: GPE0", uint64(full.GPE0Block), 0xAFE0},
		{"9 CPUs: cluster model", uint64(many.Flags >> 18 & 1), 1},
		{"moved: SCI", uint64(moved.SCIInterrupt), 10},
		{"moved: PM_TMR", uint64(moved.PMTimerBlock), 0xB008},
		{"moved: GPE0", uint64(moved.GPE0Block), 0xB00C},
	} {
		if test.got != test.want {
			t.Errorf("%s: %#x, want %#x", test.name, test.got, test.want)
		}
	}
}

// madtEntries splits a MADT into its structures.
func madtEntries(t testing.TB, table []byte) (entries [][]byte) {
	t.Helper()
	for rest := table[headerSize+8:]; len(rest) > 0; {
		n := int(rest[1])
		if n < 2 || n > len(rest) {
			t.Fatalf("MADT structure of %d bytes with %d left", n, len(rest))
		}
		entries = append(entries, rest[:n])
		rest = rest[n:]
	}
	return entries
}

func TestMADT(t *testing.T) {
	cfg := Config{CPUs: cpuList(300, 299), IOAPICID: 7, IOAPICAddr: 0xFEC1_0000}
	entries := madtEntries(t, mustBuild(t, cfg).Table("APIC"))

	var want [][]byte
	for i := range 255 {
		want = append(want, []byte{0, 8, byte(i), byte(i), 1, 0, 0, 0})
	}
	for i := 255; i < 300; i++ {
		e := make([]byte, 16)
		e[0], e[1] = 9, 16
		le.PutUint32(e[4:], uint32(i))
		if i < 299 {
			e[8] = 1
		}
		le.PutUint32(e[12:], uint32(i))
		want = append(want, e)
	}
	want = append(want,
		[]byte{1, 12, 7, 0, 0, 0, 0xC1, 0xFE, 0, 0, 0, 0},
		[]byte{2, 10, 0, 0, 2, 0, 0, 0, 0, 0},
		[]byte{2, 10, 0, 5, 5, 0, 0, 0, 0xD, 0},
		[]byte{2, 10, 0, 9, 9, 0, 0, 0, 0xD, 0},
		[]byte{2, 10, 0, 10, 10, 0, 0, 0, 0xD, 0},
		[]byte{2, 10, 0, 11, 11, 0, 0, 0, 0xD, 0},
		[]byte{4, 6, 0xFF, 0, 0, 1},
		[]byte{10, 12, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0},
	)
	// APIC id 255 is the first that needs the long form.
	if !slices.EqualFunc(entries, want, bytes.Equal) {
		t.Errorf("got  % X\nwant % X", entries, want)
	}
}

func TestMADTSmall(t *testing.T) {
	table := mustBuild(t, Config{}).Table("APIC")
	if addr, flags := le.Uint32(table[36:]), le.Uint32(table[40:]); addr != 0xFEE0_0000 || flags != 1 {
		t.Errorf("local APIC address %#x, flags %#x", addr, flags)
	}
	for _, e := range madtEntries(t, table) {
		if e[0] == madtLocalX2APIC || e[0] == madtLocalX2APICNMI {
			t.Errorf("a machine of one CPU has structure % X", e)
		}
	}
}

func TestSmallTables(t *testing.T) {
	plain, full := mustBuild(t, Config{}), mustBuild(t, fullConfig())
	if plain.Table("HPET") != nil {
		t.Error("there is an HPET table, but no HPET")
	}
	if got := plain.Table("WAET")[headerSize:]; !bytes.Equal(got, []byte{2, 0, 0, 0}) {
		t.Errorf("WAET flags % X", got)
	}
	if got := full.Table("WAET")[headerSize:]; !bytes.Equal(got, []byte{3, 0, 0, 0}) {
		t.Errorf("WAET flags % X with a clock that needs no acknowledgement", got)
	}
	want := []byte{0x01, 0xA2, 0x86, 0x80, 0, 0, 0, 0, 0, 0, 0xD0, 0xFE, 0, 0, 0, 0, 0, 0, 0, 0}
	if got := full.Table("HPET")[headerSize:]; !bytes.Equal(got, want) {
		t.Errorf("HPET % X, want % X", got, want)
	}
	facs := plain.Table("FACS")
	if len(facs) != 64 || string(facs[:4]) != "FACS" || le.Uint32(facs[4:]) != 64 || facs[32] != 1 {
		t.Errorf("FACS % X", facs)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"too many CPUs", Config{CPUs: cpuList(MaxCPUs+1, 1)}, "4097 CPUs"},
		{"no CPU enabled", Config{CPUs: cpuList(2, 0)}, "no CPU is enabled"},
		{"APIC id twice", Config{CPUs: []CPU{{1, true}, {1, true}}}, "CPU 1: APIC id 1 does not come after 1"},
		{"broadcast id", Config{CPUs: []CPU{{0xFFFF_FFFF, true}}}, "broadcast"},
		{"PMBase", Config{PMBase: 0x610}, "PMBase 0x610"},
		{"GPE0Base", Config{GPE0Base: 0xFFFE}, "GPE0Base 0xfffe"},
		{"SCI", Config{SCI: 8}, "SCI 8"},
		{"PIRQ", Config{PIRQs: []uint8{13}}, "PIRQs: 13"},
		{"no PIRQ left", Config{Serial: []Serial{{COM: 1, IRQ: 5}, {COM: 2, IRQ: 10}, {COM: 3, IRQ: 11}}}, "PIRQs: serial"},
		{"window below 1 MiB", Config{PCIWindow: Window{0xA_0000, 0xFEBF_FFFF}}, "PCIWindow 0xa0000"},
		{"window reversed", Config{PCIWindow: Window{0xFEBF_FFFF, 0xE000_0000}}, "PCIWindow"},
		{"window above 4 GiB", Config{PCIWindow: Window{0xE000_0000, 1 << 32}}, "PCIWindow"},
		{"window over I/O APIC", Config{PCIWindow: Window{0xE000_0000, 0xFECF_FFFF}}, "I/O APIC"},
		{"window over local APIC", Config{IOAPICAddr: 0xFFC0_0000, PCIWindow: Window{0xE000_0000, 0xFEFF_FFFF}}, "local APICs"},
		{"window over HPET", Config{HPET: true, HPETAddr: 0xF000_0000}, "HPET at 0xf0000000"},
		{"wide window low", Config{PCIWindow64: Window{0xF000_0000, 1 << 33}}, "PCIWindow64"},
		{"wide window reversed", Config{PCIWindow64: Window{1 << 33, 1 << 32}}, "PCIWindow64"},
		{"COM0", Config{Serial: []Serial{{COM: 0}}}, "only COM1 to COM4"},
		{"COM5", Config{Serial: []Serial{{COM: 5}}}, "only COM1 to COM4"},
		{"COM1 twice", Config{Serial: []Serial{{COM: 1}, {COM: 1}}}, "COM1 is listed twice"},
		{"COM port", Config{Serial: []Serial{{COM: 1, Port: 0xFFFF}}}, "port 0xffff"},
		{"COM IRQ", Config{Serial: []Serial{{COM: 1, IRQ: 16}}}, "16 is not an ISA interrupt"},
		{"COM on the SCI", Config{Serial: []Serial{{COM: 1, IRQ: 9}}}, "interrupt 9 is level-triggered"},
		{"LPT on a PIRQ", Config{Parallel: []Parallel{{LPT: 2}}, PIRQs: []uint8{5}}, "interrupt 5 is level-triggered"},
		{"LPT4", Config{Parallel: []Parallel{{LPT: 4}}}, "only LPT1 to LPT3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Build(test.cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestBuildKeepsConfig checks that defaults are not written into the caller's
// slices.
func TestBuildKeepsConfig(t *testing.T) {
	cfg := Config{Serial: []Serial{{COM: 1}}, Parallel: []Parallel{{LPT: 1}}}
	mustBuild(t, cfg)
	if cfg.Serial[0].Port != 0 || cfg.Parallel[0].Port != 0 {
		t.Errorf("Build changed its argument: %+v", cfg)
	}
}
