package domcfg

import (
	"fmt"
	"strconv"
	"strings"
)

// OS is the element os: how the guest is booted.
type OS struct {
	Elem
	Type    string // hvm; others are for Xen and containers
	Arch    string // x86_64 or i686
	Machine string // pc and its versions pc-*

	Loader  Loader
	Kernel  string // kernel image's path, for a boot without firmware unless there is a loader
	Initrd  string
	Cmdline string

	Boot       []*BootDev // in the order in which they are tried; BootOrder has what they mean
	BootMenu   BootMenu
	BIOS       BIOS       // newer than the document
	SMBIOSMode SMBIOSMode // empty for emulate
}

// Loader is the element loader within os: the firmware.
type Loader struct {
	Path string // image's path; empty for the usual firmware

	// Newer than the document.
	Type     string // rom (also if empty) or pflash
	ReadOnly YesNo
	Secure   YesNo // firmware that needs system management mode
}

// BootDev is an element boot within os.
type BootDev struct {
	Elem
	Dev string // fd, hd, cdrom or network
}

// BootMenu is the element bootmenu within os: the firmware's question from what to boot.
type BootMenu struct {
	Enable  YesNo // no if empty
	Timeout *uint // newer than the document: milliseconds, 0 to 65535; nil for the firmware's own
}

// BIOS is the element bios within os: settings of the firmware. It is newer than the document.
type BIOS struct {
	UseSerial     YesNo // whether the firmware's texts are shown on the first serial port
	RebootTimeout *int  // milliseconds from a failed boot to the next try, 0 to 65535; -1 never; nil for the firmware's own
}

// SMBIOSMode is where the guest's SMBIOS values come from.
type SMBIOSMode string

// The values of SMBIOSMode.
const (
	SMBIOSEmulate SMBIOSMode = "emulate"
	SMBIOSHost    SMBIOSMode = "host"
	SMBIOSSysinfo SMBIOSMode = "sysinfo"
)

// maxFirmwareWait is the longest time in milliseconds that can be told to the firmware: it has 16 bits.
const maxFirmwareWait = 65535

func (o *OS) code(c *coder) {
	c.group("type", func(c *coder) {
		c.attr("arch").str(&o.Arch)
		c.attr("machine").str(&o.Machine)
		enum(c.body().required(), &o.Type, "hvm", "linux", "xen", "xenpvh", "exe", "uml")
	})
	c.group("loader", o.Loader.code)
	c.leaf("kernel").str(&o.Kernel)
	c.leaf("initrd").str(&o.Initrd)
	c.leaf("cmdline").str(&o.Cmdline)
	children(c, "boot", &o.Boot)
	c.group("bootmenu", func(c *coder) {
		c.attr("enable").required().yesNo(&o.BootMenu.Enable)
		optional(c.attr("timeout"), &o.BootMenu.Timeout, 0, maxFirmwareWait)
	})
	c.group("bios", o.BIOS.code)
	c.group("smbios", func(c *coder) {
		enum(c.attr("mode").required(), &o.SMBIOSMode, SMBIOSEmulate, SMBIOSHost, SMBIOSSysinfo)
	})
}

func (l *Loader) code(c *coder) {
	c.attr("readonly").yesNo(&l.ReadOnly)
	c.attr("secure").yesNo(&l.Secure)
	enum(c.attr("type"), &l.Type, "rom", "pflash")
	c.body().str(&l.Path)
}

func (b *BootDev) code(c *coder) {
	enum(c.attr("dev").required(), &b.Dev, "fd", "hd", "cdrom", "network")
}

func (b *BIOS) code(c *coder) {
	c.attr("useserial").yesNo(&b.UseSerial)
	value(c.attr("rebootTimeout"), &b.RebootTimeout, parseRebootTimeout, func(n *int) string { return strconv.Itoa(*n) })
}

func parseRebootTimeout(text string) (*int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < -1 || n > maxFirmwareWait {
		return nil, fmt.Errorf("is not a number of milliseconds from 0 to %d, or -1 for never", maxFirmwareWait)
	}
	return &n, nil
}
