package e1000

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/nic"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/memory"
	hostnet "github.com/govmm/govmm/net"
)

// The PCI function.
const (
	vendorIntel  = 0x8086
	device82540  = 0x100E
	classNetwork = 0x020000
	revision     = 3
	memorySize   = 128 << 10 // bytes of BAR 0
	portsSize    = 64        // of BAR 1
)

// Options describe a card.
type Options struct {
	Name    string // for messages
	MAC     [6]byte
	Backend hostnet.Backend // the caller closes it, after the card
	Memory  *memory.Memory  // the guest's
	Clock   clock.Clock     // of interrupt throttling
	Log     *slog.Logger    // nil discards
}

// State is all that a driver can see of a card. Frames on their way are no part
// of it.
type State struct {
	Regs     [regSpace / 4]uint32
	EEPROM   eeprom
	PHY      [phyRegs]uint16
	IOAddr   uint32
	Contexts [2]context // of segmentation, and of checksums alone
}

// Card is an 82540EM. It is a pci.Function.
type Card struct {
	*pci.Config
	ram   *memory.Memory
	clock clock.Clock
	mac   [6]byte
	log   *bus.GuestLog
	wire  *nic.Wire

	mu       sync.Mutex // of all below
	s        State
	line     bool          // the interrupt is asserted
	quiet    time.Duration // until when ITR allows no further one
	throttle clock.Timer
	link     bool
	starved  bool // Ready has said no

	tx transmitter
	rx receiver
}

var (
	_ pci.Function = (*Card)(nil)
	_ bus.Resetter = (*Card)(nil)
	_ nic.Card     = (*Card)(nil)
)

// New returns a card in its power-on state, which is served until Close.
func New(o Options) (*Card, error) {
	c, err := build(o)
	if err != nil {
		return nil, fmt.Errorf("e1000 %s: %w", o.Name, err)
	}
	c.wire.Start()
	return c, nil
}

func build(o Options) (*Card, error) {
	switch {
	case o.Backend == nil || o.Memory == nil || o.Clock == nil:
		return nil, errors.New("a back end, the guest's memory and a clock are needed")
	case o.MAC[0]&1 != 0:
		return nil, fmt.Errorf("the MAC address %x is a group address", o.MAC)
	}
	config, err := pci.NewConfig(pci.Header{
		Name: o.Name, Vendor: vendorIntel, Device: device82540, SubsystemVendor: subsystemVendor, Subsystem: subsystem,
		Revision: revision, Class: classNetwork, InterruptPin: 1,
	})
	if err != nil {
		return nil, err
	}
	c := &Card{Config: config, ram: o.Memory, clock: o.Clock, mac: o.MAC, log: bus.NewGuestLog(o.Log, o.Name)}
	c.throttle = o.Clock.NewTimer(c.throttled)
	c.Define16(pci.RegCommand, 0, pci.CommandIO|pci.CommandMemory|pci.CommandBusMaster|pci.CommandINTxDisable)
	if err := errors.Join(
		c.AddBAR(pci.BAR{Index: 0, Kind: pci.Memory32, Size: memorySize, Handler: window{c}}),
		c.AddBAR(pci.BAR{Index: 1, Kind: pci.IO, Size: portsSize, Handler: ports{c}}),
	); err != nil {
		return nil, err
	}
	c.rx.init()
	c.tx.init()
	if c.wire, err = nic.NewWire(c, o.Backend, c.linkChanged); err != nil {
		return nil, err
	}
	c.link = c.wire.Link()
	c.powerOn()
	return c, nil
}

// Close ends all traffic.
func (c *Card) Close() error {
	c.throttle.Stop()
	c.wire.Close()
	return nil
}

// Pause stops all traffic, until Resume.
func (c *Card) Pause() { c.wire.Stop() }

// Resume goes on after Pause.
func (c *Card) Resume() { c.wire.Start() }

// SetLink connects or disconnects the guest; at first it is connected.
func (c *Card) SetLink(up bool) error { return c.wire.SetLink(up) }

// Stats returns the traffic until now.
func (c *Card) Stats() nic.Stats { return c.wire.Stats() }

// Reset returns the card to its power-on state.
func (c *Card) Reset() {
	c.Config.Reset()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.powerOn()
}

// WriteConfig takes the driver's write to configuration space: bus mastering
// may have been turned on.
func (c *Card) WriteConfig(reg uint8, data []byte) {
	c.Config.WriteConfig(reg, data)
	c.wire.Kick()
}

// powerOn is the state after a reset (chapter 14). mu is held, or nobody else
// knows the card.
func (c *Card) powerOn() {
	c.s = State{EEPROM: newEEPROM(c.mac)}
	c.resetPHY()
	c.resetMAC()
}

// resetMAC is what CTRL.RST does: everything but the PHY and EEPROM.
func (c *Card) resetMAC() {
	c.s.Regs = [regSpace / 4]uint32{}
	c.s.Contexts = [2]context{}
	*c.reg(regCTRL) = 0x0A41 // FD, SLU, speed 1000
	*c.reg(regPBA) = 0x00100030
	*c.reg(regMANC) = 0x0000
	*c.reg(regRA) = uint32(c.mac[0]) | uint32(c.mac[1])<<8 | uint32(c.mac[2])<<16 | uint32(c.mac[3])<<24
	*c.reg(regRA + 4) = uint32(c.mac[4]) | uint32(c.mac[5])<<8 | rahAV
	c.tellMAC()
	c.tx.forget()
	c.throttle.Stop()
	c.quiet = 0
	c.interrupt()
}

// reg is a register's storage.
func (c *Card) reg(offset uint32) *uint32 { return &c.s.Regs[offset/4] }

// masters reports whether the card may access memory.
func (c *Card) masters() bool { return c.Uint16(pci.RegCommand)&pci.CommandBusMaster != 0 }

// linkChanged is called by the wire.
func (c *Card) linkChanged(up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == up {
		return
	}
	c.link = up
	c.setPHYLink()
	c.raise(intLSC)
}
