package ide

import (
	"errors"
	"fmt"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/pci"
)

// Configuration registers of the function (PIIX3, section 2.3):
//
//	0x40  IDETIM of the primary channel     15: ports decoded   the rest: timing
//	0x42  IDETIM of the secondary channel
//	0x44  SIDETIM, timing of the slaves
const (
	regIDETIM  = 0x40
	regSIDETIM = 0x44

	idetimDecode = 1 << 15
)

const (
	busMasterBAR  = 4
	busMasterSize = 16
)

// Controller is the IDE function, function 1 of slot 1. It is a pci.Function.
type Controller struct {
	*pci.Config
	ram      *ram
	firmware bool
	log      *bus.GuestLog
	channels [Channels]*channel
}

var (
	_ pci.Function = (*Controller)(nil)
	_ bus.Resetter = (*Controller)(nil)
)

// New returns the function in its power-on state. Drives take part from then
// on, until Close.
func New(o Options) (*Controller, error) {
	c, err := newController(o)
	if err != nil {
		return nil, fmt.Errorf("ide: %w", err)
	}
	return c, nil
}

func newController(o Options) (*Controller, error) {
	r, err := newRAM(o.Memory)
	if err != nil {
		return nil, err
	}
	config, err := pci.NewConfig(pci.Header{Name: "PIIX3 IDE", Vendor: 0x8086, Device: 0x7010, Class: 0x010180})
	if err != nil {
		return nil, err
	}
	c := &Controller{Config: config, ram: r, firmware: o.Firmware, log: bus.NewGuestLog(o.Log, config.Name())}
	if err := c.defineRegisters(); err != nil {
		return nil, err
	}
	for i := range c.channels {
		c.channels[i] = newChannel(c, i, o.Lines[i])
	}
	for i, drives := range o.Drives {
		for unit, d := range drives {
			if d == nil {
				continue
			}
			if err := c.channels[i].attach(unit, d); err != nil {
				return nil, errors.Join(fmt.Errorf("channel %d, unit %d: %w", i, unit, err), c.Close())
			}
		}
	}
	c.powerOn()
	return c, nil
}

func (c *Controller) defineRegisters() error {
	var command, idetim uint16
	if c.firmware {
		command, idetim = pci.CommandIO, idetimDecode
	}
	c.Define16(pci.RegCommand, command, pci.CommandIO|pci.CommandBusMaster)
	c.Define16(pci.RegStatus, 0x0280, 0)
	c.Define16(regIDETIM, idetim, 0xFFFF)
	c.Define16(regIDETIM+2, idetim, 0xFFFF)
	c.Define8(regSIDETIM, 0, 0xFF)
	return c.AddBAR(pci.BAR{Index: busMasterBAR, Kind: pci.IO, Size: busMasterSize, Handler: busMasterPorts{c}})
}

// CommandBlock returns the handler of a channel's command block, the
// CommandPorts ports from PrimaryCommandPort or SecondaryCommandPort.
func (c *Controller) CommandBlock(channel int) bus.Handler { return commandBlock{c.channels[channel]} }

// ControlBlock returns the handler of a channel's control block, the one port
// PrimaryControlPort or SecondaryControlPort.
func (c *Controller) ControlBlock(channel int) bus.Handler { return controlBlock{c.channels[channel]} }

// WriteConfig takes the guest's write to registers.
func (c *Controller) WriteConfig(reg uint8, data []byte) {
	c.Config.WriteConfig(reg, data)
	c.decode()
}

// decode makes the compatibility ports answer or not: as IDETIM says, and the
// command register's I/O Space Enable, which the PIIX3 extends to them.
func (c *Controller) decode() {
	space := c.Uint16(pci.RegCommand)&pci.CommandIO != 0
	for i, ch := range c.channels {
		ch.decoded.Store(space && c.Uint16(regIDETIM+2*uint8(i))&idetimDecode != 0)
	}
}

// Reset returns the function and its drives to their power-on state. It waits
// for the host's disk to do what is in flight. Requests that were kept are
// forgotten.
func (c *Controller) Reset() {
	for _, ch := range c.channels {
		ch.quiesce()
	}
	c.Config.Reset()
	c.powerOn()
}

func (c *Controller) powerOn() {
	for _, ch := range c.channels {
		ch.powerOn(c.firmware)
	}
	c.decode()
}

// Pause waits for the host's disk to do what is in flight. What the guest asks
// for from then on, and what is kept by the error policy, is done after Resume.
func (c *Controller) Pause() {
	for _, ch := range c.channels {
		ch.mu.Lock()
		ch.paused = true
		ch.mu.Unlock()
	}
	for _, ch := range c.channels {
		ch.wait()
	}
}

// Resume goes on after Pause, first with the requests that were kept. It may
// also be called without Pause, to have these done again.
func (c *Controller) Resume() {
	for _, ch := range c.channels {
		ch.resume()
	}
}

// Kept is how many requests wait for Resume.
func (c *Controller) Kept() int {
	n := 0
	for _, ch := range c.channels {
		ch.mu.Lock()
		for _, d := range ch.drives {
			if d != nil && d.held {
				n++
			}
		}
		ch.mu.Unlock()
	}
	return n
}

// Close waits for the host's disks to do what is in flight and lets go of the
// back ends. The vCPUs must not run any more.
func (c *Controller) Close() error {
	var errs []error
	for _, ch := range c.channels {
		if ch == nil {
			continue
		}
		ch.quiesce()
		for _, d := range ch.drives {
			if d != nil {
				errs = append(errs, d.dev.close())
			}
		}
	}
	return errors.Join(errs...)
}

// Geometry is the geometry of the disk at a place, as it was at the last power-on
// or reset: what firmware finds in CMOS or fw_cfg. It is false where there is no
// disk.
func (c *Controller) Geometry(channel, unit int) (CHS, bool) {
	if d := c.drive(channel, unit); d != nil {
		if k, ok := d.dev.(*disk); ok {
			d.ch.mu.Lock()
			defer d.ch.mu.Unlock()
			return k.geometry, true
		}
	}
	return CHS{}, false
}

// CDROM returns the CD-ROM drive at a place, or nil where there is none.
func (c *Controller) CDROM(channel, unit int) *CDROM {
	if d := c.drive(channel, unit); d != nil {
		if r, ok := d.dev.(*CDROM); ok {
			return r
		}
	}
	return nil
}

func (c *Controller) drive(channel, unit int) *drive {
	if channel < 0 || channel >= Channels || unit < 0 || unit >= Units {
		return nil
	}
	return c.channels[channel].drives[unit]
}

// newChannel returns a channel without drives.
func newChannel(c *Controller, index int, line irq.Line) *channel {
	if line == nil {
		line = irq.None{}
	}
	ch := &channel{c: c, index: index, line: line}
	ch.idle.L = &ch.mu
	ch.busMaster.s, ch.busMaster.ram = &ch.s.BusMaster, c.ram
	return ch
}
