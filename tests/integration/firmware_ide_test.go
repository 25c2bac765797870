package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/govmm/govmm/tests/initramfs/traffic"
	"github.com/govmm/govmm/vmm"
	"golang.org/x/sys/unix"
)

// streamFile makes a medium that has the beginning of a stream.
func streamFile(t *testing.T, name string, size int, seed uint64) string {
	t.Helper()
	data := make([]byte, size)
	traffic.Fill(data, seed, 0)
	file := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(file, data, 0o644))
	return file
}

// TestFirmwareIDE has the stock drivers of Linux read and write a hard disk, and
// read a CD-ROM and a floppy disk, which are changed while the guest runs.
func TestFirmwareIDE(t *testing.T) {
	const (
		size      = 256 * mib
		system    = 96 * mib  // the file system
		raw       = 128 * mib // where the guest writes without one
		rawSize   = 8 * mib
		files     = 2
		fileSize  = 1 * mib
		cdSize    = 4 * mib
		otherSize = 2 * mib
		floppy    = 1440 << 10
	)
	hard := sparse(t, t.TempDir(), "hard.img", size)
	makeExt4(t, hard, system>>10)
	devices := fmt.Sprintf("<serial type='stdio'/>"+
		"<disk type='file'><source file='%s'/><target dev='hda' bus='ide'/><serial>WD-WMAP9A966149</serial></disk>"+
		"<disk type='file' device='cdrom'><source file='%s'/><target dev='hdc' bus='ide'/><readonly/></disk>"+
		"<disk type='file' device='floppy'><source file='%s'/><target dev='fda' bus='fdc'/></disk>",
		hard, streamFile(t, "cd.iso", cdSize, 1), streamFile(t, "floppy.img", floppy, 2))
	m := newMachine(t, domain{kernel: genericKernel(t).Image, initrd: genericIDE, cmdline: obeying, devices: devices})
	events, cancel := m.Subscribe(64)
	defer cancel()
	must(t, m.Start())
	m.ready()

	if got, want := m.ask("identify /dev/sda"), "WD-WMAP9A966149 1.0 GOVMM HARDDISK"; got != want {
		t.Errorf("the disk says %q of itself, want %q", got, want)
	}
	if got := m.ask("cat /sys/block/sda/size"); got != strconv.Itoa(size/512) {
		t.Errorf("the disk has %s sectors, want %d", got, size/512)
	}
	if pci := strings.Join(m.fact("pci").all("pci"), "\n"); !strings.Contains(pci, "8086:7010 010180 ata_piix") {
		t.Errorf("no IDE function with the driver ata_piix:\n%s", pci)
	}
	// Without DMA the driver would say so here.
	if got := m.ask("cat /sys/class/ata_device/dev1.0/dma_mode"); !strings.HasPrefix(got, "XFER_UDMA") && !strings.HasPrefix(got, "XFER_MW_DMA") {
		t.Errorf("the disk's DMA mode is %s", got)
	}
	m.ask("write /dev/sda %d %d 3", raw, rawSize)
	m.ask("read /dev/sda %d %d 3", raw, rawSize)
	m.ask("mount /dev/sda /disk")
	m.ask("fill /disk %d %d 4", files, fileSize)
	m.ask("check /disk %d %d 4", files, fileSize)
	m.ask("unmount /disk")
	m.ask("read /dev/fd0 0 %d 2", floppy)

	m.ask("read /dev/sr0 0 %d 1", cdSize)
	must(t, m.ChangeMedia(t.Context(), "hdc", streamFile(t, "other.iso", otherSize, 5), false))
	m.ask("read /dev/sr0 0 %d 5", otherSize)
	if got := m.ask("cat /sys/block/sr0/size"); got != strconv.Itoa(otherSize/512) {
		t.Errorf("the other disc has %s sectors, want %d", got, otherSize/512)
	}
	m.tray(events, "hdc", false)

	m.ask("eject /dev/sr0")
	m.tray(events, "hdc", true)
	if got := m.ask("inserted /dev/sr0"); got != "no" {
		t.Errorf("after it was ejected the disc is inserted: %s", got)
	}
	must(t, m.ChangeMedia(t.Context(), "hdc", streamFile(t, "third.iso", otherSize, 6), false))
	m.ask("read /dev/sr0 0 %d 6", otherSize)

	must(t, m.ChangeMedia(t.Context(), "fda", streamFile(t, "second.img", floppy, 7), false))
	m.ask("read /dev/fd0 0 %d 7", floppy)

	m.send("poweroff\n")
	m.ends(vmm.CausePowerOff, "ACPI S5")
	m.shut()
	checkRange(t, hard, raw, rawSize, 3)
	checkExt4(t, hard)
	mounted := mountAt(t, loopDevice(t, hard), "ext4", unix.MS_RDONLY, "")
	for n := range files {
		checkStream(t, filepath.Join(mounted, strconv.Itoa(n)), 0, fileSize, 4+uint64(n))
	}
}

// tray waits for the event of a drive's tray that opens or closes.
func (m *machine) tray(events <-chan vmm.Event, device string, open bool) {
	m.t.Helper()
	m.event(events, device+"'s tray", func(e vmm.Event) bool {
		return e.Kind == vmm.EventTray && e.Device == device && e.Open == open
	})
}
