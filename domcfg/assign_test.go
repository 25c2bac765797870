package domcfg

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// complete parses a domain and fills in all that follows from it.
func complete(t *testing.T, xml string) *Domain {
	t.Helper()
	d, _ := parse(t, xml)
	if err := d.SetDefaults(testRandom()); err != nil {
		t.Fatal(err)
	}
	if err := d.AssignAddresses(); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDefaults(t *testing.T) {
	d := complete(t, bootable(""))
	if d.UUID.String() != "30313233-3435-4637-b839-616263646566" {
		t.Errorf("UUID %s: version or variant are wrong", d.UUID)
	}
	if d.CurrentMemory != d.Memory || d.VCPU.Count != 1 || d.VCPU.Online() != 1 {
		t.Errorf("memory %s of %s, %d CPUs of which %d are online", d.CurrentMemory, d.Memory, d.VCPU.Count, d.VCPU.Online())
	}
	if d.OS.Arch != "x86_64" || d.OS.Machine != "pc" {
		t.Errorf("arch %q, machine %q", d.OS.Arch, d.OS.Machine)
	}
	if d.OnPoweroff != ActionDestroy || d.OnReboot != ActionRestart || d.OnCrash != ActionDestroy {
		t.Errorf("on_poweroff %s, on_reboot %s, on_crash %s", d.OnPoweroff, d.OnReboot, d.OnCrash)
	}
	if d.Features == nil || d.Features.ACPI || d.Clock.Offset != ClockUTC {
		t.Errorf("features %v, clock %v", d.Features, d.Clock)
	}
	if b := d.Devices.MemBalloons; len(b) != 1 || b[0].Model != "virtio" || b[0].Pos().Line != 1 {
		t.Errorf("memory balloons %v, want one on virtio", b)
	}
	if n := len(d.Devices.Serials) + len(d.Devices.Consoles) + len(d.Devices.Inputs); n != 0 {
		t.Errorf("%d devices are added to a domain that has none", n)
	}
	if (VCPU{}).Online() != 1 || (VCPU{Count: 4}).Online() != 4 || (VCPU{Count: 4, Current: 2}).Online() != 2 {
		t.Error("Online is wrong")
	}
}

func TestUUIDDefault(t *testing.T) {
	broken := errors.New("no entropy")
	d, _ := parse(t, bootable(""))
	if err := d.SetDefaults(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v, want the reader's error", err)
	}
	// Neither of these needs randomness.
	for _, xml := range []string{
		"<uuid>4dea22b31d52d8f32516782e98ab3fa0</uuid>",
		"<sysinfo type='smbios'><system><entry name='uuid'>4DEA22B3-1d52-d8f3-2516-782e98ab3fa0</entry></system></sysinfo>",
	} {
		d, _ := parse(t, bootable(xml))
		if err := d.SetDefaults(nil); err != nil {
			t.Error(err)
		}
		if d.UUID.String() != "4dea22b3-1d52-d8f3-2516-782e98ab3fa0" {
			t.Errorf("%s: the UUID is %s", xml, d.UUID)
		}
	}
}

func TestDeviceDefaults(t *testing.T) {
	d := complete(t, inDevices(`
<disk><source file='/a'/><target dev='hda'/></disk>
<disk device='cdrom'><target dev='hdc'/></disk>
<disk device='floppy' type='dir'><source dir='/d'/><target dev='fda'/></disk>
<filesystem><source dir='/a'/><target dir='t'/></filesystem>
<interface type='direct'><source dev='eth0'/><target dev='vnet7'/></interface>
<interface type='ethernet'/>
<interface type='ethernet'><script path=''/></interface>
<interface type='ethernet'><target dev='vnet3' managed='no'/></interface>
<rng model='virtio'><backend model='random'/><rate bytes='5'/></rng>
<rng model='virtio'><backend model='builtin'/></rng>
<rng model='virtio'><backend model='egd' type='tcp'><source host='h' service='1'/></backend></rng>
<hostdev type='pci'><source><address bus='1' slot='2' function='0'/></source></hostdev>
<smartcard mode='passthrough' type='tcp'><source host='h' service='1'/></smartcard>
<watchdog model='ib700'/>
<channel type='spicevmc'><target type='virtio'/></channel>
<graphics type='spice' autoport='yes'/>
<input type='tablet'/>
<serial type='unix'><source path='/s'/></serial>
`))
	v := &d.Devices
	for _, c := range []struct {
		name string
		got  any
		want any
	}{
		{"disk type", v.Disks[0].Type, DiskFile},
		{"disk device", v.Disks[0].Device, DeviceDisk},
		{"disk bus", v.Disks[0].Target.Bus, BusIDE},
		{"disk format", v.Disks[0].Driver.Type, "raw"},
		{"disk read-only", v.Disks[0].ReadOnly, false},
		{"cdrom read-only", v.Disks[1].ReadOnly, true},
		{"folder's format", v.Disks[2].Driver.Type, "fat"},
		{"filesystem type", v.Filesystems[0].Type, "mount"},
		{"access mode", v.Filesystems[0].AccessMode, "passthrough"},
		{"direct mode", v.Interfaces[0].Source.Mode, "vepa"},
		{"reserved tap name", v.Interfaces[0].TargetDev, ""},
		{"NIC model", v.Interfaces[0].Model, "rtl8139"},
		{"script", *v.Interfaces[1].Script, "/etc/qemu-ifup"},
		{"empty script", *v.Interfaces[2].Script, ""},
		{"script of a later version", v.Interfaces[3].Script == nil, true},
		{"name of an existing tap", v.Interfaces[3].TargetDev, "vnet3"},
		{"random device", v.Rngs[0].Backend.Path, "/dev/urandom"},
		{"random rate's period", v.Rngs[0].Rate.Period, uint(1000)},
		{"builtin's device", v.Rngs[1].Backend.Path, ""},
		{"EGD's protocol", v.Rngs[2].Backend.EGD.Protocol, "raw"},
		{"managed", v.Hostdevs[0].Managed, No},
		{"hostdev mode", v.Hostdevs[0].Mode, "subsystem"},
		{"protocol", v.Smartcards[0].Backend.Protocol, "raw"},
		{"source mode", v.Serials[0].Sources[0].Mode, ModeConnect},
		{"watchdog action", v.Watchdogs[0].Action, WatchdogReset},
		{"port name", v.Channels[0].TargetName, "com.redhat.spice.0"},
		{"listen", v.Graphics[0].Listen, "127.0.0.1"},
		{"video", v.Videos[0].Model, VideoModel{Type: "cirrus", VRAM: 9216, Heads: 1}},
		{"tablet's bus", v.Inputs[0].Bus, "usb"},
		{"mouse", v.Inputs[1].Type + " " + v.Inputs[1].Bus, "mouse ps2"},
		{"console's port", *v.Consoles[0].Port, uint(0)},
		{"console's host end", v.Consoles[0].Type, CharUnix},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", c.name, c.got, c.want)
		}
	}
	// What was added stands where the device stands that called for it.
	if got := v.Videos[0].Pos().Line; got != 21 {
		t.Errorf("the video card for the graphics in line 21 has line %d", got)
	}
}

// TestConsolePairs checks that the first serial console and serial port 0 are one.
func TestConsolePairs(t *testing.T) {
	for _, c := range []struct{ xml, serials, consoles string }{
		{"<serial type='file'><source path='/l'/></serial>", "file", "file"},
		{"<console type='stdio'/>", "stdio", "stdio"},
		{"<serial type='null'/><console type='pty'/>", "null", "null"},
		{"<serial type='null'/><serial type='pty'/>", "null pty", "null"},
		{"<console type='pty'><target type='virtio'/></console>", "", "pty"},
		{"<serial type='null'/><console type='pty'><target type='virtio'/></console>", "null", "pty"},
		{"", "", ""},
	} {
		d := complete(t, withDevices(c.xml))
		var serials, consoles []string
		for _, s := range d.Devices.Serials {
			serials = append(serials, string(s.Type))
		}
		for _, s := range d.Devices.Consoles {
			consoles = append(consoles, string(s.Type))
		}
		if strings.Join(serials, " ") != c.serials || strings.Join(consoles, " ") != c.consoles {
			t.Errorf("%s: serials %q, consoles %q, want %q and %q", c.xml, serials, consoles, c.serials, c.consoles)
		}
	}
	d := complete(t, withDevices("<serial type='null'/><serial type='null'><target port='0'/></serial><serial type='null'/>"))
	var ports []uint
	for _, s := range d.Devices.Serials {
		ports = append(ports, *s.Port)
	}
	if !slices.Equal(ports, []uint{1, 0, 2}) {
		t.Errorf("serial ports %v, want 1, 0, 2", ports)
	}
}

// TestMACs checks that MACs do not change between runs and differ between NICs and domains.
func TestMACs(t *testing.T) {
	const nics = "<interface type='user'/><interface type='user'><mac address='02:00:00:00:00:01'/></interface><interface type='user'/>"
	macs := func(xml string) []MAC {
		var list []MAC
		for _, i := range complete(t, xml).Devices.Interfaces {
			list = append(list, i.MAC)
		}
		return list
	}
	first := macs(withDevices(nics))
	if again := macs(withDevices(nics)); !slices.Equal(first, again) {
		t.Errorf("%v became %v", first, again)
	}
	if first[0] == first[2] || first[1] != (MAC{2, 0, 0, 0, 0, 1}) {
		t.Errorf("MACs %v", first)
	}
	for _, m := range []MAC{first[0], first[2]} {
		if !strings.HasPrefix(m.String(), "52:54:00:") {
			t.Errorf("%s is not in the block of QEMU and KVM", m)
		}
	}
	if other := macs(strings.Replace(withDevices(nics), "<name>a", "<name>b", 1)); other[0] == first[0] {
		t.Error("a domain of another name has the same MAC")
	}
	const uuid = "<uuid>4dea22b31d52d8f32516782e98ab3fa0</uuid>"
	if other := macs(bootable(uuid + "<devices>" + nics + "</devices>")); other[0] == first[0] {
		t.Error("a domain of another UUID has the same MAC")
	}
	// A UUID made up for the run has no influence.
	d, _ := parse(t, withDevices(nics))
	if err := d.SetDefaults(strings.NewReader("fedcba9876543210")); err != nil {
		t.Fatal(err)
	}
	if got := d.Devices.Interfaces[0].MAC; got != first[0] {
		t.Errorf("with another random UUID %s became %s", first[0], got)
	}
}

func TestCurrentMemoryLowered(t *testing.T) {
	d := complete(t, bootable("<currentMemory unit='GiB'>1</currentMemory>"))
	if d.CurrentMemory != d.Memory {
		t.Errorf("the current memory is %s of %s", d.CurrentMemory, d.Memory)
	}
}

// TestBalloonDefault checks that other hypervisors' domains, and those that want none, get no balloon.
func TestBalloonDefault(t *testing.T) {
	for xml, want := range map[string]string{
		bootable(""): "virtio",
		strings.Replace(bootable(""), "kvm", "qemu", 1): "virtio",
		strings.Replace(bootable(""), "kvm", "xen", 1):  "",
		strings.Replace(bootable(""), "kvm", "lxc", 1):  "",
		withDevices("<memballoon model='none'/>"):       "none",
	} {
		got := ""
		for _, b := range complete(t, xml).Devices.MemBalloons {
			got += b.Model
		}
		if got != want {
			t.Errorf("%s\nhas the balloon %q, want %q", xml, got, want)
		}
	}
}

// TestPCIOrder checks in which order slots are given out.
func TestPCIOrder(t *testing.T) {
	d := complete(t, withDevices("<rng model='virtio'><backend model='builtin'/></rng><watchdog model='i6300esb'/>"+
		"<memballoon model='virtio'/><hostdev type='pci'><source><address bus='1' slot='2' function='0'/></source></hostdev>"+
		"<disk><source file='/a'/><target dev='vda'/></disk><controller type='virtio-serial'/><sound model='ac97'/>"+
		"<interface type='user'/><filesystem><source dir='/a'/><target dir='t'/></filesystem>"+
		"<rng model='virtio'><backend model='builtin'/></rng><video><model type='qxl'/></video><video><model type='qxl'/></video>"))
	v := &d.Devices
	for i, dev := range []device{v.Videos[0], v.Filesystems[0], v.Interfaces[0], v.Sounds[0], v.Controllers[0], v.Disks[0],
		v.Hostdevs[0], v.MemBalloons[0], v.Rngs[0], v.Rngs[1], v.Watchdogs[0], v.Videos[1]} {
		want := PCIAddress{Slot: uint8(2 + i)}
		if a := dev.info().Address; a == nil || a.PCI == nil || *a.PCI != want {
			t.Errorf("%s is not at %s", dev.elem().Path(), want)
		}
	}
}

func TestSourcePath(t *testing.T) {
	d, _ := parse(t, inDevices("<disk><source file='/f'/><target dev='vda'/></disk>"+
		"<disk type='block'><source dev='/b'/><target dev='vdb'/></disk>"+
		"<disk type='dir'><source dir='/d'/><target dev='vdc'/></disk>"+
		"<disk type='network'><source protocol='nbd' name='x'><host name='h' port='1'/></source><target dev='vdd'/></disk>"+
		"<disk device='cdrom'><target dev='hdc'/></disk>"))
	for i, want := range []string{"/f", "/b", "/d", "", ""} {
		if got := d.Devices.Disks[i].SourcePath(); got != want {
			t.Errorf("disk %d has the source %q, want %q", i, got, want)
		}
	}
}

func TestIsVirtio(t *testing.T) {
	for model, want := range map[string]bool{"virtio": true, "ViRtIo": true, "": false, "e1000": false, "virtio-transitional": false} {
		if got := (&Interface{Model: model}).IsVirtio(); got != want {
			t.Errorf("model %q: %v", model, got)
		}
	}
}

func TestDriveAddresses(t *testing.T) {
	for _, c := range []struct{ target, want string }{
		{"dev='hda'", "drive 0:0:0:0"},
		{"dev='hdb'", "drive 0:0:0:1"},
		{"dev='hdc'", "drive 0:1:0:0"},
		{"dev='hdd'", "drive 0:1:0:1"},
		{"dev='sdg'", "drive 0:0:0:6"},
		{"dev='sdh'", "drive 1:0:0:0"},
		{"dev='sdaa'", "drive 3:0:0:5"},
		{"dev='sdg' bus='sata'", "drive 1:0:0:0"},
		{"dev='hda' bus='virtio'", "pci 0000:00:02.0"},
		{"dev='sda' bus='usb'", ""},
	} {
		d := complete(t, inDevices("<disk><source file='/a'/><target "+c.target+"/></disk>"))
		got := ""
		if a := d.Devices.Disks[0].Address; a != nil {
			got = string(a.Type) + " " + a.Drive.String()
			if a.PCI != nil {
				got = string(a.Type) + " " + a.PCI.String()
			}
		}
		if got != c.want {
			t.Errorf("%s is at %q, want %q", c.target, got, c.want)
		}
	}
}

// TestControllersAdded checks that what an address names is there.
func TestControllersAdded(t *testing.T) {
	d := complete(t, inDevices(`<disk><source file='/a'/><target dev='hda'/></disk>
<disk><source file='/a'/><target dev='sdh'/></disk>
<disk device='floppy'><target dev='fda'/></disk>
<controller type='scsi' index='0'/>
<smartcard mode='host'/>
<channel type='pty'><target type='virtio' name='x'/><address type='virtio-serial' controller='2'/></channel>`))
	var got []string
	for _, c := range d.Devices.Controllers {
		at := "-"
		if c.Address != nil {
			at = c.Address.PCI.String()
		}
		got = append(got, fmt.Sprintf("%s %d %s line %d", c.Type, *c.Index, at, c.Pos().Line))
	}
	want := []string{
		"scsi 0 0000:00:02.0 line 8",
		"ide 0 0000:00:01.1 line 5",
		"scsi 1 0000:00:03.0 line 6",
		"fdc 0 - line 7",
		"ccid 0 - line 9",
		"virtio-serial 2 0000:00:04.0 line 10",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestVirtioSerialPorts(t *testing.T) {
	const channel = "<channel type='pty'><target type='virtio'/></channel>"
	d := complete(t, inDevices("<controller type='virtio-serial' index='0' ports='3'/>"+
		"<serial type='null'/><console type='null'/><console type='pty'><target type='virtio'/></console>"+
		"<channel type='pty'><target type='virtio'/><address type='virtio-serial' port='2'/></channel>"+strings.Repeat(channel, 3)+
		"<channel type='pty'><target type='virtio'/><address type='virtio-serial' controller='5'/></channel>"))
	place := func(a *Address) string { return fmt.Sprintf("%d:%d", a.Serial.Controller, *a.Serial.Port) }
	got := []string{place(d.Devices.Consoles[1].Address)}
	for _, c := range d.Devices.Channels {
		got = append(got, place(c.Address))
	}
	if want := []string{"0:0", "0:2", "0:1", "1:1", "1:2", "5:1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTooFewPorts(t *testing.T) {
	const channel = "<channel type='pty'><target type='virtio'/><address type='virtio-serial' controller='1'/></channel>\n"
	d, _ := parse(t, inDevices("<controller type='virtio-serial' index='1' ports='3'/>\n"+strings.Repeat(channel, 3)))
	if err := d.SetDefaults(testRandom()); err != nil {
		t.Fatal(err)
	}
	const want = "vm.xml:8:44: devices/channel[3]/address: no port of virtio-serial controller 1 is left: it has the ports 0 to 2"
	if err := d.AssignAddresses(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestTooFewSlots(t *testing.T) {
	d, _ := parse(t, inDevices("<memballoon model='none'/>"+strings.Repeat("<interface type='user'/>", 30)+"\n<interface type='user'/>"))
	if err := d.SetDefaults(testRandom()); err != nil {
		t.Fatal(err)
	}
	const want = "vm.xml:6:1: devices/interface[31]: no PCI slot is left: a pc has 30 for devices"
	if err := d.AssignAddresses(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestFormatRefuses has strings that XML cannot hold.
func TestFormatRefuses(t *testing.T) {
	for _, text := range []string{"a\x00b", "\xff", "\x1b[0m", "\ufffe"} {
		d, _ := parse(t, bootable(""))
		d.OS.Cmdline = text
		var b strings.Builder
		if err := d.Format(&b); err == nil || !strings.HasPrefix(err.Error(), "os/cmdline: ") {
			t.Errorf("%q: got %v", text, err)
		}
		if b.Len() > 0 {
			t.Errorf("%q: something is written beside the error", text)
		}
	}
}

// TestFormatEscapes has strings that must survive although XML has other plans for them.
func TestFormatEscapes(t *testing.T) {
	for _, text := range []string{"a&b", "<i>", "'\"", "line\nbreak", "cr\rlf\r\n", "tab\t", " blanks ", "é ☃ 𝄞", "]]>", "&amp;"} {
		d, _ := parse(t, withDevices("<serial type='file'><source path='/x'/></serial>"))
		d.OS.Cmdline = text
		d.Devices.Serials[0].Sources[0].Path = "/" + text
		checkIdentity(t, d)
	}
}

func TestPasswordEnd(t *testing.T) {
	d, _ := parse(t, inDevices("<graphics type='vnc' passwd='x' passwdValidTo='2010-04-09T15:51:00'/><graphics type='sdl'/>"))
	end, limited := d.Devices.Graphics[0].PasswordEnd()
	if !limited || !end.Equal(time.Date(2010, 4, 9, 15, 51, 0, 0, time.UTC)) {
		t.Errorf("the password ends at %v (%v)", end, limited)
	}
	if _, limited := d.Devices.Graphics[1].PasswordEnd(); limited {
		t.Error("a password without end has one")
	}
}

func TestYesNo(t *testing.T) {
	for _, c := range []struct {
		said      YesNo
		otherwise bool
		want      bool
	}{{"", true, true}, {"", false, false}, {Yes, false, true}, {No, true, false}} {
		if got := c.said.Or(c.otherwise); got != c.want {
			t.Errorf("%q or else %v is %v", c.said, c.otherwise, got)
		}
	}
}

func TestOnOff(t *testing.T) {
	for _, c := range []struct {
		said      OnOff
		otherwise bool
		want      bool
	}{{"", true, true}, {"", false, false}, {On, false, true}, {Off, true, false}} {
		if got := c.said.Or(c.otherwise); got != c.want {
			t.Errorf("%q or else %v is %v", c.said, c.otherwise, got)
		}
	}
}
