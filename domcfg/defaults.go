package domcfg

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"
)

// SetDefaults fills in what was not given the way libvirt does: the rest of the description then
// needs no knowledge of defaults. Random is only read when neither the domain nor its sysinfo has
// a UUID; all else follows from the domain, so that the same domain always gets the same. More
// current memory than there is memory is lowered to that.
//
// Devices that others call for are added: the first console and serial port for each other, and a
// video card and a mouse for graphics. They carry the position of the device that called for them.
// A domain that says nothing of a memory balloon gets one on virtio.
//
// The error is that random could not be read.
func (d *Domain) SetDefaults(random io.Reader) error {
	if d.UUID == (UUID{}) {
		d.UUID = d.sysinfoUUID()
	}
	// What is derived from the domain's identity must not change with each run, as a random UUID does.
	identity := d.UUID.String() + "/" + d.Name
	if d.UUID == (UUID{}) {
		if err := d.makeUUID(random); err != nil {
			return fmt.Errorf("making a UUID: %w", err)
		}
	}
	fill(&d.CurrentMemory, d.Memory)
	d.CurrentMemory = min(d.CurrentMemory, d.Memory)
	fill(&d.VCPU.Count, 1)
	if d.OS == nil {
		d.OS = &OS{Type: "hvm"}
	}
	fill(&d.OS.Arch, "x86_64")
	fill(&d.OS.Machine, "pc")
	if d.Features == nil {
		d.Features = &Features{}
	}
	if p := d.CPU; p != nil {
		if p.Model != "" {
			fill(&p.Match, "exact")
		}
		for _, f := range p.Features {
			fill(&f.Policy, "require")
		}
	}
	if d.Clock == nil {
		d.Clock = &Clock{}
	}
	fill(&d.Clock.Offset, ClockUTC)
	fill(&d.OnPoweroff, ActionDestroy)
	fill(&d.OnReboot, ActionRestart)
	fill(&d.OnCrash, ActionDestroy)
	d.Devices.setDefaults(d, identity)
	return nil
}

// Online returns how many virtual CPUs run from the start.
func (v VCPU) Online() uint { return cmp.Or(v.Current, v.Count, 1) }

// fill sets a value that was not given.
func fill[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// sysinfoUUID returns the UUID that sysinfo has, if any.
func (d *Domain) sysinfoUUID() UUID {
	if d.SysInfo == nil {
		return UUID{}
	}
	text, _ := Entry(d.SysInfo.System, "uuid")
	uuid, err := ParseUUID(text)
	if err != nil {
		return UUID{}
	}
	return uuid
}

// makeUUID makes a random UUID of version 4 (RFC 4122, section 4.4).
func (d *Domain) makeUUID(random io.Reader) error {
	if _, err := io.ReadFull(random, d.UUID[:]); err != nil {
		return err
	}
	d.UUID[6] = d.UUID[6]&0x0f | 0x40
	d.UUID[8] = d.UUID[8]&0x3f | 0x80
	return nil
}

func (v *Devices) setDefaults(d *Domain, identity string) {
	for _, k := range v.Disks {
		k.setDefaults()
	}
	for _, f := range v.Filesystems {
		fill(&f.Type, "mount")
		if f.Type == "mount" {
			fill(&f.AccessMode, "passthrough")
		}
	}
	if (d.Type == TypeKVM || d.Type == TypeQEMU) && len(v.MemBalloons) == 0 {
		v.MemBalloons = append(v.MemBalloons, &MemBalloon{DeviceInfo: DeviceInfo{Elem: Elem{src: d.src}}, Model: "virtio"})
	}
	v.numberControllers()
	v.makeMACs(identity)
	for _, i := range v.Interfaces {
		fill(&i.Model, "rtl8139")
		if i.nameGivenOut() {
			i.TargetDev = ""
		}
		if i.Type == InterfaceDirect {
			fill(&i.Source.Mode, "vepa")
		}
		if i.runsDefaultScript() {
			i.Script = new("/etc/qemu-ifup")
		}
	}
	for _, h := range v.Hostdevs {
		fill(&h.Mode, "subsystem")
		fill(&h.Managed, No)
	}
	for _, s := range v.Smartcards {
		if s.Mode == "host-certificates" {
			fill(&s.Database, "/etc/pki/nssdb")
		}
		if s.Backend != nil {
			s.Backend.setDefaults()
		}
	}
	for _, w := range v.Watchdogs {
		fill(&w.Action, WatchdogReset)
	}
	for _, r := range v.Rngs {
		r.setDefaults()
	}
	for _, p := range v.Panics {
		fill(&p.Model, "isa")
	}
	v.setDisplayDefaults()
	v.setCharDefaults()
}

func (k *Disk) setDefaults() {
	fill(&k.Type, DiskFile)
	fill(&k.Device, DeviceDisk)
	fill(&k.Target.Bus, k.Bus())
	if k.Driver == nil {
		k.Driver = &DiskDriver{}
	}
	fill(&k.Driver.Name, "qemu")
	if k.Type == DiskDir {
		fill(&k.Driver.Type, "fat")
	}
	fill(&k.Driver.Type, "raw") // never found out from the content, which is the guest's
	if k.Device == DeviceCDROM || k.Type == DiskDir {
		k.ReadOnly = true
	}
}

func (r *Rng) setDefaults() {
	if r.Backend.Model == RngRandom {
		fill(&r.Backend.Path, "/dev/urandom")
	}
	if r.Backend.EGD != nil {
		r.Backend.EGD.setDefaults()
	}
	if r.Rate != nil {
		fill(&r.Rate.Period, 1000)
	}
}

// numberControllers gives each controller without index the next free one of its type.
func (v *Devices) numberControllers() {
	indices := make(map[ControllerType][]**uint)
	for _, t := range v.Controllers {
		indices[t.Type] = append(indices[t.Type], &t.Index)
	}
	for _, list := range indices {
		numberFree(list)
	}
}

// makeMACs gives each interface without MAC one of QEMU's and KVM's block 52:54:00. It follows from
// the domain's identity and the interface's place, so that it stays the same.
func (v *Devices) makeMACs(identity string) {
	taken := make(map[MAC]bool)
	for _, i := range v.Interfaces {
		taken[i.MAC] = true
	}
	for n, i := range v.Interfaces {
		for try := 0; i.MAC == (MAC{}); try++ {
			sum := sha256.Sum256([]byte(identity + "/" + strconv.Itoa(n) + "/" + strconv.Itoa(try)))
			mac := MAC{0x52, 0x54, 0x00, sum[0], sum[1], sum[2]}
			if !taken[mac] {
				taken[mac] = true
				i.MAC = mac
			}
		}
	}
}

func (v *Devices) setDisplayDefaults() {
	for _, g := range v.Graphics {
		switch g.Type {
		case "vnc", "spice", "rdp":
			if g.Port == 0 && g.TLSPort == 0 && g.Socket == "" {
				g.Port = -1
			}
			if g.Port == -1 {
				fill(&g.AutoPort, Yes)
			}
			if g.Socket == "" && len(g.Listens) == 0 {
				fill(&g.Listen, "127.0.0.1")
			}
		case "sdl", "desktop":
			fill(&g.Fullscreen, No)
		}
	}
	for _, i := range v.Inputs {
		if i.Type == "tablet" {
			fill(&i.Bus, "usb")
		}
		fill(&i.Bus, "ps2")
	}
	if len(v.Graphics) > 0 {
		cause := Elem{src: v.Graphics[0].src}
		if len(v.Videos) == 0 {
			v.Videos = append(v.Videos, &Video{DeviceInfo: DeviceInfo{Elem: cause}, Model: VideoModel{Type: "cirrus"}})
		}
		if !v.hasPS2Mouse() {
			v.Inputs = append(v.Inputs, &Input{DeviceInfo: DeviceInfo{Elem: cause}, Type: "mouse", Bus: "ps2"})
		}
	}
	for _, c := range v.Videos {
		m := &c.Model
		switch m.Type {
		case "none":
			continue
		case "qxl":
			fill(&m.VRAM, 65536)
		case "vga":
			fill(&m.VRAM, 16384) // the next power of 2 from the document's, as later versions have it
		default:
			fill(&m.VRAM, 9216)
		}
		fill(&m.Heads, 1)
	}
}

func (v *Devices) hasPS2Mouse() bool {
	for _, i := range v.Inputs {
		if i.Type == "mouse" && i.Bus == "ps2" {
			return true
		}
	}
	return false
}

func (v *Devices) setCharDefaults() {
	v.pairConsole()
	serials := make([]**uint, len(v.Serials))
	for i, s := range v.Serials {
		s.CharBackend.setDefaults()
		serials[i] = &s.Port
	}
	numberFree(serials)
	parallels := make([]**uint, len(v.Parallels))
	for i, p := range v.Parallels {
		p.CharBackend.setDefaults()
		parallels[i] = &p.Port
	}
	numberFree(parallels)
	consoles := make([]**uint, len(v.Consoles))
	for i, s := range v.Consoles {
		s.CharBackend.setDefaults()
		fill(&s.TargetType, "serial")
		consoles[i] = &s.Port
	}
	numberFree(consoles)
	for _, s := range v.Channels {
		s.CharBackend.setDefaults()
		if s.TargetType == "virtio" {
			s.TargetName = s.portName()
		}
	}
}

// pairConsole makes the first console and the first serial port one: each brings the other with
// it, and where both are written the serial port's host end counts.
func (v *Devices) pairConsole() {
	switch {
	case len(v.Consoles) == 0 && len(v.Serials) > 0:
		s := v.Serials[0]
		v.Consoles = append(v.Consoles, &Console{
			DeviceInfo:  DeviceInfo{Elem: Elem{src: s.src}},
			CharBackend: s.CharBackend.copy(),
			TargetType:  "serial",
		})
	case len(v.Consoles) == 0 || !v.Consoles[0].IsSerial():
	case len(v.Serials) == 0:
		s := v.Consoles[0]
		v.Serials = append(v.Serials, &Serial{
			DeviceInfo:  DeviceInfo{Elem: Elem{src: s.src}},
			CharBackend: s.CharBackend.copy(),
			Port:        new(uint(0)),
		})
	default:
		v.Consoles[0].CharBackend = v.Serials[0].CharBackend.copy()
	}
}

func (b *CharBackend) copy() CharBackend {
	c := *b
	c.Sources = nil
	for _, s := range b.Sources {
		c.Sources = append(c.Sources, new(*s))
	}
	if b.Log != nil {
		c.Log = new(*b.Log)
	}
	return c
}

func (b *CharBackend) setDefaults() {
	if b.Type == CharTCP {
		fill(&b.Protocol, "raw")
	}
	for _, s := range b.Sources {
		if b.Type == CharTCP || b.Type == CharUDP || b.Type == CharUnix {
			fill(&s.Mode, ModeConnect)
		}
	}
}

// numberFree gives each port or controller without number the next free one.
func numberFree(list []**uint) {
	taken := make(map[uint]bool)
	for _, p := range list {
		if *p != nil {
			taken[**p] = true
		}
	}
	next := uint(0)
	for _, p := range list {
		if *p != nil {
			continue
		}
		for taken[next] {
			next++
		}
		taken[next] = true
		*p = new(next)
	}
}
