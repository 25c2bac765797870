package domcfg

// Hostdev is an element hostdev: a device of the host for the guest.
type Hostdev struct {
	DeviceInfo
	Mode      string // subsystem; capabilities is for LXC
	Type      string // usb or pci; newer: scsi, scsi_host, mdev
	Managed   YesNo  // pci: take it from its host driver, and give it back
	Source    *HostdevSource
	BootOrder uint
}

// HostdevSource is the element source within hostdev.
type HostdevSource struct {
	Elem
	Vendor  uint16 // usb; 0 when the device is given by its address
	Product uint16
	USB     *HostUSBAddress
	PCI     *PCIAddress

	kind string // the hostdev's type, which decides what an address is
}

// HostUSBAddress is where a USB device is plugged into the host.
type HostUSBAddress struct{ Bus, Device uint }

func (h *Hostdev) code(c *coder) {
	enum(c.attr("mode"), &h.Mode, "subsystem", "capabilities")
	enum(c.attr("type").required(), &h.Type, "usb", "pci", "scsi", "scsi_host", "mdev", "storage", "misc", "net")
	c.attr("managed").yesNo(&h.Managed)
	if c.reading {
		if n := c.first("source"); n != nil {
			h.Source = &HostdevSource{kind: h.Type}
			c.decode(n, h.Source)
		}
	} else if h.Source != nil {
		h.Source.kind = h.Type
		c.encode("source", h.Source)
	}
	codeBoot(c, &h.BootOrder)
	h.codeInfo(c)
}

func (s *HostdevSource) code(c *coder) {
	switch s.kind {
	case "usb":
		s.codeUSB(c)
	case "pci":
		if c.reading && c.n.child("address") == nil {
			c.errorf(c.n.pos(), c.n.path(), "element <address> is missing")
			return
		}
		if c.reading {
			s.PCI = new(PCIAddress)
		}
		if s.PCI != nil {
			c.group("address", s.PCI.code)
		}
	}
}

func (s *HostdevSource) codeUSB(c *coder) {
	id := func(v *uint16) func(*coder) {
		return func(c *coder) {
			if c.reading || *v != 0 {
				anyBase(c.attr("id").required(), v, 1, 0xffff, 4)
			}
		}
	}
	c.group("vendor", id(&s.Vendor))
	c.group("product", id(&s.Product))
	if !c.reading && s.USB == nil {
		return
	}
	c.group("address", func(c *coder) {
		if c.reading {
			s.USB = new(HostUSBAddress)
		}
		usbNumber(c, "bus", &s.USB.Bus)
		usbNumber(c, "device", &s.USB.Device)
	})
}

// usbNumber codes a number of any base that is written in decimal.
func usbNumber(c *coder, name string, v *uint) {
	s := c.attr(name).required()
	if c.reading {
		anyBase(s, v, 0, 1<<16, 0)
	} else {
		p := v
		optional(s, &p, 0, 1<<16)
	}
}
