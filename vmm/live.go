package vmm

import (
	"bytes"
	"fmt"
	"strings"

	emulated "github.com/govmm/govmm/devices/nic"
	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/virtio/blk"
	virtionet "github.com/govmm/govmm/virtio/net"
)

// LiveXML is the domain as it runs: its file with defaults and addresses, and what the
// host has chosen for it, such as the names of ptys and taps. id is the domain's id,
// which a program chooses for its machines. media are the images that are in drives
// now, by target, empty for none; a drive that is not among them is as in the file.
func (m *Machine) LiveXML(id uint, media map[string]string) (string, error) {
	var text bytes.Buffer
	if err := m.domain.Format(&text); err != nil {
		return "", err
	}
	d, _, err := domcfg.Parse(m.domain.Name, &text) // a copy
	if err != nil {
		return "", fmt.Errorf("the domain cannot be read again: %w", err)
	}
	d.ID = &id
	d.Name = m.Name()
	d.CurrentMemory = domcfg.KiB(m.Memory() >> 10)
	if d.Clock.Offset == domcfg.ClockVariable {
		d.Clock.Adjustment = m.clockAdjustment()
	}
	for _, k := range d.Devices.Disks {
		if file, ok := media[k.Target.Dev]; ok && k.Removable() {
			k.Type, k.Source = domcfg.DiskFile, nil
			if file != "" {
				k.Source = &domcfg.DiskSource{File: file}
			}
		}
	}
	for i, n := range m.board.nics {
		if n.host != "" {
			d.Devices.Interfaces[i].TargetDev = n.host
		}
	}
	for _, c := range m.Chardevs() {
		if b := backendOf(d, c.Alias); b != nil && b.Type == domcfg.CharPTY {
			b.Sources = []*domcfg.CharSource{{Path: c.Path}}
		}
	}
	if len(d.Devices.Serials) > 0 && len(d.Devices.Consoles) > 0 && d.Devices.Consoles[0].IsSerial() {
		d.Devices.Consoles[0].Sources = d.Devices.Serials[0].Sources // another name of it
	}
	text.Reset()
	err = d.Format(&text)
	return text.String(), err
}

// backendOf is the host end of a character device by its alias.
func backendOf(d *domcfg.Domain, alias string) *domcfg.CharBackend {
	kind := strings.TrimRight(alias, "0123456789")
	var index int
	if _, err := fmt.Sscan(alias[len(kind):], &index); err != nil {
		return nil
	}
	v := &d.Devices
	switch {
	case kind == "serial" && index < len(v.Serials):
		return &v.Serials[index].CharBackend
	case kind == "console" && index < len(v.Consoles):
		return &v.Consoles[index].CharBackend
	case kind == "channel" && index < len(v.Channels):
		return &v.Channels[index].CharBackend
	}
	return nil
}

// DiskStats are what a disk has asked of the host's since the machine was built. Floppy
// drives do not count.
type DiskStats struct {
	Target                      string // vda
	Size                        int64  // of a hard disk, in bytes; 0 for a drive
	Read, Write, Flush, Discard blk.OpStats
}

// DiskStats lists the disks on virtio and IDE in the order in which they were built.
func (m *Machine) DiskStats() []DiskStats {
	var list []DiskStats
	for _, d := range m.board.disks {
		var size int64
		if d.drive == nil { // its medium stays
			size = d.medium.Size()
		}
		switch d.config.Bus() {
		case domcfg.BusVirtio:
			s := d.device.Stats()
			list = append(list, DiskStats{d.name, size, s.Read, s.Write, s.Flush, s.Discard})
		case domcfg.BusIDE:
			s := m.board.ide.Stats(d.channel, d.unit)
			list = append(list, DiskStats{d.name, size, blk.OpStats(s.Read), blk.OpStats(s.Write), blk.OpStats(s.Flush), blk.OpStats(s.Discard)})
		}
	}
	return list
}

// NetStats is what a network interface has moved since the machine was built, however it
// is plugged in. Rx is what the guest receives.
type NetStats struct {
	Alias string // net0
	emulated.Stats
}

// NetStats lists the network interfaces in the order of the domain.
func (m *Machine) NetStats() []NetStats {
	var list []NetStats
	for _, n := range m.board.nics {
		s := NetStats{Alias: n.alias}
		switch card := n.device.(type) {
		case interface{ Stats() emulated.Stats }:
			s.Stats = card.Stats()
		case interface{ Stats() virtionet.Stats }:
			v := card.Stats()
			s.Stats = emulated.Stats{
				RxBytes: v.RxBytes, RxPackets: v.RxPackets, RxErrs: v.RxErrs, RxDrop: v.RxDrop,
				TxBytes: v.TxBytes, TxPackets: v.TxPackets, TxErrs: v.TxErrs, TxDrop: v.TxDrop,
			}
		}
		list = append(list, s)
	}
	return list
}
