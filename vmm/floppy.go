package vmm

import (
	"context"
	"fmt"
	"slices"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/devices/dma"
	"github.com/govmm/govmm/devices/floppy"
	"github.com/govmm/govmm/domcfg"
)

const (
	irqFloppy        = 6
	dmaFloppy        = 2
	floppyController = "fdc"
)

// addDMA adds the DMA controllers and, when the domain has one, the floppy disk
// controller with its drives.
func (m *Machine) addDMA(ctx context.Context, w *wiring) error {
	controllers := dma.New(dma.Options{Memory: m.ram, Firmware: m.boot.firmware == nil, Log: m.named("dma")})
	m.board.resets(controllers)
	if err := m.addPorts(
		ports{dma.LowPort, dma.LowPorts, "dma", controllers.Low()},
		ports{dma.HighPort, dma.HighPorts, "dma", controllers.High()},
		ports{dma.PagePort, dma.PagePorts, "dma pages", controllers.Pages()},
	); err != nil {
		return err
	}
	if !slices.ContainsFunc(m.domain.Devices.Controllers, func(c *domcfg.Controller) bool { return c.Type == floppyController }) {
		return nil
	}
	return m.addFloppies(ctx, w, controllers.Channel(dmaFloppy))
}

func (m *Machine) addFloppies(ctx context.Context, w *wiring, channel *dma.Channel) error {
	o := floppy.Options{IRQ: w.line(irqFloppy), DMA: channel, Log: m.named(floppyController)}
	var drives []*disk
	for i, d := range m.domain.Devices.Disks {
		if d.Bus() != domcfg.BusFDC {
			continue
		}
		unit := int(d.Address.Drive.Unit)
		if unit >= len(o.Drives) {
			return diskError(i, d, fmt.Errorf("the floppy controller has no drive %d", unit))
		}
		backend, err := m.openMedium(ctx, d)
		if err != nil {
			return diskError(i, d, err)
		}
		entry := &disk{name: d.Target.Dev, config: d, unit: unit, medium: backend}
		m.noteDisk(entry)
		drives = append(drives, entry)
		o.Drives[unit] = floppy.DriveOptions{Type: floppy.Drive1440K}
		if backend != nil {
			kind, err := floppy.DriveFor(backend.Size())
			if err != nil {
				return diskError(i, d, fmt.Errorf("%s: %w", d.SourceName(), err))
			}
			o.Drives[unit] = floppy.DriveOptions{Type: kind, Disk: backend}
		}
	}
	fdc, err := floppy.New(o)
	if err != nil {
		return fmt.Errorf("floppy drives: %w", err)
	}
	m.closer.add(fdc.Close)
	for _, d := range drives {
		d.drive = &floppyDrive{fdc, d.unit}
	}
	m.board.floppy = fdc
	m.board.resets(fdc)
	m.board.pausers = append(m.board.pausers, pauser{pause: fdc.Pause, resume: fdc.Resume})
	return m.addPorts(
		ports{floppy.Port, floppy.Ports, floppyController, fdc},
		ports{floppy.DIRPort, floppy.DIRPorts, floppyController, fdc.DIR()},
	)
}

// floppyDrive is a floppy drive as a drive whose medium can be changed.
type floppyDrive struct {
	fdc  *floppy.FDC
	unit int
}

func (f *floppyDrive) fits(b block.Backend) error   { return f.fdc.Fits(f.unit, b.Size()) }
func (f *floppyDrive) insert(b block.Backend) error { return f.fdc.Insert(f.unit, b) }
func (f *floppyDrive) eject(bool) error             { return f.fdc.Eject(f.unit) }
func (f *floppyDrive) tray() tray                   { return nil }
