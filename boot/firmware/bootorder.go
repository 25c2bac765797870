package firmware

import (
	"errors"
	"fmt"
	"strings"
)

// The boot order names devices by OpenFirmware device paths. SeaBIOS compares
// the unit addresses (after the @, in hexadecimal, the function of a slot only
// if it is not 0) and of the names only those of the ISA bridge, the floppy
// controller and USB; OVMF compares the names too.
const (
	pciRoot = "/pci@i0cf8"

	// halt at the end of the list forbids to boot from other devices.
	halt = "HALT"

	// bootOrderMax bounds a list of paths, in bytes. SeaBIOS copies it to
	// temporary memory.
	bootOrderMax = 64 << 10
)

// PCIFunction is a place on the PCI bus.
type PCIFunction struct {
	Slot, Function uint8
}

// path is the node of a function that is called name.
func (p PCIFunction) path(name string) string {
	s := fmt.Sprintf("%s/%s@%x", pciRoot, name, p.Slot)
	if p.Function != 0 {
		s += fmt.Sprintf(",%x", p.Function)
	}
	return s
}

// IDEDrive is a disk or CD-ROM drive on an IDE controller: channel 0 (primary)
// or 1, unit 0 (master) or 1.
func IDEDrive(controller PCIFunction, channel, unit uint8) string {
	return controller.path("ide") + fmt.Sprintf("/drive@%x/disk@%x", channel, unit)
}

// SATADrive is a disk or CD-ROM drive on a port of an AHCI controller.
func SATADrive(controller PCIFunction, port uint8) string {
	return controller.path("pci8086,2922") + fmt.Sprintf("/drive@%x/disk@0", port)
}

// FloppyDrive is drive 0 or 1 of the floppy controller at port 0x3F0, behind
// the ISA bridge.
func FloppyDrive(isaBridge PCIFunction, drive uint8) string {
	return isaBridge.path("isa") + fmt.Sprintf("/fdc@03f0/floppy@%x", drive)
}

// VirtioDisk is a virtio-blk device.
func VirtioDisk(device PCIFunction) string { return device.path("scsi") + "/disk@0,0" }

// SCSIDisk is a disk or CD-ROM drive on channel 0 of a SCSI adapter, virtio-scsi
// included.
func SCSIDisk(adapter PCIFunction, target uint8, lun uint16) string {
	return adapter.path("scsi") + fmt.Sprintf("/channel@0/disk@%x,%x", target, lun)
}

// USBDisk is a mass storage device on a port (from 1) of a USB controller.
func USBDisk(controller PCIFunction, port uint8) string {
	return controller.path("usb") + fmt.Sprintf("/storage@%x/channel@0/disk@0,0", port)
}

// NIC is a network adapter, to be booted by its option ROM.
func NIC(device PCIFunction) string { return device.path("ethernet") + "/ethernet-phy@0" }

// ROM is an option ROM that is given as a file, by the file's name.
func ROM(file string) string { return "/rom@" + file }

// Names of files that firmware runs as option ROMs.

// GenericROM names an option ROM that belongs to no device.
func GenericROM(name string) string { return "genroms/" + name }

// VGAROM names the ROM of a display adapter that is not on the PCI bus.
func VGAROM(name string) string { return "vgaroms/" + name }

// PCIROM names the ROM of all PCI devices of one kind that replaces what the
// devices carry themselves.
func PCIROM(vendor, device uint16) string { return fmt.Sprintf("pci%04x,%04x.rom", vendor, device) }

// bootOrder is the content of the file: paths with a newline between them, and
// a zero byte, which OVMF insists on. It is nil without paths.
func bootOrder(paths []string) ([]byte, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	for _, p := range paths {
		if p != halt && !strings.HasPrefix(p, "/") || strings.ContainsFunc(p, unprintable) {
			return nil, fmt.Errorf("%q is not a device path", p)
		}
	}
	list := strings.Join(paths, "\n") + "\x00"
	if len(list) > bootOrderMax {
		return nil, errors.New("the list of devices is too long")
	}
	return []byte(list), nil
}

func unprintable(r rune) bool { return r <= ' ' || r > '~' }
