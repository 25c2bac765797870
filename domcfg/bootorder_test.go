package domcfg

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestBootOrder(t *testing.T) {
	const (
		vdb    = "<disk><source file='/b'/><target dev='vdb'/></disk>"
		vda    = "<disk><source file='/a'/><target dev='vda'/></disk>"
		hda    = "<disk><source file='/h'/><target dev='hda'/></disk>"
		cdrom  = "<disk device='cdrom'><target dev='hdc'/></disk>"
		cdromB = "<disk device='cdrom'><source file='/c'/><target dev='hdb'/></disk>"
		floppy = "<disk device='floppy'><source file='/f'/><target dev='fda'/></disk>"
		nic    = "<interface type='user'/>"
	)
	ordered := func(device, order string) string {
		return strings.Replace(device, "</disk>", "<boot order='"+order+"'/></disk>", 1)
	}
	for _, c := range []struct {
		name, os, devices string
		want              string
	}{
		{"nothing", "", "", ""},
		{"the first hard disk", "", floppy + cdrom + hda + nic, "disk 2"},
		{"no hard disk", "", floppy + cdrom + nic, ""},
		{"by target", "", vdb + vda, "disk 1"},
		{"bus by bus", "", vdb + hda + vda, "disk 2"},
		{"bus by bus, the other way", "", hda + vdb + vda, "disk 0"},
		{"CD-ROMs by target", "<boot dev='cdrom'/>", cdrom + cdromB, "disk 1"},
		{"each class", "<boot dev='network'/><boot dev='fd'/><boot dev='cdrom'/><boot dev='hd'/>", hda + cdrom + floppy + nic + nic,
			"interface 0, disk 2, disk 1, disk 0"},
		{"a class twice", "<boot dev='cdrom'/><boot dev='hd'/><boot dev='cdrom'/>", hda + cdrom, "disk 1, disk 0"},
		{"one class only", "<boot dev='cdrom'/>", hda + cdrom, "disk 1"},
		{"kernel", "<kernel>/k</kernel><boot dev='cdrom'/>", hda, ""},
		{"devices' own", "", ordered(vda, "3") + ordered(vdb, "10") + "<interface type='user'><boot order='1'/></interface>" + hda +
			"<hostdev type='usb'><source><address bus='1' device='2'/></source><boot order='2'/></hostdev>",
			"interface 0, hostdev 0, disk 0, disk 1"},
	} {
		d, _ := parse(t, firmware(c.os, c.devices))
		for range 2 { // as it was read, and completed
			var got []string
			for _, dev := range d.BootOrder() {
				got = append(got, fmt.Sprintf("%s %d", dev.Kind, dev.Index))
			}
			if order := strings.Join(got, ", "); order != c.want {
				t.Errorf("%s: boots from %q, want %q", c.name, order, c.want)
			}
			if err := d.SetDefaults(testRandom()); err != nil {
				t.Fatal(err)
			}
			if err := d.AssignAddresses(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := (&Domain{}).BootOrder(); got != nil {
		t.Errorf("an empty domain boots from %v", got)
	}
}

func TestBootloaderDisk(t *testing.T) {
	for _, c := range []struct {
		devices string
		index   int
		found   bool
	}{
		{"", 0, false},
		{"<disk device='cdrom'><target dev='hda'/></disk>", 0, false},
		{"<disk device='cdrom'><target dev='hda'/></disk><disk><source file='/b'/><target dev='hdd'/></disk><disk><source file='/a'/><target dev='hdc'/></disk>", 2, true},
	} {
		d, _ := parse(t, withDevices(c.devices))
		if index, found := d.BootloaderDisk(); index != c.index || found != c.found {
			t.Errorf("%s: got %d, %v", c.devices, index, found)
		}
	}
}

func TestBootsDirectly(t *testing.T) {
	for _, c := range []struct {
		domain Domain
		want   bool
	}{
		{Domain{}, false},
		{Domain{OS: &OS{}}, false},
		{Domain{OS: &OS{Kernel: "/k"}}, true},
		{Domain{OS: &OS{}, Bootloader: "/b"}, true},
		{Domain{OS: &OS{Kernel: "/k", Loader: Loader{Path: "/l"}}}, false},
		{Domain{OS: &OS{Loader: Loader{Path: "/l"}}, Bootloader: "/b"}, false},
	} {
		if got := c.domain.BootsDirectly(); got != c.want {
			t.Errorf("%+v: %v", c.domain.OS, got)
		}
	}
}

// TestBootElements checks what is read of os.
func TestBootElements(t *testing.T) {
	d, _ := parse(t, firmware("<loader readonly='yes' secure='no' type='rom'>/f.bin</loader><boot dev='cdrom'/><boot dev='hd'/>"+
		"<bootmenu enable='yes' timeout='0'/><bios useserial='yes' rebootTimeout='0'/><smbios mode='host'/>",
		"<disk device='cdrom'><target dev='hdc'/></disk><disk><source file='/a'/><target dev='hda'/></disk><serial type='null'/>"))
	o := d.OS
	if o.Loader != (Loader{Path: "/f.bin", Type: "rom", ReadOnly: Yes, Secure: No}) {
		t.Errorf("loader %+v", o.Loader)
	}
	if len(o.Boot) != 2 || o.Boot[0].Dev != "cdrom" || o.Boot[1].Dev != "hd" {
		t.Errorf("boot %v", o.Boot)
	}
	if o.BootMenu.Enable != Yes || o.BootMenu.Timeout == nil || *o.BootMenu.Timeout != 0 {
		t.Errorf("boot menu %+v", o.BootMenu)
	}
	if o.BIOS.UseSerial != Yes || o.BIOS.RebootTimeout == nil || *o.BIOS.RebootTimeout != 0 {
		t.Errorf("BIOS %+v", o.BIOS)
	}
	if o.SMBIOSMode != SMBIOSHost {
		t.Errorf("SMBIOS mode %q", o.SMBIOSMode)
	}
	checkIdentity(t, d)
	d, _ = parse(t, firmware("<bootmenu enable='no'/><bios rebootTimeout='-1'/>", ""))
	if n := d.OS.BIOS.RebootTimeout; n == nil || *n != -1 || d.OS.BIOS.UseSerial != "" || d.OS.BootMenu.Timeout != nil {
		t.Errorf("BIOS %+v, boot menu %+v", d.OS.BIOS, d.OS.BootMenu)
	}
	checkIdentity(t, d)
}

func TestMedium(t *testing.T) {
	d, _ := parse(t, inDevices(strings.Join([]string{
		"<disk><source file='/a'/><target dev='hda'/></disk>",
		"<disk device='cdrom'><target dev='hdb'/></disk>",
		"<disk device='cdrom'><source/><target dev='hdc'/></disk>",
		"<disk device='cdrom'><source file='/a'/><target dev='hdd'/></disk>",
		"<disk device='floppy'><source file='/a'/><target dev='fda' tray='open'/></disk>",
		"<disk device='floppy' type='block'><source dev='/a'/><target dev='fdb' tray='closed'/></disk>",
		"<disk device='cdrom' type='network'><source protocol='nbd'><host name='h' port='1'/></source><target dev='sda'/></disk>",
	}, "")))
	var removable, full []bool
	for _, k := range d.Devices.Disks {
		removable = append(removable, k.Removable())
		full = append(full, k.HasMedium())
	}
	if want := []bool{false, true, true, true, true, true, true}; !slices.Equal(removable, want) {
		t.Errorf("removable: %v, want %v", removable, want)
	}
	if want := []bool{true, false, false, true, false, true, true}; !slices.Equal(full, want) {
		t.Errorf("with a medium: %v, want %v", full, want)
	}
}

func TestOptionROM(t *testing.T) {
	for _, c := range []struct {
		rom, file string
		shown     bool
	}{
		{"", "", true},
		{"<rom/>", "", true},
		{"<rom bar='on'/>", "", true},
		{"<rom file='/r'/>", "/r", true},
		{"<rom bar='on' file='/r'/>", "/r", true},
		{"<rom file=''/>", "", false},
		{"<rom bar='off' file='/r'/>", "", false},
		{"<rom enabled='no'/>", "", false},
		{"<rom enabled='yes'/>", "", true},
	} {
		d, _ := parse(t, inDevices("<interface type='user'>"+c.rom+"</interface>"))
		checkIdentity(t, d)
		if file, shown := d.Devices.Interfaces[0].OptionROM(); file != c.file || shown != c.shown {
			t.Errorf("%s: %q, %v", c.rom, file, shown)
		}
	}
}

func TestVideoMemory(t *testing.T) {
	for _, c := range []struct {
		xml  string
		want uint64
	}{
		{"<model type='vga'/>", 16 << 20},
		{"<model type='vga' vram='9216' heads='1'/>", 16 << 20},
		{"<model type='vga' vram='8192'/>", 8 << 20},
		{"<model type='vga' vram='1024'/>", 1 << 20},
		{"<model type='vga' vram='1025'/>", 2 << 20},
	} {
		v := complete(t, inDevices("<video>"+c.xml+"</video>")).Devices.Videos[0]
		if got := v.Model.VRAMBytes(); got != c.want {
			t.Errorf("%s: %d bytes, want %d", c.xml, got, c.want)
		}
		if v.Address.PCI.String() != "0000:00:02.0" {
			t.Errorf("%s is at %s", c.xml, v.Address.PCI)
		}
	}
	if got := (VideoModel{VRAM: 1 << 63}).VRAMBytes(); got != 1<<63 {
		t.Errorf("an absurd size is %d bytes", got)
	}
	if got := (VideoModel{}).VRAMBytes(); got != 0 {
		t.Errorf("no size is %d bytes", got)
	}
}

func TestEntry(t *testing.T) {
	d, _ := parse(t, bootable("<sysinfo type='smbios'><bios><entry name='vendor'>one</entry><entry name='vendor'>\n two\n</entry></bios>"+
		"<oemStrings><entry>a b</entry></oemStrings></sysinfo>"))
	if got, found := Entry(d.SysInfo.BIOS, "vendor"); got != "two" || !found {
		t.Errorf("vendor %q, %v", got, found)
	}
	if got, found := Entry(d.SysInfo.BIOS, "version"); got != "" || found {
		t.Errorf("version %q, %v", got, found)
	}
	if s := d.SysInfo.OEMStrings; len(s) != 1 || s[0].Value != "a b" {
		t.Errorf("OEM strings %v", s)
	}
	checkIdentity(t, d)
}
