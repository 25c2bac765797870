package domcfg

// ControllerType is the bus that a controller makes.
type ControllerType string

// The values of ControllerType.
const (
	ControllerIDE          ControllerType = "ide"
	ControllerFDC          ControllerType = "fdc"
	ControllerSCSI         ControllerType = "scsi"
	ControllerSATA         ControllerType = "sata"
	ControllerCCID         ControllerType = "ccid"
	ControllerVirtioSerial ControllerType = "virtio-serial"
	ControllerUSB          ControllerType = "usb" // newer than the document
	ControllerPCI          ControllerType = "pci" // newer than the document
)

// Controller is an element controller.
type Controller struct {
	DeviceInfo
	Type    ControllerType
	Index   *uint // counts the controllers of a type
	Model   string
	Ports   uint  // of virtio-serial, 1 to 31; 0 for 31
	Vectors *uint // of virtio-serial; nil for as many as needed
}

func (t *Controller) code(c *coder) {
	enum(c.attr("type").required(), &t.Type, ControllerIDE, ControllerFDC, ControllerSCSI, ControllerSATA,
		ControllerCCID, ControllerVirtioSerial, ControllerUSB, ControllerPCI, "xenbus", "isa")
	optional(c.attr("index"), &t.Index, 0, 1<<31-1)
	t.codeModel(c)
	// Only virtio-serial has these two; usb controllers of newer files have ports of their own.
	if t.Type == ControllerVirtioSerial {
		number(c.attr("ports"), &t.Ports, 1, 31)
		optional(c.attr("vectors"), &t.Vectors, 0, 1<<31-1)
	}
	t.codeInfo(c)
}

func (t *Controller) codeModel(c *coder) {
	s := c.attr("model")
	if t.Type != ControllerSCSI {
		s.str(&t.Model)
		return
	}
	if s.value == "lsias1068" { // the document's spelling of libvirt's word
		s.value = "lsisas1068"
	}
	enum(s, &t.Model, "auto", "buslogic", "lsilogic", "lsisas1068", "vmpvscsi",
		"virtio-scsi", "ibmvscsi", "lsisas1078", "virtio-transitional", "virtio-non-transitional",
		"ncr53c90", "dc390", "am53c974")
}
