package vmm

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/devices/ide"
	"github.com/govmm/govmm/domcfg"
)

// piixIDEFunction is the IDE function's place beside the bridge.
const piixIDEFunction = 1

// addIDE adds the IDE function, which every PC has, with the drives that the
// domain lists on it.
func (m *Machine) addIDE(ctx context.Context, w *wiring) error {
	o := ide.Options{Memory: m.ram, Firmware: m.boot.firmware == nil, Log: m.named("ide")}
	o.Lines[0], o.Lines[1] = w.line(ide.PrimaryIRQ), w.line(ide.SecondaryIRQ)
	var failed atomic.Bool // until Resume
	var cdroms []*disk
	for i, d := range m.domain.Devices.Disks {
		if d.Bus() != domcfg.BusIDE {
			continue
		}
		at := d.Address.Drive
		if at.Bus >= ide.Channels || at.Unit >= ide.Units {
			return diskError(i, d, fmt.Errorf("there is no place %v on the IDE controller", at))
		}
		drive, entry, err := m.ideDrive(ctx, d, &failed)
		if err != nil {
			return diskError(i, d, err)
		}
		o.Drives[at.Bus][at.Unit] = drive
		entry.channel, entry.unit = int(at.Bus), int(at.Unit)
		if d.Device == domcfg.DeviceCDROM {
			cdroms = append(cdroms, entry)
		}
	}
	controller, err := ide.New(o)
	if err != nil {
		return err
	}
	m.closer.add(controller.Close)
	for _, c := range cdroms {
		c.drive = &cdromDrive{controller.CDROM(c.channel, c.unit)}
	}
	m.board.ide = controller
	m.board.pausers = append(m.board.pausers, pauser{
		pause:  controller.Pause,
		resume: func() { failed.Store(false); controller.Resume() },
	})
	return errors.Join(
		m.addPorts(
			ports{ide.PrimaryCommandPort, ide.CommandPorts, "ide0", controller.CommandBlock(0)},
			ports{ide.PrimaryControlPort, ide.ControlPorts, "ide0 control", controller.ControlBlock(0)},
			ports{ide.SecondaryCommandPort, ide.CommandPorts, "ide1", controller.CommandBlock(1)},
			ports{ide.SecondaryControlPort, ide.ControlPorts, "ide1 control", controller.ControlBlock(1)},
		),
		m.board.pci.Add(controller, piixSlot, piixIDEFunction),
	)
}

// ideDrive opens a drive's host end and describes it.
func (m *Machine) ideDrive(ctx context.Context, d *domcfg.Disk, failed *atomic.Bool) (ide.DriveOptions, *disk, error) {
	entry := &disk{name: d.Target.Dev, config: d}
	backend, err := m.openMedium(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	entry.medium = backend
	m.noteDisk(entry)
	policy, err := block.ParseErrorPolicy(driverOf(d).ErrorPolicy)
	if err != nil {
		return nil, nil, err
	}
	name := d.Target.Dev
	report := ide.ErrorOptions{Policy: policy, OnError: func(e block.IOError) {
		m.events.publish(Event{Kind: EventIOError, Device: name, Err: e.Err, Write: e.Op != block.Read})
		if e.Action == block.StopOnError && !failed.Swap(true) {
			m.requestPause(fmt.Errorf("disk %s: %w", name, e.Err))
		}
	}}
	if d.Device == domcfg.DeviceCDROM {
		return &ide.CDROMOptions{Backend: backend, Serial: d.Serial, Errors: report, TrayMoved: func(open bool) {
			m.events.publish(Event{Kind: EventTray, Device: name, Open: open})
		}}, entry, nil
	}
	o := &ide.DiskOptions{Backend: backend, Serial: d.Serial, WWN: uint64(d.WWN), Errors: report}
	if d.BlockIO != nil {
		o.PhysicalBlockSize = int(d.BlockIO.PhysicalBlockSize)
	}
	return o, entry, nil
}

// cdromDrive is a CD-ROM drive as a drive whose medium can be changed.
type cdromDrive struct{ *ide.CDROM }

func (c *cdromDrive) fits(b block.Backend) error   { return ide.CheckMedium(b.Size()) }
func (c *cdromDrive) insert(b block.Backend) error { return c.Insert(b) }
func (c *cdromDrive) eject(force bool) error       { return c.Eject(force) }
func (c *cdromDrive) tray() tray                   { return c.CDROM }
