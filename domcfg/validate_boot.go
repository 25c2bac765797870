package domcfg

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

func (v *validator) boot() {
	o := v.d.OS
	if o == nil {
		return
	}
	if o.src.child("type") == nil {
		v.fail(&o.Elem, "", "element <type> is missing")
	}
	v.absolute(&o.Elem, "loader", o.Loader.Path)
	v.absolute(&o.Elem, "kernel", o.Kernel)
	v.absolute(&o.Elem, "initrd", o.Initrd)
	if o.Kernel == "" {
		if o.Initrd != "" {
			v.fail(&o.Elem, "initrd", "an initrd needs a <kernel> beside it")
		}
		if o.Cmdline != "" {
			v.fail(&o.Elem, "cmdline", "a command line needs a <kernel> beside it")
		}
	}
	if o.SMBIOSMode == SMBIOSSysinfo && v.d.SysInfo == nil {
		v.fail(&o.Elem, "smbios@mode", `mode="sysinfo" needs an element <sysinfo>`)
	}
}

func (v *validator) bootloader() {
	d := v.d
	if d.Bootloader == "" {
		return
	}
	v.absolute(&d.Elem, "bootloader", d.Bootloader)
	if d.OS != nil && d.OS.Kernel != "" {
		v.fail(&d.Elem, "bootloader", "a host bootloader finds the kernel, and <os> names one as well; one of them is needed")
	}
	if _, found := d.BootloaderDisk(); !found && d.OS != nil {
		v.fail(&d.Elem, "bootloader", "a host bootloader needs a hard disk to find the kernel in, and there is none")
	}
}

// bootClasses checks that for each element boot in os there is a device to boot from.
func (v *validator) bootClasses() {
	o := v.d.OS
	if o == nil || v.d.BootsDirectly() {
		return // nothing asks for them
	}
	missing := map[string]string{"hd": "hard disk", "cdrom": "CD-ROM drive", "fd": "floppy drive", "network": "network interface"}
	for class := range missing {
		if _, found := v.d.Devices.firstOf(class); found {
			delete(missing, class)
		}
	}
	have := v.d.Devices.bootable()
	for _, b := range o.Boot {
		if name := missing[b.Dev]; name != "" {
			v.fail(&b.Elem, "@dev", "dev=%q: the domain has no %s to boot from; %s", b.Dev, name, have)
		}
	}
}

// bootable tells what there is to boot from.
func (v *Devices) bootable() string {
	targets := make(map[string][]string)
	for _, i := range v.disksByTarget() {
		class := v.Disks[i].bootClass()
		targets[class] = append(targets[class], v.Disks[i].Target.Dev)
	}
	var have []string
	for _, class := range []string{"hd", "cdrom", "fd"} {
		if list := targets[class]; len(list) > 0 {
			have = append(have, class+" ("+clip(strings.Join(list, ", "))+")")
		}
	}
	if n := len(v.Interfaces); n > 0 {
		have = append(have, "network ("+strconv.Itoa(n)+")")
	}
	if have == nil {
		return "it has nothing that can be"
	}
	return "it has " + strings.Join(have, ", ")
}

// bootOrders checks the boot elements of devices against each other and against those of os.
func (v *validator) bootOrders() {
	type device struct {
		*Elem
		order uint
	}
	var devices []device
	for _, d := range v.d.Devices.Disks {
		devices = append(devices, device{&d.Elem, d.BootOrder})
	}
	for _, i := range v.d.Devices.Interfaces {
		devices = append(devices, device{&i.Elem, i.BootOrder})
	}
	for _, h := range v.d.Devices.Hostdevs {
		devices = append(devices, device{&h.Elem, h.BootOrder})
	}
	slices.SortStableFunc(devices, func(a, b device) int { return a.Pos().compare(b.Pos()) })
	general := v.d.OS != nil && len(v.d.OS.Boot) > 0
	orders := make(map[uint]device)
	for _, dev := range devices {
		if dev.order == 0 {
			continue
		}
		if general {
			v.fail(dev.Elem, "boot", "a device's boot order cannot be used together with <boot> in <os>, in line %d", v.d.OS.Boot[0].line())
		}
		if first, taken := orders[dev.order]; taken {
			v.fail(dev.Elem, "boot@order", `order="%d" stands twice, first at %s`, dev.order, first.Path())
			continue
		}
		orders[dev.order] = dev
	}
}

func (v *validator) sysinfo() {
	s := v.d.SysInfo
	if s == nil || s.Type != "smbios" {
		return
	}
	for _, e := range s.BIOS {
		value := trimEntry(e.Value)
		switch {
		case value == "":
		case e.Name == "date":
			if !isBIOSDate(value) {
				v.fail(&e.Elem, "", "%q is not a date such as 12/31/2010 (mm/dd/yyyy or mm/dd/yy)", clip(e.Value))
			}
		case e.Name == "release":
			if !isBIOSRelease(value) {
				v.fail(&e.Elem, "", "%q is not a release such as 1.0: two numbers from 0 to 255", clip(e.Value))
			}
		}
	}
	for _, e := range s.System {
		if e.Name != "uuid" {
			continue
		}
		uuid, err := ParseUUID(e.Value)
		switch {
		case err != nil:
			v.fail(&e.Elem, "", "%q %v", clip(e.Value), err)
		case v.d.UUID != (UUID{}) && uuid != v.d.UUID:
			v.fail(&e.Elem, "", "%q differs from the domain's <uuid>, %s", clip(e.Value), v.d.UUID)
		}
	}
}

// isBIOSDate reports whether text is a date as SMBIOS has it (SMBIOS 7.1, BIOS Release Date).
func isBIOSDate(text string) bool {
	for _, layout := range []string{"01/02/2006", "01/02/06"} {
		if _, err := time.Parse(layout, text); err == nil {
			return true
		}
	}
	return false
}

// isBIOSRelease reports whether text is the major and minor release that SMBIOS has a byte each for.
func isBIOSRelease(text string) bool {
	major, minor, found := strings.Cut(text, ".")
	for _, part := range []string{major, minor} {
		if n, err := parseUint(part, 10); err != nil || n > 255 {
			return false
		}
	}
	return found
}
