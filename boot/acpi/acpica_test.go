package acpi

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// runACPICA runs a tool of ACPICA in a directory and returns what it printed.
func runACPICA(t *testing.T, dir, tool string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Fatalf("%v: install the package acpica-tools", err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// writeTables writes each placed table to a file of its signature.
func writeTables(t *testing.T, cfg Config) (dir string) {
	t.Helper()
	dir = t.TempDir()
	tables := mustBuild(t, cfg)
	img := mustPlace(t, tables, 0x7FE_0000, 0xF_0000)
	for _, x := range tables.Index {
		name := filepath.Join(dir, x.Signature+".aml")
		if err := os.WriteFile(name, img.Data[x.Offset:x.Offset+x.Length], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// disassemble returns the source that iasl makes of a table.
func disassemble(t *testing.T, dir, signature string) string {
	t.Helper()
	out := runACPICA(t, dir, "iasl", "-d", signature+".aml")
	source, err := os.ReadFile(filepath.Join(dir, signature+".dsl"))
	if err != nil {
		t.Fatal(err)
	}
	// Both the tool's complaints and those that it leaves in its output.
	complaint := regexp.MustCompile(`(?i)\b(error|warning|invalid|incorrect|unresolved|truncated)\b.*`)
	if c := complaint.FindString(out + string(source)); c != "" {
		t.Errorf("iasl on %s: %s", signature, c)
	}
	return string(source)
}

// TestRecompile disassembles each DSDT and compiles it again, which finds what
// is malformed or against the specification's rules for predefined names.
func TestRecompile(t *testing.T) {
	full300 := fullConfig()
	full300.CPUs = cpuList(300, 255)
	for name, cfg := range map[string]Config{
		"minimal":       {},
		"full":          fullConfig(),
		"4 CPUs":        {CPUs: cpuList(4, 4)},
		"255 CPUs":      {CPUs: cpuList(255, 1)},
		"full 300 CPUs": full300,
		"serial":        {Serial: []Serial{{COM: 1}}, HPET: true, PCIWindow: Window{0xC000_0000, 0xFEBF_FFFF}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeTables(t, cfg)
			disassemble(t, dir, "DSDT")
			out := runACPICA(t, dir, "iasl", "-tc", "DSDT.dsl")
			if !strings.Contains(out, "Compilation successful. 0 Errors, 0 Warnings,") {
				t.Errorf("iasl -tc DSDT.dsl:\n%s", out)
			}
		})
	}
}

func TestDisassembleOthers(t *testing.T) {
	dir := writeTables(t, fullConfig())
	for _, signature := range []string{"FACP", "APIC", "WAET", "HPET", "FACS", "RSDT", "XSDT"} {
		disassemble(t, dir, signature)
	}
}

// TestRouting compares the _PRT with the wiring of a PIIX3 board.
func TestRouting(t *testing.T) {
	source := disassemble(t, writeTables(t, Config{}), "DSDT")
	_, prt, found := strings.Cut(source, "_PRT")
	if !found {
		t.Fatal("no _PRT")
	}
	route := regexp.MustCompile(`Package \(0x04\)\s*{\s*0x(\w+),\s*(\w+),\s*(LNK\w),\s*Zero\s*}`)
	got := map[string]string{}
	for _, m := range route.FindAllStringSubmatch(prt, -1) {
		address, err := strconv.ParseUint(m[1], 16, 32)
		if err != nil || address&0xFFFF != 0xFFFF {
			t.Fatalf("address %q in a route", m[1])
		}
		pin := map[string]string{"Zero": "A", "One": "B", "0x02": "C", "0x03": "D"}[m[2]]
		got[fmt.Sprintf("%d%s", address>>16, pin)] = m[3]
	}
	if len(got) != 32*4 {
		t.Errorf("%d routes, want 128", len(got))
	}
	for pin, want := range map[string]string{
		"0A": "LNKD", "0B": "LNKA",
		"1A": "LNKS", "1B": "LNKB", "1C": "LNKC", "1D": "LNKD",
		"2A": "LNKB", "3A": "LNKC", "4A": "LNKD", "5A": "LNKA", "5D": "LNKD",
		"31A": "LNKC", "31D": "LNKB",
	} {
		if got[pin] != want {
			t.Errorf("slot and pin %s go to %q, want %s", pin, got[pin], want)
		}
	}
}

// TestHostWindows checks the address ranges that are given to the PCI bus.
func TestHostWindows(t *testing.T) {
	source := disassemble(t, writeTables(t, fullConfig()), "DSDT")
	_, bridge, _ := strings.Cut(source, "Device (PCI0)")
	bridge, _, found := strings.Cut(bridge, "_PRT")
	if !found {
		t.Fatal("no host bridge with a _PRT")
	}
	space := regexp.MustCompile(`(\w+) \(ResourceProducer,[^0]*` +
		`0x\w+,[^\n]*\n\s*0x(\w+),[^\n]*\n\s*0x(\w+),`) // granularity, first, last
	var got []string
	for _, m := range space.FindAllStringSubmatch(bridge, -1) {
		got = append(got, fmt.Sprintf("%s %s-%s", m[1], m[2], m[3]))
	}
	want := []string{
		"WordBusNumber 0000-00FF",
		"WordIO 0000-0CF7",
		"WordIO 0D00-FFFF",
		"DWordMemory 000A0000-000BFFFF",
		"DWordMemory E0000000-FEBFFFFF",
		"QWordMemory 0000000180000000-00000001FFFFFFFF",
	}
	if !slices.Equal(got, want) {
		t.Errorf("windows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestMethods runs the DSDT in ACPICA's interpreter, over simulated hardware.
func TestMethods(t *testing.T) {
	dir := writeTables(t, fullConfig())
	template := func(irq uint8) string { return fmt.Sprintf("89 06 00 09 01 %02X 00 00 00 79 00", irq) }
	// One script, because the registers keep what is written.
	steps := []struct{ eval, want string }{
		{`\_SB.LNKA._DIS`, "No object was returned"},
		{`\_SB.LNKA._STA`, "0000000000000009"},
		{`\_SB.LNKA._CRS`, template(0)},
		{`\_SB.LNKA._SRS (` + template(11) + `)`, "No object was returned"},
		{`\_SB.LNKA._STA`, "000000000000000B"},
		{`\_SB.LNKA._CRS`, template(11)},
		{`\_SB.PCI0.ISA.PRQA`, "000000000000000B"},
		{`\_SB.LNKD._SRS (` + template(10) + `)`, "No object was returned"},
		{`\_SB.LNKD._CRS`, template(10)},
		{`\_SB.LNKA._CRS`, template(11)},
		{`\_SB.LNKS._CRS`, template(9)},
		{`\_SB.LNKS._STA`, "000000000000000B"},
		{`\_SB.PCI0.ISA.COM1._STA`, "000000000000000F"},
		{`\_SB.PCI0.ISA.COM1._CRS`, "47 01 F8 03 F8 03 01 08 22 10 00 79 00"},
		{`\_SB.PCI0.ISA.COM4._CRS`, "47 01 C8 01 C8 01 01 08 22 40 00 79 00"},
		{`\_SB.PCI0.ISA.LPT2._CRS`, "47 01 78 02 78 02 01 04 22 20 00 79 00"},
		{`\_SB.PCI0.ISA.RTC._CRS`, "47 01 70 00 70 00 01 02 22 00 01 79 00"},
		{`\_SB.PCI0.ISA.MOU._CRS`, "22 00 10 79 00"},
		// Longer buffers are printed in lines of 16 bytes.
		{`\_SB.PCI0.ISA.KBD._CRS`, "47 01 60 00 60 00 01 01 47 01 64 00 64 00 01 01"},
		{`\_SB.PCI0.ISA.MRES._CRS`, "47 01 D0 04 D0 04 01 02 47 01 00 06 00 06 01 40"},
		{`\_SB.PCI0.ISA.MRES._CRS`, "47 01 E0 AF E0 AF 01 04 47 01 B2 00 B2 00 01 02"},
		{`\_SB.HPET._CRS`, "86 09 00 01 00 00 D0 FE 00 04 00 00 79 00"},
		{`\_SB.PCI0.ISA.PEVT._CRS`, "47 01 05 05 05 05 01 01 79 00"},
		{`\_SB.CPUS.C003._UID`, "0000000000000003"},
		{`\_SB.CPUS.C005._STA`, "0000000000000000"},
		{`\_S5`, "[Package] Contains 4 Elements:\n    [Integer] = 0000000000000000\n    [Integer] = 0000000000000000"},
	}
	evals := make([]string, len(steps))
	for i, s := range steps {
		evals[i] = "evaluate " + s.eval
	}
	out := runACPICA(t, dir, "acpiexec", "-b", strings.Join(evals, "; "), "DSDT.aml")
	results := strings.Split(out, "\nEvaluating ")[1:]
	if len(results) != len(steps) {
		t.Fatalf("%d results of %d evaluations:\n%s", len(results), len(steps), out)
	}
	for i, s := range steps {
		if !strings.Contains(results[i], s.want) {
			t.Errorf("%s: want %q in\n%s", s.eval, s.want, results[i])
		}
	}
}
