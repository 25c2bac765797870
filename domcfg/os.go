package domcfg

// OS is the element os: how the guest is booted.
type OS struct {
	Elem
	Type    string // hvm; others are for Xen and containers
	Arch    string // x86_64 or i686
	Machine string // pc and its versions pc-*

	Loader  string // firmware image's path
	Kernel  string // kernel image's path, for a boot without firmware
	Initrd  string
	Cmdline string

	Boot       []*BootDev // in the order in which they are tried
	BootMenu   YesNo
	SMBIOSMode SMBIOSMode
}

// BootDev is an element boot within os.
type BootDev struct {
	Elem
	Dev string // fd, hd, cdrom or network
}

// SMBIOSMode is where the guest's SMBIOS values come from.
type SMBIOSMode string

// The values of SMBIOSMode.
const (
	SMBIOSEmulate SMBIOSMode = "emulate"
	SMBIOSHost    SMBIOSMode = "host"
	SMBIOSSysinfo SMBIOSMode = "sysinfo"
)

func (o *OS) code(c *coder) {
	c.group("type", func(c *coder) {
		c.attr("arch").str(&o.Arch)
		c.attr("machine").str(&o.Machine)
		enum(c.body().required(), &o.Type, "hvm", "linux", "xen", "xenpvh", "exe", "uml")
	})
	c.leaf("loader").str(&o.Loader)
	c.leaf("kernel").str(&o.Kernel)
	c.leaf("initrd").str(&o.Initrd)
	c.leaf("cmdline").str(&o.Cmdline)
	children(c, "boot", &o.Boot)
	c.group("bootmenu", func(c *coder) { c.attr("enable").required().yesNo(&o.BootMenu) })
	c.group("smbios", func(c *coder) {
		enum(c.attr("mode").required(), &o.SMBIOSMode, SMBIOSEmulate, SMBIOSHost, SMBIOSSysinfo)
	})
}

func (b *BootDev) code(c *coder) {
	enum(c.attr("dev").required(), &b.Dev, "fd", "hd", "cdrom", "network")
}

// SysInfo is the element sysinfo: the values of the guest's SMBIOS blocks 0 (bios) and 1 (system).
type SysInfo struct {
	Elem
	Type   string // smbios
	BIOS   []*SysInfoEntry
	System []*SysInfoEntry
}

// SysInfoEntry is one field of an SMBIOS block.
type SysInfoEntry struct {
	Elem
	Name  string
	Value string
}

// Entry returns the value of the last entry of that name; libvirt lets the last one win.
func Entry(entries []*SysInfoEntry, name string) (value string, found bool) {
	for _, e := range entries {
		if e.Name == name {
			value, found = e.Value, true
		}
	}
	return value, found
}

func (s *SysInfo) code(c *coder) {
	enum(c.attr("type").required(), &s.Type, "smbios", "fwcfg")
	c.group("bios", func(c *coder) { children(c, "entry", &s.BIOS) })
	c.group("system", func(c *coder) { children(c, "entry", &s.System) })
}

func (e *SysInfoEntry) code(c *coder) {
	c.attr("name").required().str(&e.Name)
	c.body().str(&e.Value)
}
