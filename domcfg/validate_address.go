package domcfg

import (
	"slices"
	"strings"
)

// A device is any of the domain's devices, for what is done with all of them.
type device interface {
	element
	info() *DeviceInfo
}

// all goes through all devices, one kind after the other in the document's order.
func (v *Devices) all(yield func(device)) {
	each(v.Disks, yield)
	each(v.Filesystems, yield)
	each(v.Controllers, yield)
	each(v.Hostdevs, yield)
	each(v.Smartcards, yield)
	each(v.Interfaces, yield)
	each(v.Inputs, yield)
	each(v.Graphics, yield)
	each(v.Videos, yield)
	each(v.Parallels, yield)
	each(v.Serials, yield)
	each(v.Consoles, yield)
	each(v.Channels, yield)
	each(v.Sounds, yield)
	each(v.Watchdogs, yield)
	each(v.MemBalloons, yield)
	each(v.Rngs, yield)
	each(v.Panics, yield)
}

func each[D device](list []D, yield func(device)) {
	for _, d := range list {
		yield(d)
	}
}

// addressTypes checks that each device's address is on a bus that it can be on.
func (v *validator) addressTypes() {
	v.d.Devices.all(func(dev device) {
		a := dev.info().Address
		if a == nil || a.Type == "" {
			return
		}
		noun, allowed := addressTypesOf(dev)
		if allowed != nil && !slices.Contains(allowed, a.Type) {
			words := make([]string, len(allowed))
			for i, t := range allowed {
				words[i] = string(t)
			}
			v.fail(&a.Elem, "@type", "type=%q: %s can only have an address of type %s", string(a.Type), noun, strings.Join(words, " or "))
		}
	})
}

// addressTypesOf returns the kinds of address that a device can have; nil is any.
func addressTypesOf(dev device) (noun string, allowed []AddressType) {
	switch dev := dev.(type) {
	case *Disk:
		return "a disk on bus " + string(dev.Bus()), diskAddressTypes(dev.Bus())
	case *Filesystem:
		return "a filesystem", []AddressType{AddressPCI}
	case *Controller:
		if dev.Type == ControllerCCID {
			return "a ccid controller", []AddressType{AddressUSB}
		}
		if dev.Type == ControllerFDC {
			return "an fdc controller", []AddressType{AddressISA}
		}
		return "a controller", []AddressType{AddressPCI}
	case *Hostdev:
		switch dev.Type {
		case "pci":
			return "a PCI hostdev", []AddressType{AddressPCI, "unassigned"}
		case "usb":
			return "a USB hostdev", []AddressType{AddressUSB}
		}
	case *Smartcard:
		return "a smartcard", []AddressType{AddressCCID}
	case *Interface:
		return "an interface", []AddressType{AddressPCI}
	case *Video:
		return "a video device", []AddressType{AddressPCI}
	case *Input:
		if dev.Bus == "usb" {
			return "a USB input", []AddressType{AddressUSB, AddressPCI} // PCI is the document's word for it
		}
	case *Channel:
		if dev.TargetType == "virtio" {
			return "a virtio channel", []AddressType{AddressVirtioSerial}
		}
	case *Console:
		if dev.TargetType == "virtio" {
			return "a virtio console", []AddressType{AddressVirtioSerial}
		}
	case *Sound:
		if dev.Model == "sb16" || dev.Model == "pcspk" {
			return "an ISA sound card", []AddressType{AddressISA}
		}
	case *Watchdog:
		if dev.Model == WatchdogIB700 {
			return "an ib700 watchdog", []AddressType{AddressISA}
		}
		return "a watchdog", []AddressType{AddressPCI}
	case *MemBalloon:
		return "a memory balloon", []AddressType{AddressPCI}
	case *Rng:
		return "an entropy device", []AddressType{AddressPCI}
	case *Panic:
		if dev.Model == "" || dev.Model == "isa" {
			return "an ISA panic device", []AddressType{AddressISA}
		}
	}
	return "", nil
}

func diskAddressTypes(bus Bus) []AddressType {
	switch bus {
	case BusVirtio:
		return []AddressType{AddressPCI, "virtio-mmio", "ccw"}
	case BusUSB:
		return []AddressType{AddressUSB}
	case BusIDE, BusFDC, BusSCSI, BusSATA:
		return []AddressType{AddressDrive}
	}
	return nil
}

// boardDevice returns what the board itself has at a PCI address, empty if nothing.
func boardDevice(a PCIAddress) string {
	if a.Domain != 0 || a.Bus != 0 {
		return ""
	}
	switch {
	case a.Slot == 0:
		return "the host bridge"
	case a.Slot == 1 && a.Function == 0:
		return "the ISA bridge"
	case a.Slot == 1 && a.Function == 1:
		return "the IDE controller"
	case a.Slot == 1 && a.Function == 2:
		return "the USB controller"
	case a.Slot == 1 && a.Function == 3:
		return "the power management"
	}
	return ""
}

// ownBoardAddress reports whether the device is the board's own at that address: files that libvirt
// wrote list the IDE and USB controllers with theirs.
func ownBoardAddress(dev device, a PCIAddress) bool {
	t, ok := dev.(*Controller)
	if !ok || a.Domain != 0 || a.Bus != 0 || a.Slot != 1 {
		return false
	}
	return t.Type == ControllerIDE && a.Function == 1 || t.Type == ControllerUSB && a.Function == 2
}

// pciAddresses checks that the PCI addresses that are written are free, and that their bus exists.
func (v *validator) pciAddresses() {
	if v.d.OS == nil || !isPC(v.d.OS.Machine) {
		return // other boards have other devices of their own
	}
	taken := make(map[PCIAddress]device)
	buses := v.pciBuses()
	v.d.Devices.all(func(dev device) {
		a := dev.info().Address
		if a == nil || a.Type != AddressPCI || a.PCI == nil {
			return
		}
		at := a.PCI.location()
		first := taken[at]
		switch {
		case boardDevice(at) != "" && !ownBoardAddress(dev, at):
			v.fail(&a.Elem, "", "PCI address %s is taken by %s", at, boardDevice(at))
		case first != nil:
			v.fail(&a.Elem, "", "PCI address %s is taken by %s", at, first.elem().Path())
		case at.Domain != 0 || !buses[uint(at.Bus)]:
			v.fail(&a.Elem, "", "PCI address %s is on a bus that does not exist; a pc has only bus 0000:00", at)
		default:
			taken[at] = dev
		}
	})
}

// pciBuses returns the numbers of the buses: 0 and those of PCI bridges, which newer files have.
func (v *validator) pciBuses() map[uint]bool {
	buses := map[uint]bool{0: true}
	for _, t := range v.d.Devices.Controllers {
		if t.Type == ControllerPCI && t.Index != nil {
			buses[*t.Index] = true
		}
	}
	return buses
}

// isPC reports whether a machine is the i440FX board or one of its versions.
func isPC(machine string) bool {
	return machine == "" || machine == "pc" || strings.HasPrefix(machine, "pc-") && !strings.HasPrefix(machine, "pc-q35")
}
