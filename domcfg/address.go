package domcfg

import "fmt"

// AddressType is the kind of bus that an address is on.
type AddressType string

// The values of AddressType that a PC has.
const (
	AddressPCI          AddressType = "pci"
	AddressDrive        AddressType = "drive"
	AddressVirtioSerial AddressType = "virtio-serial"
	AddressCCID         AddressType = "ccid"
	AddressUSB          AddressType = "usb"
	AddressISA          AddressType = "isa"
)

// Address is the element address of a device: its place on a bus of the guest. Which fields count
// depends on Type.
type Address struct {
	Elem
	Type AddressType

	// PCI; nil for "any free slot", which newer files write.
	PCI *PCIAddress
	// Drive: the unit of a disk controller.
	Drive DriveAddress
	// VirtioSerial: the port of a virtio-serial controller.
	Serial SerialAddress
	// CCID: the slot of a smartcard reader.
	CCID CCIDAddress
	// USB: the port of a hub such as "1.2".
	USBBus  uint
	USBPort string
	// ISA: ports and interrupt.
	IOBase uint32
	IRQ    uint32
}

// PCIAddress is the place of a PCI device.
type PCIAddress struct {
	Domain        uint16
	Bus           uint8
	Slot          uint8  // 0 to 31
	Function      uint8  // 0 to 7
	Multifunction string // newer than the document: on or off
}

// String returns the address the way lspci writes it: 0000:00:02.0.
func (p PCIAddress) String() string {
	return fmt.Sprintf("%04x:%02x:%02x.%x", p.Domain, p.Bus, p.Slot, p.Function)
}

// location is the address without what else is said about it.
func (p PCIAddress) location() PCIAddress {
	p.Multifunction = ""
	return p
}

// DriveAddress is the place of a disk.
type DriveAddress struct{ Controller, Bus, Target, Unit uint }

// String returns the numbers with colons between them.
func (d DriveAddress) String() string {
	return fmt.Sprintf("%d:%d:%d:%d", d.Controller, d.Bus, d.Target, d.Unit)
}

// SerialAddress is a port of a virtio-serial controller. Port nil is the next free one.
type SerialAddress struct {
	Controller uint
	Bus        uint
	Port       *uint
}

// CCIDAddress is a slot of a smartcard reader.
type CCIDAddress struct{ Controller, Slot uint }

func (a *Address) code(c *coder) {
	enum(c.attr("type").required(), &a.Type, AddressPCI, AddressDrive, AddressVirtioSerial, AddressCCID,
		AddressUSB, AddressISA, "spapr-vio", "virtio-s390", "ccw", "virtio-mmio", "dimm", "unassigned")
	switch a.Type {
	case AddressPCI:
		a.codePCI(c)
	case AddressDrive:
		index(c, "controller", &a.Drive.Controller)
		index(c, "bus", &a.Drive.Bus)
		if c.reading || a.Drive.Target != 0 {
			index(c, "target", &a.Drive.Target)
		}
		index(c, "unit", &a.Drive.Unit)
	case AddressVirtioSerial:
		index(c, "controller", &a.Serial.Controller)
		index(c, "bus", &a.Serial.Bus)
		optional(c.attr("port"), &a.Serial.Port, 0, 1<<31-1)
	case AddressCCID:
		// The document's text says bus, its example and libvirt say controller.
		if c.reading && c.n.attr("controller") == nil && c.n.attr("bus") != nil {
			index(c, "bus", &a.CCID.Controller)
		} else {
			index(c, "controller", &a.CCID.Controller)
		}
		index(c, "slot", &a.CCID.Slot)
	case AddressUSB:
		index(c, "bus", &a.USBBus)
		c.attr("port").str(&a.USBPort)
	case AddressISA:
		anyBase(c.attr("iobase"), &a.IOBase, 0, 0xffff, 1)
		anyBase(c.attr("irq"), &a.IRQ, 0, 0xff, 1)
	}
}

func (a *Address) codePCI(c *coder) {
	if c.reading {
		if c.n.attr("bus") == nil && c.n.attr("slot") == nil && c.n.attr("function") == nil {
			return
		}
		a.PCI = new(PCIAddress)
	}
	if a.PCI == nil {
		return
	}
	before := len(c.errs)
	a.PCI.code(c)
	if len(c.errs) > before {
		a.PCI = nil // a part of an address would only be called taken
		return
	}
	if c.reading || a.PCI.Multifunction != "" {
		enum(c.attr("multifunction"), &a.PCI.Multifunction, "on", "off")
	}
}

// code codes the four numbers that place a PCI device, in the guest or on the host.
func (p *PCIAddress) code(c *coder) {
	anyBase(c.attr("domain"), &p.Domain, 0, 0xffff, 4)
	anyBase(c.attr("bus").required(), &p.Bus, 0, 0xff, 2)
	anyBase(c.attr("slot").required(), &p.Slot, 0, 0x1f, 2)
	anyBase(c.attr("function").required(), &p.Function, 0, 7, 1)
}

// index codes a small decimal number whose default is 0 and which is always written.
func index(c *coder, name string, v *uint) {
	p := new(*v)
	optional(c.attr(name), &p, 0, 1<<31-1)
	*v = *p
}
