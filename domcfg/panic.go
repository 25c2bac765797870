package domcfg

// Panic is an element panic, which asks for a device that a guest tells of its crash. It is
// newer than the document.
type Panic struct {
	DeviceInfo
	Model string // isa (if absent), pseries, hyperv, s390, pvpanic
}

// PanicPort is where the ISA device is.
const PanicPort = 0x505

func (p *Panic) code(c *coder) {
	enum(c.attr("model"), &p.Model, "isa", "pseries", "hyperv", "s390", "pvpanic")
	p.codeInfo(c)
}

// otherPanic reports whether a panic device is not the one that every machine has.
func otherPanic(d *Domain, n *node) bool {
	p := d.Devices.Panics[max(n.index, 1)-1]
	a := p.Address
	return p.Model != "" && p.Model != "isa" || a != nil && a.IOBase != 0 && a.IOBase != PanicPort
}
