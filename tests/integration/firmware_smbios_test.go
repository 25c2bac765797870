package integration

import (
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const seaBIOS = "/usr/share/seabios/bios-256k.bin"

// throughFirmware makes a domain's kernel be booted by SeaBIOS.
func throughFirmware(xml string) string {
	return strings.Replace(xml, "<kernel>", "<loader>"+seaBIOS+"</loader><kernel>", 1)
}

const (
	smbiosUUID = "3e3fce45-4f53-4fa7-bb32-11f34168b82b"
	sysinfoXML = `<sysinfo type='smbios'>
  <bios>
    <entry name='vendor'>LENOVO</entry>
    <entry name='version'>6FET82WW (3.12 )</entry>
    <entry name='date'>11/26/2009</entry>
    <entry name='release'>3.18</entry>
  </bios>
  <system>
    <entry name='manufacturer'>Fedora</entry>
    <entry name='product'>Virt-Manager</entry>
    <entry name='version'>0.8.2-3.fc14</entry>
    <entry name='serial'>32dfcb37-5af1-552b-357c-be8c3aa38310</entry>
    <entry name='uuid'>` + smbiosUUID + `</entry>
    <entry name='sku'>GOVMM-1</entry>
    <entry name='family'>Red Hat Enterprise Linux</entry>
  </system>
</sysinfo>`
)

// sysinfoFields is what dmidecode shows of sysinfoXML.
func sysinfoFields() map[string]string {
	return map[string]string{
		"BIOS Information/Vendor":          "LENOVO",
		"BIOS Information/Version":         "6FET82WW (3.12 )",
		"BIOS Information/Release Date":    "11/26/2009",
		"BIOS Information/BIOS Revision":   "3.18",
		"System Information/Manufacturer":  "Fedora",
		"System Information/Product Name":  "Virt-Manager",
		"System Information/Version":       "0.8.2-3.fc14",
		"System Information/Serial Number": "32dfcb37-5af1-552b-357c-be8c3aa38310",
		"System Information/UUID":          smbiosUUID,
		"System Information/SKU Number":    "GOVMM-1",
		"System Information/Family":        "Red Hat Enterprise Linux",
	}
}

// sysinfoQEMU are the same settings for QEMU.
func sysinfoQEMU() []string {
	return []string{
		"-uuid", smbiosUUID,
		"-smbios", "type=0,vendor=LENOVO,version=6FET82WW (3.12 ),date=11/26/2009,release=3.18",
		"-smbios", "type=1,manufacturer=Fedora,product=Virt-Manager,version=0.8.2-3.fc14," +
			"serial=32dfcb37-5af1-552b-357c-be8c3aa38310,sku=GOVMM-1,family=Red Hat Enterprise Linux",
	}
}

// smbiosXML is the domain file of a shell with dmidecode.
func smbiosXML(t *testing.T, mode, sysinfo string) string {
	t.Helper()
	xml := domain{initrd: cloudSMBIOS, cmdline: "quiet"}.xml(t)
	xml = strings.Replace(xml, "<vcpu>", "<uuid>"+smbiosUUID+"</uuid><vcpu>", 1)
	return strings.Replace(xml, "</os>", "<smbios mode='"+mode+"'/></os>"+sysinfo, 1)
}

// smbiosTables are the tables that every guest shows, of QEMU and of ours, by the
// names that dmidecode has for them, as far as they have fields.
func smbiosTables() []string {
	return []string{
		"BIOS Information", "Chassis Information", "Memory Array Mapped Address", "Memory Device",
		"Physical Memory Array", "Processor Information", "System Boot Information", "System Information",
	}
}

// The tests below have dmidecode read a guest's tables, in every mode, with and
// without firmware, one guest in each: QEMU's, for the same settings, must pass what
// ours must.

func TestFirmwareSMBIOSInQEMU(t *testing.T) {
	checkSysinfo(t, underQEMUShell(t, sysinfoQEMU()...).dmidecode())
}

func TestFirmwareSMBIOSDirect(t *testing.T) {
	checkSysinfo(t, runFile(t, domainFile(t, smbiosXML(t, "sysinfo", sysinfoXML))).dmidecode())
}

func TestFirmwareSMBIOS(t *testing.T) {
	checkSysinfo(t, runFile(t, domainFile(t, throughFirmware(smbiosXML(t, "sysinfo", sysinfoXML)))).dmidecode())
}

func TestFirmwareSMBIOSEmulate(t *testing.T) {
	got := runFile(t, domainFile(t, throughFirmware(smbiosXML(t, "emulate", "")))).dmidecode()
	checkFields(t, got, map[string]string{
		"BIOS Information/Vendor":         "SeaBIOS",
		"System Information/Manufacturer": "govmm",
		"System Information/Product Name": inQEMUProduct,
		"System Information/UUID":         smbiosUUID,
	})
	// QEMU has its own name there, and the version of its machine type.
	checkBeside(t, got, underQEMUShell(t, "-uuid", smbiosUUID).dmidecode(),
		"System Information/Manufacturer", "System Information/Version")
}

func TestFirmwareSMBIOSHost(t *testing.T) {
	want := hostFields(t)
	const uuid = "System Information/UUID"
	if want[uuid] == smbiosUUID {
		t.Fatal("the host has the domain's UUID")
	}
	want[uuid] = smbiosUUID
	got := runFile(t, domainFile(t, throughFirmware(smbiosXML(t, "host", "")))).dmidecode()
	checkFields(t, got, want)
	checkBeside(t, got, underQEMUShell(t, hostQEMU(want)...).dmidecode())
}

// checkBeside compares the tables of the BIOS and the system with those of QEMU.
func checkBeside(t *testing.T, got, inQEMU map[string]string, except ...string) {
	t.Helper()
	keys := slices.AppendSeq(slices.Collect(maps.Keys(got)), maps.Keys(inQEMU))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		table, _, _ := strings.Cut(key, "/")
		if (table == "BIOS Information" || table == "System Information") && !slices.Contains(except, key) && got[key] != inQEMU[key] {
			t.Errorf("dmidecode shows %s as %q, under QEMU %q", key, got[key], inQEMU[key])
		}
	}
}

// hostQEMU are a host's fields, as hostFields has them, as arguments of QEMU.
func hostQEMU(fields map[string]string) []string {
	option := func(kind, table string, names ...[2]string) string {
		o := "type=" + kind
		for _, n := range names {
			if value := fields[table+"/"+n[1]]; value != "" && value != "Not Specified" {
				o += "," + n[0] + "=" + strings.ReplaceAll(value, ",", ",,")
			}
		}
		return o
	}
	return []string{
		"-uuid", smbiosUUID,
		"-smbios", option("0", "BIOS Information", [2]string{"vendor", "Vendor"}, [2]string{"version", "Version"},
			[2]string{"date", "Release Date"}, [2]string{"release", "BIOS Revision"}),
		"-smbios", option("1", "System Information", [2]string{"manufacturer", "Manufacturer"}, [2]string{"product", "Product Name"},
			[2]string{"version", "Version"}, [2]string{"serial", "Serial Number"}, [2]string{"sku", "SKU Number"}, [2]string{"family", "Family"}),
	}
}

// checkSysinfo compares a guest's tables with what sysinfoXML says.
func checkSysinfo(t *testing.T, got map[string]string) {
	t.Helper()
	checkFields(t, got, sysinfoFields())
	var tables []string
	for key := range got {
		table, _, _ := strings.Cut(key, "/")
		tables = append(tables, table)
	}
	slices.Sort(tables)
	if tables = slices.Compact(tables); !slices.Equal(tables, smbiosTables()) {
		t.Errorf("the tables are %q, not %q", tables, smbiosTables())
	}
}

// inQEMUProduct is what a machine of type pc is called, in QEMU as in govmm.
const inQEMUProduct = "Standard PC (i440FX + PIIX, 1996)"

func checkFields(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			t.Errorf("dmidecode shows %s as %q, want %q", key, got[key], want[key])
		}
	}
}

// hostFields are the fields of this host's types 0 and 1 that a guest is to show.
func hostFields(t *testing.T) map[string]string {
	t.Helper()
	const dmidecode = "/usr/sbin/dmidecode"
	text, err := exec.Command(dmidecode, "-t", "0,1").Output()
	if err != nil {
		t.Fatalf("%s: %v", dmidecode, err)
	}
	all := dmiFields(t, string(text))
	fields := map[string]string{}
	for _, key := range []string{
		"BIOS Information/Vendor", "BIOS Information/Version", "BIOS Information/Release Date", "BIOS Information/BIOS Revision",
		"System Information/Manufacturer", "System Information/Product Name", "System Information/Version",
		"System Information/Serial Number", "System Information/UUID", "System Information/SKU Number", "System Information/Family",
	} {
		fields[key] = all[key]
	}
	if fields["System Information/Manufacturer"] == "" || fields["System Information/Product Name"] == "" {
		t.Fatalf("this host has no SMBIOS tables to compare with:\n%s", text)
	}
	return fields
}

// dmidecode runs the program of that name in a guest with a shell, ends the guest,
// and returns the fields by "SECTION/NAME".
func (c *command) dmidecode() map[string]string {
	c.t.Helper()
	c.expect(prompt)
	fields := dmiFields(c.t, c.shell("dmidecode"))
	c.send("poweroff\n")
	c.exit(0)
	return fields
}

var dmiTrouble = regexp.MustCompile(`(?i)invalid|truncated|broken|wrong|corrupt|mismatch|no smbios|checksum`)

// dmiFields parses what dmidecode prints: a title at the beginning of a line,
// below it fields behind a tabulator.
func dmiFields(t *testing.T, text string) map[string]string {
	t.Helper()
	fields := map[string]string{}
	section := ""
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r", ""), "\n") {
		switch {
		case dmiTrouble.MatchString(line):
			t.Errorf("dmidecode complains: %s", line)
		case strings.HasPrefix(line, "\t\t"):
		case strings.HasPrefix(line, "\t"):
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			key := section + "/" + name
			if _, again := fields[key]; !again {
				fields[key] = strings.TrimSpace(value)
			}
		case line != "" && !strings.HasPrefix(line, "Handle ") && !strings.HasPrefix(line, "#"):
			section = line
		}
	}
	return fields
}

// underQEMUShell starts a shell's guest, with dmidecode, under QEMU.
func underQEMUShell(t *testing.T, args ...string) *command {
	t.Helper()
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatalf("%v; install the package qemu-system-x86", err)
	}
	cmd := exec.Command(path, append([]string{
		"-machine", "pc", "-accel", "kvm", "-cpu", "host", "-m", "256",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", cloudKernel(t).Image, "-initrd", asset(cloudSMBIOS), "-append", "console=ttyS0 quiet",
		"-serial", "stdio",
	}, args...)...)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	g := newGuest(t, stdin)
	cmd.Stdout = g.out
	return start(t, g, cmd)
}
