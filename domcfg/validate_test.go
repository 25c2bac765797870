package domcfg

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inDomain puts XML into a domain that lacks nothing. It begins in line 5.
func inDomain(xml string) string {
	return "<domain type='kvm'>\n<name>a</name>\n<memory>65536</memory>\n<os><type>hvm</type></os>\n" + xml + "\n</domain>\n"
}

// inDevices puts devices into such a domain. They begin in line 5, column 10.
func inDevices(xml string) string { return inDomain("<devices>" + xml + "</devices>") }

// An invalidCase breaks one rule and has what is reported of it.
type invalidCase struct{ name, xml, want string }

// readInvalid reads cases: "== name, in file|domain|devices", XML, "--", and the errors.
func readInvalid(t *testing.T, file string) []invalidCase {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []invalidCase
	for part := range strings.SplitSeq("\n"+string(data), "\n== ") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		title, body, _ := strings.Cut(part, "\n")
		name, where, found := strings.Cut(title, ", in ")
		xml, want, ruled := strings.Cut(body, "\n--\n")
		if !found || !ruled {
			t.Fatalf("%s: %q is not a case", file, title)
		}
		switch where {
		case "file":
		case "domain":
			xml = inDomain(xml)
		case "devices":
			xml = inDevices(xml)
		default:
			t.Fatalf("%s: %q: %q is not a place", file, name, where)
		}
		cases = append(cases, invalidCase{name, xml, strings.TrimSpace(want)})
	}
	return cases
}

// TestInvalid breaks each rule once. What is reported must be just what is written there: place,
// path, what was found and what is allowed, and nothing that only follows from it.
func TestInvalid(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		section := strings.TrimSuffix(filepath.Base(file), ".txt")
		for _, c := range readInvalid(t, file) {
			count++
			t.Run(section+"/"+c.name, func(t *testing.T) {
				d, _, err := Parse("vm.xml", strings.NewReader(c.xml))
				if err == nil {
					t.Fatalf("accepted; want\n%s", c.want)
				}
				if d != nil {
					t.Error("a domain is returned beside the error")
				}
				if err.Error() != c.want {
					t.Errorf("got\n%v\nwant\n%s", err, c.want)
				}
			})
		}
	}
	if count < 250 {
		t.Errorf("only %d cases found in testdata/invalid", count)
	}
}

// TestAllErrors has faults in several places; all must be reported, in the order of the file.
func TestAllErrors(t *testing.T) {
	_, _, err := Parse("bad.xml", strings.NewReader(`<domain type='kvm'>
  <memory unit='stone'>12</memory>
  <vcpu cpuset='9-1'>none</vcpu>
  <os><type>hvm</type><boot dev='tape'/></os>
  <devices>
    <disk device='floppy' type='fil'><target dev='hda' bus='ide'/></disk>
    <serial type='tcp'><source service='x'/></serial>
    <interface type='bridge'><mac address='zz'/></interface>
  </devices>
</domain>`))
	errs, ok := errors.AsType[Errors](err)
	if !ok {
		t.Fatalf("error is %T, want Errors", err)
	}
	want := []string{
		`bad.xml:1:1: element <name> is missing`,
		`bad.xml:2:11: memory: unit="stone" is not a unit of memory: b, bytes, KB, k, KiB, MB, M, MiB, GB, G, GiB, TB, T, TiB, PB, P, PiB, EB, E, EiB`,
		`bad.xml:3:9: vcpu: cpuset="9-1" is not a list of CPUs: the range "9-1" runs backwards`,
		`bad.xml:3:3: vcpu: "none" is not a decimal number`,
		`bad.xml:4:29: os/boot: dev="tape" is not one of fd, hd, cdrom, network`,
		`bad.xml:6:27: devices/disk: type="fil" is not one of file, block, dir, network, volume, nvme, vhostuser, vhostvdpa`,
		`bad.xml:6:56: devices/disk/target: a floppy must be on bus="fdc", not "ide"`,
		`bad.xml:7:24: devices/serial/source: attribute host is missing`,
		`bad.xml:8:5: devices/interface: type="bridge" needs a <source> with the attribute bridge`,
		`bad.xml:8:35: devices/interface/mac: address="zz" is not a MAC address: six octets such as 52:54:00:12:34:56 are needed`,
	}
	// Line 3: the element comes before its attribute.
	want[2], want[3] = want[3], want[2]
	if got := err.Error(); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if one, ok := errors.AsType[*Error](err); !ok || one != errs[0] {
		t.Error("a single *Error cannot be found in Errors")
	}
}

// TestValidate checks domains that no file wrote.
func TestValidate(t *testing.T) {
	valid := func() *Domain {
		return &Domain{
			Type:   TypeKVM,
			Name:   "made",
			Memory: 65536,
			OS:     &OS{Type: "hvm", Kernel: "/boot/k"},
		}
	}
	if err := valid().Validate(); err != nil {
		t.Errorf("a valid domain is refused: %v", err)
	}
	for _, c := range []struct {
		name   string
		change func(*Domain)
		want   string
	}{
		{"type", func(d *Domain) { d.Type = "beos" }, `domain: type="beos" is not one of`},
		{"memory", func(d *Domain) { d.Memory = 0 }, `domain: element <memory> is missing`},
		{"disk", func(d *Domain) {
			d.Devices.Disks = append(d.Devices.Disks, &Disk{Source: &DiskSource{File: "/a"}, Target: DiskTarget{Dev: "hda"}, BootOrder: 1},
				&Disk{Source: &DiskSource{File: "/b"}, Target: DiskTarget{Dev: "hda"}})
		}, `domain: devices/disk[2]/target: dev="hda" stands twice, first at devices/disk[1]`},
	} {
		d := valid()
		c.change(d)
		if err := d.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

// TestValidateKeepsPositions changes a domain that was read; the fault is named where the element
// was.
func TestValidateKeepsPositions(t *testing.T) {
	d, _, err := Parse("vm.xml", strings.NewReader(inDevices("\n  <disk><source file='/a'/><target dev='hda' bus='ide'/></disk>")))
	if err != nil {
		t.Fatal(err)
	}
	d.Devices.Disks[0].Target.Bus = BusFDC
	const want = `vm.xml:6:46: devices/disk/target: bus="fdc" can only have a floppy, not a disk`
	if err := d.Validate(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
