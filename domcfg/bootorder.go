package domcfg

import (
	"cmp"
	"slices"
)

// BootKind is a list of Devices that has devices to boot from.
type BootKind string

// The values of BootKind.
const (
	BootDisk      BootKind = "disk"
	BootInterface BootKind = "interface"
	BootHostdev   BootKind = "hostdev"
)

// A BootDevice names a device that the guest can be booted from.
type BootDevice struct {
	Kind  BootKind
	Index int // in the list of Devices that Kind names
}

// BootOrder returns the devices to boot from, in the order in which they are to be tried.
//
// Where devices have a boot order of their own, it is those, the lowest number first. Else each
// element boot in os stands for the first device of its class: hd, cdrom and fd for the first such
// disk, network for the first interface. Disks count as libvirt counts them: those on one bus in the
// order of their targets' names, hda before hdb, wherever they stand in the file. Without any such
// element it is the first hard disk.
//
// A class of which there is no device is left out; Validate reports it. The order is empty when
// there is nothing to boot from that was asked for.
func (d *Domain) BootOrder() []BootDevice {
	if list := d.Devices.ownOrders(); len(list) > 0 {
		return list
	}
	classes := []string{"hd"}
	if d.OS != nil && len(d.OS.Boot) > 0 {
		classes = nil
		for _, b := range d.OS.Boot {
			if !slices.Contains(classes, b.Dev) {
				classes = append(classes, b.Dev)
			}
		}
	}
	var list []BootDevice
	for _, class := range classes {
		if dev, ok := d.Devices.firstOf(class); ok {
			list = append(list, dev)
		}
	}
	return list
}

// BootloaderDisk returns the index of the disk that a host bootloader looks at, the first hard
// disk. It is false when there is none.
func (d *Domain) BootloaderDisk() (index int, ok bool) {
	dev, ok := d.Devices.firstOf("hd")
	return dev.Index, ok
}

// BootsDirectly reports whether the guest is started in a kernel, which os names or which a host
// bootloader finds, with no firmware before it.
func (d *Domain) BootsDirectly() bool {
	return d.OS != nil && d.OS.Loader.Path == "" && (d.OS.Kernel != "" || d.Bootloader != "")
}

// ownOrders returns the devices that have a boot order of their own.
func (v *Devices) ownOrders() []BootDevice {
	type entry struct {
		BootDevice
		order uint
	}
	var entries []entry
	add := func(kind BootKind, index int, order uint) {
		if order != 0 {
			entries = append(entries, entry{BootDevice{kind, index}, order})
		}
	}
	for i, k := range v.Disks {
		add(BootDisk, i, k.BootOrder)
	}
	for i, n := range v.Interfaces {
		add(BootInterface, i, n.BootOrder)
	}
	for i, h := range v.Hostdevs {
		add(BootHostdev, i, h.BootOrder)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.order, b.order) })
	var list []BootDevice
	for _, e := range entries {
		list = append(list, e.BootDevice)
	}
	return list
}

// firstOf returns the first device of a class that an element boot in os names.
func (v *Devices) firstOf(class string) (BootDevice, bool) {
	if class == "network" {
		return BootDevice{Kind: BootInterface}, len(v.Interfaces) > 0
	}
	for _, i := range v.disksByTarget() {
		if v.Disks[i].bootClass() == class {
			return BootDevice{Kind: BootDisk, Index: i}, true
		}
	}
	return BootDevice{}, false
}

// disksByTarget returns the indices of all disks in libvirt's order: bus by bus as the file first
// names them, and on each bus by the targets' names.
func (v *Devices) disksByTarget() []int {
	buses := make(map[Bus]int)
	order := make([]int, len(v.Disks))
	for i, k := range v.Disks {
		order[i] = i
		if _, known := buses[k.Bus()]; !known {
			buses[k.Bus()] = len(buses)
		}
	}
	number := func(k *Disk) uint {
		_, i, _ := splitTarget(k.Target.Dev)
		return i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := v.Disks[a], v.Disks[b]
		return cmp.Or(cmp.Compare(buses[x.Bus()], buses[y.Bus()]), cmp.Compare(number(x), number(y)))
	})
	return order
}

// bootClass returns the word for the disk in an element boot in os.
func (d *Disk) bootClass() string {
	switch d.Device {
	case DeviceCDROM:
		return "cdrom"
	case DeviceFloppy:
		return "fd"
	}
	return "hd"
}
