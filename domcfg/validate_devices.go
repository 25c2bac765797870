package domcfg

import (
	"net/netip"
	"regexp"
)

func (v *validator) filesystems() {
	tags := make(map[string]*Filesystem)
	for _, f := range v.d.Devices.Filesystems {
		mount := f.Type == "" || f.Type == "mount"
		switch {
		case mount && f.SourceDir == "":
			v.fail(&f.Elem, "source", `type="mount" needs a <source> with the attribute dir`)
		case f.Type == "template" && f.SourceName == "":
			v.fail(&f.Elem, "source", `type="template" needs a <source> with the attribute name`)
		}
		if mount {
			v.absolute(&f.Elem, "source@dir", f.SourceDir)
		}
		if f.AccessMode != "" && !mount {
			v.fail(&f.Elem, "@accessmode", `accessmode is only for type="mount", not %q`, f.Type)
		}
		switch first := tags[f.Target]; {
		case f.Target == "":
			v.fail(&f.Elem, "target", "a <target> with the attribute dir is needed")
		case len(f.Target) > 31 && mount:
			v.fail(&f.Elem, "target@dir", "dir=%q is longer than the 31 bytes of a 9p tag", clip(f.Target))
		case first != nil:
			v.fail(&f.Elem, "target@dir", "dir=%q stands twice, first at %s", clip(f.Target), first.Path())
		default:
			tags[f.Target] = f
		}
	}
}

func (v *validator) controllers() {
	type key struct {
		kind  ControllerType
		index uint
	}
	seen := make(map[key]*Controller)
	for _, t := range v.d.Devices.Controllers {
		if t.Type != ControllerVirtioSerial && t.Type != ControllerUSB && t.Type != "xenbus" {
			for _, name := range []string{"ports", "vectors"} {
				if t.src.attr(name) != nil {
					v.fail(&t.Elem, "@"+name, `%s is only for type="virtio-serial", not %q`, name, string(t.Type))
				}
			}
		}
		v.ideController(t)
		if t.Index == nil || t.Type == "" {
			continue
		}
		if (t.Type == ControllerIDE || t.Type == ControllerFDC) && *t.Index != 0 {
			v.fail(&t.Elem, "@index", `index="%d": a pc has only one %s controller, 0`, *t.Index, t.Type)
		}
		// UHCI companions of a USB 2 controller share its index.
		if t.Type == ControllerUSB && t.Model != "" {
			continue
		}
		k := key{t.Type, *t.Index}
		if first := seen[k]; first != nil {
			v.fail(&t.Elem, "@index", `index="%d" of type %q stands twice, first at %s`, *t.Index, string(t.Type), first.Path())
		} else {
			seen[k] = t
		}
	}
}

// ideController checks that an IDE controller is where the board has it. An address that something
// else of the board has is reported with all those.
func (v *validator) ideController(t *Controller) {
	if t.Type != ControllerIDE || t.Address == nil || t.Address.PCI == nil {
		return
	}
	if at := t.Address.PCI.location(); boardDevice(at) == "" {
		v.fail(&t.Address.Elem, "", "PCI address %s: the IDE controller of a pc is at 0000:00:01.1", at)
	}
}

func (v *validator) hostdevs() {
	usb := make(map[HostUSBAddress]*Hostdev)
	ids := make(map[[2]uint16]*Hostdev)
	pci := make(map[PCIAddress]*Hostdev)
	for _, h := range v.d.Devices.Hostdevs {
		s := h.Source
		if s == nil {
			v.fail(&h.Elem, "", "element <source> is missing")
			continue
		}
		var first *Hostdev
		switch {
		case h.Type == "usb" && s.USB != nil:
			first, usb[*s.USB] = usb[*s.USB], h
			if s.Vendor != 0 || s.Product != 0 {
				v.fail(&s.Elem, "", "a USB device is given by <vendor> and <product> or by its <address>, not by both")
			}
		case h.Type == "usb":
			id := [2]uint16{s.Vendor, s.Product}
			first, ids[id] = ids[id], h
			if s.src.child("vendor") == nil || s.src.child("product") == nil {
				v.fail(&s.Elem, "", "a USB device needs <vendor> and <product>, or an <address>")
				first = nil
			} else if s.Vendor == 0 || s.Product == 0 {
				first = nil // reported where it was read
			}
		case h.Type == "pci" && s.PCI != nil:
			at := s.PCI.location()
			first, pci[at] = pci[at], h
		}
		if first != nil {
			v.fail(&s.Elem, "", "this device of the host stands twice, first at %s", first.Path())
		}
	}
}

// maxIfName is the longest name of a network interface, from Linux' IFNAMSIZ.
const maxIfName = 15

var modelName = regexp.MustCompile(`^[A-Za-z0-9_-]*$`)

func (v *validator) interfaces() {
	for _, i := range v.d.Devices.Interfaces {
		v.interfaceSource(i)
		v.portForwards(i)
		if !modelName.MatchString(i.Model) {
			v.fail(&i.Elem, "model@type", "type=%q is not a NIC model: it has characters other than letters, digits, - and _", clip(i.Model))
		}
		if len(i.TargetDev) > maxIfName && !i.nameGivenOut() {
			v.fail(&i.Elem, "target@dev", "dev=%q is longer than the %d bytes of an interface's name", clip(i.TargetDev), maxIfName)
		}
		if i.TargetManaged == No && i.TargetDev == "" {
			v.fail(&i.Elem, "target", `managed="no" needs the attribute dev, the name of a tap that exists`)
		}
		if i.Script != nil && i.Type == InterfaceEthernet {
			v.absolute(&i.Elem, "script@path", *i.Script)
		}
		if r := i.ROM; r != nil {
			v.optionROM(r)
		}
		if r := i.Driver; r != nil {
			v.powerOf2(&r.Elem, "rx_queue_size", r.RXQueueSize)
			v.powerOf2(&r.Elem, "tx_queue_size", r.TXQueueSize)
		}
		if p := i.VirtualPort; p != nil && p.Type == "802.1Qbg" {
			if i.Type != InterfaceDirect {
				v.fail(&p.Elem, "", `<virtualport type="802.1Qbg"> is only for type="direct", not %q`, string(i.Type))
			}
			if p.ManagerID == 0 || p.TypeID == nil || p.TypeIDVersion == nil || p.InstanceID == (UUID{}) {
				v.missingPortParameters(p)
			}
		}
	}
}

func (v *validator) optionROM(r *ROM) {
	if r.File != nil {
		v.absolute(&r.Elem, "@file", *r.File)
	}
	if r.Enabled == No && (r.Bar != "" || r.File != nil) {
		v.fail(&r.Elem, "", `with enabled="no" there is no ROM to say bar or file of`)
	}
}

func (v *validator) missingPortParameters(p *VirtualPort) {
	parameters := p.src.child("parameters")
	if parameters == nil {
		v.fail(&p.Elem, "", "element <parameters> is missing")
		return
	}
	// An instance id may be missing: it is made up for each start.
	for _, name := range []string{"managerid", "typeid", "typeidversion"} {
		if parameters.attr(name) == nil {
			v.fail(&p.Elem, "parameters", "attribute %s is missing", name)
		}
	}
}

func (v *validator) interfaceSource(i *Interface) {
	s := &i.Source
	need := func(name, value string) {
		if value == "" {
			v.fail(&i.Elem, "source", "type=%q needs a <source> with the attribute %s", string(i.Type), name)
		}
	}
	port := func() {
		if n := i.src.child("source"); s.Port == 0 && (n == nil || n.attr("port") == nil) {
			need("port", "")
		}
	}
	switch i.Type {
	case InterfaceNetwork:
		need("network", s.Network)
	case InterfaceBridge:
		need("bridge", s.Bridge)
	case InterfaceDirect:
		need("dev", s.Dev)
	case InterfaceMcast:
		need("address", s.Address)
		port()
		if a, err := netip.ParseAddr(s.Address); s.Address != "" && (err != nil || !a.Is4() || !a.IsMulticast()) {
			v.fail(&i.Elem, "source@address", "address=%q is not an IPv4 multicast address (224.0.0.0 to 239.255.255.255)", clip(s.Address))
		}
	case InterfaceClient:
		need("address", s.Address)
		port()
	case InterfaceServer:
		port()
	}
}

// display checks graphics and video devices.
func (v *validator) display() {
	types := make(map[string]*Graphics)
	for _, g := range v.d.Devices.Graphics {
		if first := types[g.Type]; first != nil && g.Type != "" {
			v.fail(&g.Elem, "@type", "type=%q stands twice, first at %s", g.Type, first.Path())
		} else {
			types[g.Type] = g
		}
		switch g.Type {
		case "vnc":
			v.vnc(g)
		case "spice":
			v.spice(g)
		}
	}
	for i, c := range v.d.Devices.Videos {
		m := c.Model
		if i > 0 && m.Type != "" && m.Type != "qxl" && m.Type != "virtio" {
			v.fail(&c.Elem, "model@type", "only a qxl can be a second video device, not %s", m.Type)
		}
		if m.Heads > 1 && m.Type != "qxl" && m.Type != "virtio" && m.Type != "vbox" {
			v.fail(&c.Elem, "model@heads", `heads="%d": a %s has only 1; more are for qxl`, m.Heads, m.Type)
		}
		if m.VRAM != 0 && m.VRAM < 1024 && (m.Type == "vga" || m.Type == "vmvga") {
			v.fail(&c.Elem, "model@vram", `vram="%d" is less than 1024 KiB, the least of a %s`, uint64(m.VRAM), m.Type)
		}
	}
}

func (v *validator) vnc(g *Graphics) {
	if g.Port > 0 && g.Port < 5900 && g.AutoPort != Yes {
		v.fail(&g.Elem, "@port", `port="%d" is not from 5900 to 65535, the ports of VNC`, g.Port)
	}
	if len(g.Password) > 8 {
		v.fail(&g.Elem, "@passwd", "passwd has %d characters; VNC uses only 8", len(g.Password))
	}
	v.absolute(&g.Elem, "@socket", g.Socket)
}

func (v *validator) spice(g *Graphics) {
	for _, h := range g.Channels {
		if h.Mode == "secure" && g.TLSPort == 0 && g.AutoPort != Yes {
			v.fail(&h.Elem, "@mode", `mode="secure" needs the attribute tlsPort of <graphics>`)
		}
	}
}

// powerOf2 reports an attribute that has to be a power of 2. 0 stands for none.
func (v *validator) powerOf2(e *Elem, name string, n uint) {
	if n&(n-1) != 0 {
		v.fail(e, "@"+name, `%s="%d" is not a power of 2`, name, n)
	}
}

func (v *validator) rngs() {
	for _, r := range v.d.Devices.Rngs {
		v.absolute(&r.Elem, "backend", r.Backend.Path)
		if r.Backend.EGD != nil {
			v.charBackend(&r.Elem, r.Backend.EGD)
		}
	}
}
