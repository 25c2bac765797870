package vmm

import (
	"github.com/govmm/govmm/devices/ide"
	"github.com/govmm/govmm/devices/timer"
	"github.com/govmm/govmm/domcfg"
)

// cmos is what the CMOS RAM tells the firmware.
func (m *Machine) cmos() timer.CMOS {
	c := timer.CMOS{CPUs: len(m.cpus), Mouse: true}
	if f := m.board.floppy; f != nil {
		for i := range c.Floppies {
			c.Floppies[i] = timer.FloppyType(f.DriveType(i)) // both are the CMOS RAM's numbers
		}
	}
	for channel := range ide.Channels {
		for unit := range ide.Units {
			if g, ok := m.board.ide.Geometry(channel, unit); ok {
				c.Disks[ide.Units*channel+unit] = cmosGeometry(g)
			}
		}
	}
	// For what the boot order of fw_cfg does not name.
	for i, b := range m.domain.BootOrder() {
		if i < len(c.Boot) {
			c.Boot[i] = m.cmosBootDevice(b)
		}
	}
	return c
}

// cmosGeometry chooses the translation as firmware has always done: none where
// the disk fits the BIOS's 1024 cylinders, else LBA.
func cmosGeometry(g ide.CHS) timer.DiskGeometry {
	d := timer.DiskGeometry{Cylinders: g.Cylinders, Heads: g.Heads, Sectors: g.Sectors, Translation: timer.TranslateLBA}
	if g.Cylinders <= 1024 {
		d.Translation = timer.TranslateNone
	}
	return d
}

func (m *Machine) cmosBootDevice(b domcfg.BootDevice) timer.BootDevice {
	if b.Kind != domcfg.BootDisk {
		return timer.BootNetwork
	}
	switch m.domain.Devices.Disks[b.Index].Device {
	case domcfg.DeviceCDROM:
		return timer.BootCDROM
	case domcfg.DeviceFloppy:
		return timer.BootFloppy
	}
	return timer.BootDisk
}
