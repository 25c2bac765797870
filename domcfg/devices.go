package domcfg

// Devices is the element devices: one list for each kind of device, in the order of the file.
type Devices struct {
	Emulator string // path of a device model; there is none to run here

	Disks       []*Disk
	Controllers []*Controller
	Filesystems []*Filesystem
	Interfaces  []*Interface
	Smartcards  []*Smartcard
	Serials     []*Serial
	Parallels   []*Parallel
	Consoles    []*Console
	Channels    []*Channel
	Inputs      []*Input
	Graphics    []*Graphics
	Sounds      []*Sound
	Videos      []*Video
	Hostdevs    []*Hostdev
	Watchdogs   []*Watchdog
	MemBalloons []*MemBalloon
	Rngs        []*Rng   // newer than the document
	Panics      []*Panic // newer than the document
}

func (v *Devices) code(c *coder) {
	c.leaf("emulator").str(&v.Emulator)
	children(c, "disk", &v.Disks)
	children(c, "controller", &v.Controllers)
	children(c, "filesystem", &v.Filesystems)
	children(c, "interface", &v.Interfaces)
	children(c, "smartcard", &v.Smartcards)
	children(c, "serial", &v.Serials)
	children(c, "parallel", &v.Parallels)
	children(c, "console", &v.Consoles)
	children(c, "channel", &v.Channels)
	children(c, "input", &v.Inputs)
	children(c, "graphics", &v.Graphics)
	children(c, "sound", &v.Sounds)
	children(c, "video", &v.Videos)
	children(c, "hostdev", &v.Hostdevs)
	children(c, "watchdog", &v.Watchdogs)
	children(c, "memballoon", &v.MemBalloons)
	children(c, "rng", &v.Rngs)
	children(c, "panic", &v.Panics)
}

// DeviceInfo is what the elements of all devices have in common.
type DeviceInfo struct {
	Elem
	Alias   string // newer than the document: the device's name
	Address *Address
}

func (i *DeviceInfo) info() *DeviceInfo { return i }

// codeInfo codes the elements alias and address, the last of every device.
func (i *DeviceInfo) codeInfo(c *coder) {
	c.group("alias", func(c *coder) { c.attr("name").str(&i.Alias) })
	child(c, "address", &i.Address)
}

// codeBoot codes the boot order of a device.
func codeBoot(c *coder, order *uint) {
	c.group("boot", func(c *coder) { number(c.attr("order").required(), order, 1, 1<<31-1) })
}

// Input is an element input: a pointer or keyboard.
type Input struct {
	DeviceInfo
	Type string // mouse or tablet; newer: keyboard, passthrough, evdev
	Bus  string // ps2, usb or xen; newer: virtio
}

func (i *Input) code(c *coder) {
	enum(c.attr("type").required(), &i.Type, "mouse", "tablet", "keyboard", "passthrough", "evdev")
	enum(c.attr("bus"), &i.Bus, "xen", "ps2", "usb", "virtio", "parallels", "none")
	i.codeInfo(c)
}

// Sound is an element sound: a sound card.
type Sound struct {
	DeviceInfo
	Model string // es1370, sb16, ac97, ich6 or pcspk; newer: ich7, ich9, usb, virtio
}

func (s *Sound) code(c *coder) {
	enum(c.attr("model").required(), &s.Model, "es1370", "sb16", "ac97", "ich6", "pcspk",
		"ich7", "ich9", "usb", "virtio")
	s.codeInfo(c)
}

// Watchdog is an element watchdog.
type Watchdog struct {
	DeviceInfo
	Model  WatchdogModel
	Action WatchdogAction // WatchdogReset if absent
}

func (w *Watchdog) code(c *coder) {
	enum(c.attr("model").required(), &w.Model, WatchdogI6300ESB, WatchdogIB700, "diag288", "itco")
	enum(c.attr("action"), &w.Action, WatchdogActions()...)
	w.codeInfo(c)
}

// MemBalloon is an element memballoon.
type MemBalloon struct {
	DeviceInfo
	Model string // virtio, xen or none

	// Newer than the document.
	AutoDeflate       OnOff // give memory back to a guest that has run out of it
	FreePageReporting OnOff // let the guest tell which of its pages are free
	StatsPeriod       uint  // seconds from one reading of its statistics to the next; 0 for none
}

func (m *MemBalloon) code(c *coder) {
	enum(c.attr("model").required(), &m.Model, "virtio", "xen", "none", "virtio-transitional", "virtio-non-transitional")
	c.attr("autodeflate").onOff(&m.AutoDeflate)
	c.attr("freePageReporting").onOff(&m.FreePageReporting)
	c.group("stats", func(c *coder) { number(c.attr("period"), &m.StatsPeriod, 0, 1<<31-1) })
	m.codeInfo(c)
}

// Filesystem is an element filesystem: a folder of the host for the guest.
type Filesystem struct {
	DeviceInfo
	Type       string // mount, template, file or block
	AccessMode string // passthrough, mapped or squash
	SourceDir  string // for mount
	SourceName string // for template
	Target     string // the tag that the guest mounts by
	ReadOnly   bool
}

func (f *Filesystem) code(c *coder) {
	enum(c.attr("type"), &f.Type, "mount", "template", "file", "block", "ram", "bind", "volume")
	enum(c.attr("accessmode"), &f.AccessMode, "passthrough", "mapped", "squash")
	c.group("source", func(c *coder) {
		c.attr("dir").str(&f.SourceDir)
		c.attr("name").str(&f.SourceName)
	})
	c.group("target", func(c *coder) { c.attr("dir").str(&f.Target) })
	c.flag("readonly", &f.ReadOnly)
	f.codeInfo(c)
}
