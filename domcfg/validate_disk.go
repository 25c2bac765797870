package domcfg

import (
	"regexp"
	"strings"
)

func (v *validator) disks() {
	targets := make(map[string]*Disk)
	units := make(map[string]*Disk)
	for _, d := range v.d.Devices.Disks {
		v.diskTarget(d, targets)
		v.diskSource(d)
		v.diskDevice(d)
		v.diskAddress(d, units)
		if s := d.Source; s != nil && s.Encryption != nil && d.Encryption != nil {
			v.fail(&s.Encryption.Elem, "", "the disk has another <encryption>, at %s", d.Encryption.Path())
		}
		if r := d.Driver; r != nil && r.Queues != 0 && d.Bus() != BusVirtio {
			v.fail(&r.Elem, "@queues", `queues is only for bus="virtio", not %q`, string(d.Bus()))
		}
		if b := d.BlockIO; b != nil {
			v.blockIO(b)
		}
		if strings.TrimSpace(d.Serial) != d.Serial || !serialNumber.MatchString(d.Serial) {
			v.fail(&d.Elem, "serial", "%q has characters other than letters, digits, blanks and -_.+", clip(d.Serial))
		}
	}
}

var serialNumber = regexp.MustCompile(`^[A-Za-z0-9 _.+-]*$`)

func (v *validator) blockIO(b *BlockIO) {
	v.powerOf2(&b.Elem, "logical_block_size", b.LogicalBlockSize)
	v.powerOf2(&b.Elem, "physical_block_size", b.PhysicalBlockSize)
	if b.PhysicalBlockSize != 0 && b.PhysicalBlockSize < b.LogicalBlockSize {
		v.fail(&b.Elem, "@physical_block_size", `physical_block_size="%d" is less than logical_block_size, which is %d`,
			b.PhysicalBlockSize, b.LogicalBlockSize)
	}
}

func (v *validator) diskTarget(d *Disk, targets map[string]*Disk) {
	if d.src.child("target") == nil {
		v.fail(&d.Elem, "", "element <target> is missing")
		return
	}
	dev := d.Target.Dev
	if dev == "" {
		return // reported where it was read
	}
	if first := targets[dev]; first != nil {
		v.fail(&d.Elem, "target@dev", "dev=%q stands twice, first at %s", dev, first.Path())
	} else {
		targets[dev] = d
	}
	if _, _, ok := splitTarget(dev); !ok && d.Address == nil {
		v.fail(&d.Elem, "target@dev", "dev=%q is not a disk's name such as hda, sdb, vdc or fda", clip(dev))
	}
}

func (v *validator) diskSource(d *Disk) {
	s := d.Source
	if s == nil {
		if d.Device == DeviceDisk || d.Device == "" || d.Device == DeviceLUN || d.Type == DiskNetwork {
			v.fail(&d.Elem, "", "element <source> is missing; only a cdrom or floppy can be empty")
		}
		return
	}
	needed, value := "", ""
	switch d.Type {
	case DiskFile, "":
		needed, value = "file", s.File
	case DiskBlock:
		needed, value = "dev", s.Dev
	case DiskDir:
		needed, value = "dir", s.Dir
	case DiskNetwork:
		v.networkSource(d)
		return
	default:
		return // newer types, which Unsupported names
	}
	empties := d.Device == DeviceCDROM || d.Device == DeviceFloppy
	if value == "" && !empties {
		v.fail(&s.Elem, "", "attribute %s is missing", needed)
		return
	}
	v.absolute(&s.Elem, "@"+needed, value)
}

func (v *validator) networkSource(d *Disk) {
	s := d.Source
	if s.Protocol == "" {
		if s.src.attr("protocol") == nil {
			v.fail(&s.Elem, "", "attribute protocol is missing")
		}
		return
	}
	if s.Name == "" && (s.Protocol == "rbd" || s.Protocol == "sheepdog") {
		v.fail(&s.Elem, "", "protocol=%q needs the attribute name, the image's", s.Protocol)
	}
	switch n := len(s.Hosts); {
	case s.Protocol == "nbd" && n != 1:
		v.fail(&s.Elem, "", `protocol="nbd" needs exactly one <host>, and there are %d`, n)
	case s.Protocol == "rbd" && n == 0:
		v.fail(&s.Elem, "", `protocol="rbd" needs a <host>`)
	case s.Protocol == "sheepdog" && n > 1:
		v.fail(&s.Elem, "", `protocol="sheepdog" needs one <host> or none, and there are %d`, n)
	}
	if s.TLS == Yes && s.Protocol == "nbd" && s.TLSHostname == "" && len(s.Hosts) == 1 && s.Hosts[0].Transport == "unix" {
		v.fail(&s.Elem, "", "attribute tlsHostname is missing: a unix socket has no name that a certificate could be for")
	}
	for _, h := range s.Hosts {
		if h.Transport == "unix" {
			v.unixHost(h)
			continue
		}
		if h.Socket != "" {
			v.fail(&h.Elem, "@socket", `socket is only for transport="unix"`)
		}
		if h.Name == "" {
			v.fail(&h.Elem, "", "attribute name is missing")
		}
		if h.Port == 0 && h.src.attr("port") == nil && s.Protocol == "nbd" {
			v.fail(&h.Elem, "", "attribute port is missing")
		}
	}
}

func (v *validator) unixHost(h *DiskHost) {
	switch {
	case h.Name != "" || h.Port != 0:
		v.fail(&h.Elem, "", `transport="unix" has a socket, and no name or port`)
	case h.Socket == "":
		v.fail(&h.Elem, "", "attribute socket is missing")
	case len(h.Socket) > maxSocketPath:
		v.fail(&h.Elem, "@socket", "socket is longer than the %d bytes of a unix socket's path", maxSocketPath)
	default:
		v.absolute(&h.Elem, "@socket", h.Socket)
	}
}

// diskDevice checks that the bus can have such a device.
func (v *validator) diskDevice(d *Disk) {
	bus := d.Bus()
	switch {
	case d.Device == DeviceFloppy && bus != BusFDC:
		v.fail(&d.Elem, "target@bus", `a floppy must be on bus="fdc", not %q`, string(bus))
	case d.Device == DeviceFloppy && d.Target.Dev != "" && !strings.HasPrefix(d.Target.Dev, "fd"):
		v.fail(&d.Elem, "target@dev", "dev=%q: a floppy's name begins with fd", clip(d.Target.Dev))
	case d.Device != DeviceFloppy && bus == BusFDC:
		v.fail(&d.Elem, "target@bus", `bus="fdc" can only have a floppy, not a %s`, d.device())
	case d.Device == DeviceCDROM && bus == BusVirtio:
		v.fail(&d.Elem, "target@bus", `a cdrom cannot be on bus="virtio"; use ide, scsi, sata or usb`)
	}
	if d.Target.Tray != "" && !d.Removable() {
		v.fail(&d.Elem, "target@tray", "tray is only for a cdrom or floppy, not a %s", d.device())
	}
}

// diskAddress checks the unit that a disk has on its controller, whether written or following from
// its name.
func (v *validator) diskAddress(d *Disk, units map[string]*Disk) {
	bus := d.Bus()
	if d.Address != nil && d.Address.Type != AddressDrive {
		return // checked with the address types
	}
	a, ok := d.driveAddress()
	if !ok {
		return
	}
	where := "target@dev"
	if d.Address != nil {
		where = "address"
	}
	switch {
	case bus == BusIDE && (a.Controller > 0 || a.Bus > 1 || a.Target > 0 || a.Unit > 1):
		v.fail(&d.Elem, where, "%s has no place: a pc has one IDE controller with 2 buses of 2 units", d.unitName(a))
		return
	case bus == BusFDC && (a.Controller > 0 || a.Bus > 0 || a.Target > 0 || a.Unit > 1):
		v.fail(&d.Elem, where, "%s has no place: a pc has one floppy controller with 2 units", d.unitName(a))
		return
	}
	key := string(bus) + " " + a.String()
	if first := units[key]; first != nil {
		v.fail(&d.Elem, where, "%s is taken by %s", d.unitName(a), first.Path())
		return
	}
	units[key] = d
}

// unitName names a disk's place for a message.
func (d *Disk) unitName(a DriveAddress) string {
	return string(d.Bus()) + " unit " + a.String()
}

func (d *Disk) device() DiskDevice {
	if d.Device == "" {
		return DeviceDisk
	}
	return d.Device
}
