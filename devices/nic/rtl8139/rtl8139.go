package rtl8139

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/nic"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/memory"
	hostnet "github.com/govmm/govmm/net"
)

// The PCI function. The subsystem is QEMU's.
const (
	vendorRealtek   = 0x10EC
	device8139      = 0x8139
	revision        = 0x20 // C+
	classNetwork    = 0x020000
	subsystemVendor = 0x1AF4
	subsystem       = 0x1100
)

// Words of the EEPROM (EEPROM Contents).
const (
	wordSignature = 0 // 8129h
	wordVendor    = 1
	wordDevice    = 2
	wordSubvend   = 3
	wordSubsys    = 4
	wordAddress   = 7 // 3 words

	signature = 0x8129
)

// Options describe a card.
type Options struct {
	Name    string // for messages
	MAC     [6]byte
	Backend hostnet.Backend // the caller closes it, after the card
	Memory  *memory.Memory  // the guest's
	Clock   clock.Clock     // of the timer
	Log     *slog.Logger    // nil discards
}

// State is all that a driver can see of a card, but for the base of its timer.
// Frames on their way are no part of it.
type State struct {
	Regs   [regSpace]byte
	EEPROM nic.EEPROM
	TxNext uint8    // the next transmit descriptor in C mode
	Plus   [2]uint8 // the next ones in C+ mode: normal and high priority
	RxNext uint8    // the next receive descriptor in C+ mode
	Polls  uint8    // transmit rings that are being looked at, as in TPPoll
	Tally  tally
}

// Card is an RTL8139C+. It is a pci.Function.
type Card struct {
	*pci.Config
	ram   *memory.Memory
	clock clock.Clock
	mac   [6]byte
	log   *bus.GuestLog
	wire  *nic.Wire

	mu      sync.Mutex // of all below
	s       State
	timer   timer
	link    bool
	changed bool // the link, since the driver read CSCR
	starved bool // something waits for the driver to give room

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
		return nil, fmt.Errorf("rtl8139 %s: %w", o.Name, err)
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
		Name: o.Name, Vendor: vendorRealtek, Device: device8139, SubsystemVendor: subsystemVendor, Subsystem: subsystem,
		Revision: revision, Class: classNetwork, InterruptPin: 1,
	})
	if err != nil {
		return nil, err
	}
	c := &Card{Config: config, ram: o.Memory, clock: o.Clock, mac: o.MAC, log: bus.NewGuestLog(o.Log, o.Name)}
	c.timer.alarm = o.Clock.NewTimer(c.timeout)
	c.rx.retry = o.Clock.NewTimer(c.retry)
	c.Define16(pci.RegCommand, 0, pci.CommandIO|pci.CommandMemory|pci.CommandBusMaster|pci.CommandINTxDisable)
	if err := errors.Join(
		c.AddBAR(pci.BAR{Index: 0, Kind: pci.IO, Size: regSpace, Handler: registers{c}}),
		c.AddBAR(pci.BAR{Index: 1, Kind: pci.Memory32, Size: regSpace, Handler: registers{c}}),
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
	c.timer.alarm.Stop()
	c.rx.retry.Stop()
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

// powerOn is the state after a hardware reset. mu is held, or nobody else knows
// the card.
func (c *Card) powerOn() {
	c.s = State{}
	w := &c.s.EEPROM.Words
	w[wordSignature], w[wordVendor], w[wordDevice] = signature, vendorRealtek, device8139
	w[wordSubvend], w[wordSubsys] = subsystemVendor, subsystem
	for i := range 3 {
		w[wordAddress+i] = binary.LittleEndian.Uint16(c.mac[2*i:])
	}
	c.put8(regRERID, revision)
	c.put16(regCSCR, cscrDefault)
	c.autoLoad()
	c.resetPHY()
	c.reset()
}

// autoLoad takes from the EEPROM what it keeps.
func (c *Card) autoLoad() {
	for i := range 3 {
		c.put16(regIDR+2*i, c.s.EEPROM.Words[wordAddress+i])
	}
	c.tellMAC()
	c.put8(regCONFIG1, config1Maps)
}

// config1Maps says that the registers are in both spaces.
const config1Maps = 0x0C

// reset is what CR.RST does: addresses, configuration and PHY stay.
func (c *Card) reset() {
	clear(c.s.Regs[regTSD:regCR])
	clear(c.s.Regs[regCR : regMPC+4])
	clear(c.s.Regs[regTimerInt : regTimerInt+4])
	clear(c.s.Regs[regMULINT : regMULINT+2])
	clear(c.s.Regs[regTPPoll:])
	for i := range descriptors {
		c.put32(regTSD+4*i, tsdOWN)
	}
	c.s.TxNext, c.s.Plus, c.s.RxNext, c.s.Polls, c.s.Tally = 0, [2]uint8{}, 0, 0, tally{}
	c.resetRing()
	c.tx.forget()
	c.rx.forget()
	c.timer.base = c.clock.Now()
	c.setTimer()
	c.interrupt()
}

// masters reports whether the card may access memory.
func (c *Card) masters() bool { return c.Uint16(pci.RegCommand)&pci.CommandBusMaster != 0 }

// plus reports whether a direction is in C+ mode.
func (c *Card) plus(direction uint16) bool { return c.get16(regCPCR)&direction != 0 }

// raise notes causes of an interrupt. mu is held.
func (c *Card) raise(causes uint16) {
	c.put16(regISR, c.get16(regISR)|causes)
	c.interrupt()
}

// interrupt makes the pin follow ISR and IMR. mu is held.
func (c *Card) interrupt() { c.INTx().Set(c.get16(regISR)&c.get16(regIMR) != 0) }

// failed is an access to memory that is not there: the driver is told, and the
// log. mu is held.
func (c *Card) failed(what string, err error) {
	if c.log.Allow() {
		c.log.Warn(what, "error", err)
	}
	c.raise(intSERR)
}
