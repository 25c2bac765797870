package firmware

import (
	"bytes"
	"image/png"
	"strings"
	"testing"

	"github.com/govmm/govmm/tests/bootmedia"
	"github.com/govmm/govmm/vmm"
)

// Our boot sector starts from every kind of medium, and reads it through the BIOS.
func TestMedia(t *testing.T) {
	for _, test := range []struct{ name, bus string }{
		{"sector-disk", "ide"}, {"sector-disk", "virtio"},
		{"sector-floppy", ""}, {"sector-floppy-2880", ""},
		{"sector-cd", ""}, {"sector-cd-floppy", ""},
	} {
		t.Run(test.name+test.bus, func(t *testing.T) {
			m, err := bootmedia.Find(test.name)
			if err != nil {
				t.Fatal(err)
			}
			machine := start(t, m.Domain(medium(t, test.name), test.bus, "", video))
			machine.ends()
			machine.markers(m.Markers)
			label := strings.TrimPrefix(test.name, "sector-")
			machine.displays("boot-sector " + label + " on the screen")
			var picture bytes.Buffer
			if err := machine.Screenshot(&picture); err != nil {
				t.Fatal(err)
			}
			if c, err := png.DecodeConfig(&picture); err != nil || c.Width != 720 || c.Height != 400 {
				t.Errorf("the picture is %dx%d (%v), want the 720x400 of a text mode", c.Width, c.Height, err)
			}
		})
	}
}

// The firmware takes the device that the domain names first.
func TestOrder(t *testing.T) {
	one, two := medium(t, "sector-disk"), medium(t, "sector-disk-2")
	cd, floppy := medium(t, "sector-cd"), medium(t, "sector-floppy")
	for _, test := range []struct{ name, os, devices, want string }{
		{"first disk", "<boot dev='hd'/>", disk("disk", "ide", "hda", one, 0) + disk("disk", "ide", "hdb", two, 0), "disk"},
		{"by default", "", disk("disk", "ide", "hda", one, 0) + disk("disk", "ide", "hdb", two, 0), "disk"},
		{"second disk by its order", "", disk("disk", "ide", "hda", one, 2) + disk("disk", "ide", "hdb", two, 1), "disk-2"},
		{"virtio before ide", "", disk("disk", "ide", "hda", one, 2) + disk("disk", "virtio", "vda", two, 1), "disk-2"},
		{"cdrom before disk", "<boot dev='cdrom'/><boot dev='hd'/>",
			disk("disk", "ide", "hda", one, 0) + disk("cdrom", "ide", "hdc", cd, 0), "cd"},
		{"disk before cdrom", "<boot dev='hd'/><boot dev='cdrom'/>",
			disk("disk", "ide", "hda", one, 0) + disk("cdrom", "ide", "hdc", cd, 0), "disk"},
		{"floppy before all", "<boot dev='fd'/><boot dev='hd'/>",
			disk("disk", "ide", "hda", one, 0) + disk("floppy", "fdc", "fda", floppy, 0), "floppy"},
		{"behind an empty drive", "<boot dev='cdrom'/><boot dev='hd'/>",
			disk("disk", "ide", "hda", one, 0) + disk("cdrom", "ide", "hdc", "", 0), "disk"},
		{"four drives", "", disk("disk", "ide", "hda", one, 0) + disk("cdrom", "ide", "hdb", "", 0) +
			disk("cdrom", "ide", "hdc", cd, 0) + disk("disk", "ide", "hdd", two, 1), "disk-2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := start(t, domain(test.os, test.devices))
			m.ends()
			m.markers([]string{"^boot-sector " + test.want + " drive"})
		})
	}
}

// A reset starts the firmware anew, whatever the one before has left in RAM and
// in the shadow of its ROM.
func TestReset(t *testing.T) {
	m := start(t, domain("<boot dev='hd'/>", video+disk("disk", "ide", "hda", medium(t, "sector-disk"), 0)))
	m.displays("SeaBIOS")
	if err := m.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.ends()
	m.markers([]string{"boot-sector disk done"})
}

// Several processors, and memory above 4 GiB.
func TestLarge(t *testing.T) {
	xml := domain("<boot dev='hd'/>", disk("disk", "ide", "hda", medium(t, "sector-disk"), 0))
	xml = strings.Replace(xml, "<memory unit='MiB'>64<", "<memory unit='MiB'>5120<", 1)
	xml = strings.Replace(xml, "<vcpu>1<", "<vcpu>4<", 1)
	m := start(t, xml)
	m.ends()
	m.markers([]string{"e820 0000000100000000 0000000080000000 1"})
}

// Nothing to boot from: the firmware says so, and waits.
func TestNothing(t *testing.T) {
	for name, devices := range map[string]string{
		"no disk":       "",
		"garbage":       disk("cdrom", "ide", "hdc", medium(t, "garbage-cd"), 1),
		"cut off":       disk("cdrom", "ide", "hdc", medium(t, "truncated-cd"), 1),
		"wrong catalog": disk("cdrom", "ide", "hdc", medium(t, "bad-catalog-cd"), 1),
		"empty drives":  disk("cdrom", "ide", "hdc", "", 1) + disk("floppy", "fdc", "fda", "", 2),
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, domain("", video+devices))
			m.displays("No bootable device")
			if m.State() != vmm.StateRunning {
				t.Errorf("the machine is %v", m.State())
			}
		})
	}
}

// What cannot be used is refused before anything runs, in words.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		xml  string
		want []string
	}{
		"no such firmware":    {domain("<loader>/nonexistent/bios.bin</loader>", ""), []string{"os/loader", "/nonexistent/bios.bin", "no such file"}},
		"a directory":         {domain("<loader>"+dir+"</loader>", ""), []string{"os/loader", dir, "directory"}},
		"0 bytes of disk":     {domain("", disk("disk", "ide", "hda", medium(t, "empty-disk"), 0)), []string{"devices/disk[1]", "hda", "empty-disk"}},
		"a directory as disk": {domain("", disk("disk", "ide", "hda", dir, 0)), []string{"devices/disk[1]", "hda", dir, "directory"}},
		"an odd floppy": {domain("", disk("floppy", "fdc", "fda", medium(t, "odd-floppy"), 0)),
			[]string{"devices/disk[1]", "fda", "odd-floppy", "1474560"}},
		"no CD-ROM to boot from": {domain("<boot dev='cdrom'/>", disk("disk", "ide", "hda", medium(t, "sector-disk"), 0)),
			[]string{"vm.xml:5:", "boot", "cdrom", "hda"}},
		"no kernel image": {strings.Replace(domain("", ""), "<bios", "<kernel>"+medium(t, "sector-disk")+"</kernel><bios", 1),
			[]string{"os/kernel", "sector-disk"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := build(t, test.xml)
			if err == nil {
				t.Fatal("taken")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// The menu key chooses another device than the first one.
func TestMenuKey(t *testing.T) {
	devices := video + disk("disk", "ide", "hda", medium(t, "sector-disk"), 0) + disk("disk", "ide", "hdb", medium(t, "sector-disk-2"), 0)
	m := start(t, domain("<boot dev='hd'/><bootmenu enable='yes' timeout='60000'/>", devices))
	m.displays("Press ESC for boot menu")
	m.press("esc")
	m.displays(`2\. ata0-1: GOVMM HARDDISK`)
	m.press("2")
	m.ends()
	m.markers([]string{"^boot-sector disk-2 drive 8"})
}

// A medium that is put in while the firmware looks for one is booted after a
// reset; the guest's lock and an unknown drive are told.
func TestChangeMedia(t *testing.T) {
	cd, floppy := medium(t, "sector-cd"), medium(t, "sector-floppy")
	m := start(t, domain("", video+disk("cdrom", "ide", "hdc", "", 1)+disk("floppy", "fdc", "fda", "", 2)+
		disk("disk", "ide", "hda", medium(t, "garbage-cd"), 0)))
	m.displays("No bootable device")
	events, cancel := m.Subscribe(16)
	defer cancel()
	for _, test := range []struct{ target, path, want string }{
		{"hdd", cd, "no such device"},
		{"hda", cd, "hard disk"},
		{"hdc", "/nonexistent.iso", "no such file"},
		{"fda", cd, "floppy"}, // of a size no floppy has
	} {
		err := m.ChangeMedia(t.Context(), test.target, test.path, false)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.target) {
			t.Errorf("%s into %s: %v", test.path, test.target, err)
		}
	}
	change := func(target, path string) {
		t.Helper()
		if err := m.ChangeMedia(t.Context(), target, path, false); err != nil {
			t.Fatal(err)
		}
		for e := range events {
			if e.Kind == vmm.EventTray {
				if e.Device != target || e.Open != (path == "") {
					t.Errorf("the event is %+v", e)
				}
				break
			}
		}
	}
	change("fda", floppy)
	change("hdc", cd)
	change("hdc", "")
	// One that does not fit leaves the other where it is.
	if err := m.ChangeMedia(t.Context(), "fda", cd, false); err == nil {
		t.Error("a CD fits into the floppy drive")
	}
	if err := m.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.ends()
	m.markers([]string{"^boot-sector floppy drive 00"})
}
