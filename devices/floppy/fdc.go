package floppy

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/irq"
)

// DMAChannel is the DMA channel of the controller, as *dma.Channel is it.
type DMAChannel interface {
	SetDREQ(on bool)
	OnReady(f func())
	Remaining() int
	Read(p []byte) (n int, tc bool)
	Write(p []byte) (n int, tc bool)
}

// Options say what the controller is connected to.
type Options struct {
	// Drives are drive A and drive B.
	Drives [2]DriveOptions
	// IRQ is the interrupt output, IRQ6 on a PC; nil leads nowhere.
	IRQ irq.Line
	// DMA is the controller's channel, number 2 on a PC. It is required.
	DMA DMAChannel
	Log *slog.Logger // nil discards
}

// DriveOptions say what a drive is. The zero value is no drive.
type DriveOptions struct {
	// Type is the kind of drive. DriveNone takes the one that Disk needs.
	Type DriveType
	// Disk is what is in it; nil is an empty drive. It is write protected when
	// it is read-only. Its owner closes it, after the controller.
	Disk block.Backend
}

// FDC is an 82077AA with its drives. It is a bus.Handler for the Ports ports
// from Port; DIR is the handler of DIRPort.
type FDC struct {
	irq irq.Line
	dma DMAChannel
	log *bus.GuestLog

	media sync.Mutex // Insert, Eject and Close, one at a time

	mu     sync.Mutex
	s      State
	drives [2]drive
	disk   access
	data   [maxSectors * sectorSize]byte
}

// drive is what does not change when the guest works.
type drive struct {
	kind   DriveType
	medium *medium // nil when empty
}

var (
	_ bus.Handler  = (*FDC)(nil)
	_ bus.Resetter = (*FDC)(nil)
)

// New returns a controller in its power-on state. It fails when a disk has a
// size that no floppy disk has, or does not fit into its drive.
func New(o Options) (*FDC, error) {
	f := &FDC{irq: o.IRQ, dma: o.DMA, log: bus.NewGuestLog(o.Log, "floppy")}
	if f.irq == nil {
		f.irq = irq.None{}
	}
	f.disk.init(&f.mu)
	for i, d := range o.Drives {
		if d.Type > Drive2880K {
			return nil, fmt.Errorf("floppy drive %s: there is no drive type %d", driveName(i), d.Type)
		}
		f.drives[i].kind = d.Type
		f.s.Drives[i].Changed = d.Type != DriveNone
	}
	for i, d := range o.Drives {
		if d.Disk == nil {
			continue
		}
		if d.Type == DriveNone {
			kind, err := DriveFor(d.Disk.Size())
			if err != nil {
				_ = f.Close()
				return nil, fmt.Errorf("floppy drive %s: %w", driveName(i), err)
			}
			f.drives[i].kind = kind
		}
		if err := f.Insert(i, d.Disk); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	f.Reset()
	f.dma.OnReady(f.dmaReady)
	return f, nil
}

func driveName(i int) string { return string(rune('A' + i)) }

// DriveType is the kind of drive i, 0 or 1.
func (f *FDC) DriveType(i int) DriveType { return f.drives[i].kind }

// CMOS is the byte at index 0x10 of the CMOS RAM, which tells the firmware the
// kinds of drives.
func (f *FDC) CMOS() uint8 { return uint8(f.drives[0].kind)<<4 | uint8(f.drives[1].kind) }

// Equipment are bits 7:6 and 0 of the equipment byte, at index 0x14 of the CMOS
// RAM: how many drives there are.
func (f *FDC) Equipment() uint8 {
	switch {
	case f.drives[1].kind != DriveNone:
		return 1<<6 | 1
	case f.drives[0].kind != DriveNone:
		return 1
	}
	return 0
}

// State returns a copy of the state.
func (f *FDC) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.s
}

// Reset implements bus.Resetter: the effect of the RESET pin, which leaves the
// controller in reset until the guest sets DOR's bit 2. A transfer is given up.
// The heads stay where they are.
func (f *FDC) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abort()
	f.s = State{Config: configNoFIFO, Rate: rate250, DSR: rate250, Drives: f.s.Drives, Asserted: f.s.Asserted}
	f.update()
}

// enterReset is the effect of the software resets.
func (f *FDC) enterReset() {
	f.abort()
	s := &f.s
	s.Phase, s.Length, s.Pos = PhaseCommand, 0, 0
	s.Transfer = TransferState{}
	s.Interrupt, s.Pending = false, 0
	s.Cylinder = [4]uint8{}
	s.Perpendicular &^= perpGate
	if s.Locked {
		s.Config &= configLocked
	} else {
		s.Config, s.Pretrack = configNoFIFO, 0
	}
}

// leaveReset makes the controller poll the drives, whose ready lines all seem
// to have changed.
func (f *FDC) leaveReset() {
	f.s.Pending = 0xF
	for i := range f.s.Sense {
		f.s.Sense[i] = st0Polling | uint8(i)
	}
	f.s.Interrupt = true
}

// Read implements bus.Handler. A wide access reads consecutive registers.
func (f *FDC) Read(offset uint64, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range data {
		data[i] = f.readRegister(offset + uint64(i))
	}
}

// Write implements bus.Handler. A wide access writes consecutive registers.
func (f *FDC) Write(offset uint64, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, v := range data {
		f.writeRegister(offset+uint64(i), v)
	}
}

func (f *FDC) readRegister(reg uint64) uint8 {
	switch reg {
	case regSRA:
		return f.statusA()
	case regSRB:
		v := srbOnes | f.s.DOR>>motorShift&srbMotors
		if f.s.DOR&1 != 0 {
			v |= srbDrive0
		}
		return v
	case regDOR:
		return f.s.DOR
	case regTDR:
		return f.s.TDR
	case regMSR:
		return f.status()
	case regFIFO:
		return f.readFIFO()
	}
	return 0xFF
}

func (f *FDC) writeRegister(reg uint64, v uint8) {
	switch reg {
	case regDOR:
		f.writeDOR(v)
	case regTDR:
		f.s.TDR = v & tdrBits
	case regDSR:
		f.s.DSR, f.s.Rate = v&dsrKept, v&rateBits
		if v&dsrReset != 0 && f.s.DOR&dorNotReset != 0 {
			f.enterReset()
			f.update() // INT goes low before it goes high again
			f.leaveReset()
			f.update()
		}
	case regFIFO:
		f.writeFIFO(v)
	}
}

func (f *FDC) writeDOR(v uint8) {
	old := f.s.DOR
	f.s.DOR = v
	switch {
	case v&dorNotReset == 0:
		if old&dorNotReset != 0 {
			f.enterReset()
		}
	case old&dorNotReset == 0:
		f.leaveReset()
	}
	f.update()
	switch {
	case v&^old&dorDMAGate != 0:
		f.pump()
	case old&^v&dorDMAGate != 0:
		f.dma.SetDREQ(false)
	}
}

func (f *FDC) statusA() uint8 {
	v := uint8(sraNoIndex | sraNotTrack0 | sraWritable)
	if f.s.Interrupt {
		v |= sraInterrupt
	}
	if f.drives[1].kind == DriveNone {
		v |= sraNoDrive2
	}
	if f.s.Transfer.Head != 0 {
		v |= sraHead
	}
	if i, ok := f.present(f.s.DOR & driveSelect); ok {
		if f.s.Drives[i].Track == 0 {
			v &^= sraNotTrack0
		}
		if m := f.drives[i].medium; m != nil && m.readOnly {
			v &^= sraWritable
		}
	}
	return v
}

// status is the MSR.
func (f *FDC) status() uint8 {
	s := &f.s
	switch {
	case s.DOR&dorNotReset == 0:
		return 0
	case s.Phase == PhaseResult:
		return msrRequest | msrToHost | msrBusy
	case s.Phase == PhaseCommand && s.Pos > 0:
		return msrRequest | msrBusy
	case s.Phase == PhaseCommand:
		return msrRequest
	}
	v := uint8(msrBusy)
	if f.nonDMA() {
		v |= msrNonDMA
		if !s.Transfer.Waiting {
			v |= msrRequest
			if s.Transfer.Kind.toHost() {
				v |= msrToHost
			}
		}
	}
	return v
}

// present finds a drive by the two bits that select it; ok is false if there is
// none.
func (f *FDC) present(selected uint8) (i int, ok bool) {
	i = int(selected)
	return i, i < len(f.drives) && f.drives[i].kind != DriveNone
}

func (f *FDC) nonDMA() bool { return f.s.Specify[1]&specifyNonDMA != 0 }

// update gives the interrupt line its level. mu is held, also while the line is
// set: its changes must arrive in order.
func (f *FDC) update() {
	level := f.s.Interrupt && f.s.DOR&dorDMAGate != 0
	if level != f.s.Asserted {
		f.s.Asserted = level
		f.irq.Set(level)
	}
}

// DIR returns the handler of DIRPort: the digital input register when read, the
// configuration control register when written.
func (f *FDC) DIR() bus.Handler { return dir{f} }

type dir struct{ *FDC }

func (d dir) Read(_ uint64, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	data[0] = 0
	if i, ok := d.present(d.s.DOR & driveSelect); ok && d.s.Drives[i].Changed {
		data[0] = dirChanged
	}
}

func (d dir) Write(_ uint64, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.s.Rate = data[0] & rateBits
}
