package pci

import (
	"log/slog"
	"sync"

	"github.com/govmm/govmm/devices/bus"
)

// Ports of the PIIX3 that are not in configuration space.
const (
	ELCRPort  = 0x4D0
	ELCRPorts = 2
)

const regPIRQRC = 0x60 // PIRQRCA-D: 0x60-0x63

// elcrBits are the inputs whose trigger can be chosen: not 0, 1, 2, 8 and 13.
const elcrBits = 0xDEF8

// The set-up that firmware leaves behind: PIRQA and B on IRQ 10, C and D on
// 11, which are level-triggered as is the SCI on 9.
var firmwareRoutes = [4]uint8{10, 10, 11, 11}

const firmwareELCR = 1<<SCI | 1<<10 | 1<<11

// SCI is the IRQ of the power management function.
const SCI = 9

// PIIX3Options says what the ISA bridge is connected to.
type PIIX3Options struct {
	Router *Router
	// Reset is called when the guest asks for a reset at port 0xCF9.
	Reset func(reason string)
	// ELCRChanged, if not nil, is told which interrupt inputs are
	// level-triggered (bit n is IRQ n) at each Reset, power-on included, and
	// when the guest changes it. An interrupt controller that has the register
	// itself, as KVM's does, answers the ports before they get here, and needs
	// to be told the reset value only.
	ELCRChanged func(level uint16)
	// Firmware makes power-on and reset leave the registers as firmware would,
	// for guests started without: PIRQA-D on IRQ 10, 10, 11 and 11, and these
	// and the SCI level-triggered.
	Firmware bool
	Log      *slog.Logger // nil discards
}

// PIIX3 is the ISA bridge, function 0 of slot 1.
type PIIX3 struct {
	*Config
	router   *Router
	reset    func(reason string)
	changed  func(level uint16)
	firmware bool
	log      *bus.GuestLog

	mu sync.Mutex
	s  PIIX3State
}

// PIIX3State is the bridge's state outside of configuration space.
type PIIX3State struct {
	ELCR uint16
	RCR  uint8
}

// NewPIIX3 returns the ISA bridge in its power-on state.
func NewPIIX3(o PIIX3Options) *PIIX3 {
	c := mustConfig(Header{
		Name: "PIIX3 ISA bridge", Vendor: 0x8086, Device: 0x7000, Class: 0x060100, Multifunction: true,
	})
	c.Define16(RegCommand, CommandIO|CommandMemory|CommandBusMaster, 1<<3)
	c.Define16(RegStatus, 0x0200, 0)
	c.Define8(0x4C, 0x4D, 0xFF)      // IORT
	c.Define16(0x4E, 0x0003, 0x01FF) // XBCS
	for i := range uint8(4) {
		route := uint8(routeOff)
		if o.Firmware {
			route = firmwareRoutes[i]
		}
		c.Define8(regPIRQRC+i, route, routeOff|0x0F)
	}
	c.Define8(0x69, 0x02, 0xFE)      // TOM
	c.Define16(0x6A, 0, 0x807F)      // MSTAT
	c.Define8(0x70, 0x80, 0xEF)      // MBIRQ0
	c.Define16(0x76, 0x0C0C, 0x8F8F) // MBDMA0-1
	c.Define16(0x78, 0x0002, 0xFFFF) // PCSC
	c.Define8(0x80, 0, 0x7F)         // APICBASE
	c.Define8(0x82, 0, 0x0F)         // DLC
	c.Define8(0xA0, 0x08, 0x1F)      // SMICNTL
	c.Define16(0xA2, 0, 0x00FF)      // SMIEN
	c.Define32(0xA4, 0, 0xFFFFFFFF)  // SEE
	c.Define8(0xA8, 0x0F, 0xFF)      // FTMR
	c.DefineClear16(0xAA, 0x00FF)    // SMIREQ
	c.Define8(0xAC, 0, 0xFF)         // CTLTMR
	c.Define8(0xAE, 0, 0xFF)         // CTHTMR
	p := &PIIX3{
		Config: c, router: o.Router, reset: o.Reset, changed: o.ELCRChanged, firmware: o.Firmware,
		log: bus.NewGuestLog(o.Log, c.Name()),
	}
	p.powerOn()
	return p
}

// BridgeState returns a copy of the state outside of configuration space.
func (p *PIIX3) BridgeState() PIIX3State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.s
}

// WriteConfig takes the guest's write to registers.
func (p *PIIX3) WriteConfig(reg uint8, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Config.WriteConfig(reg, data)
	if int(reg) < regPIRQRC+4 && int(reg)+len(data) > regPIRQRC {
		p.route()
	}
}

func (p *PIIX3) route() {
	for i := range 4 {
		p.router.SetRoute(i, p.Uint8(regPIRQRC+uint8(i)))
	}
}

// Reset returns the bridge to its power-on state.
func (p *PIIX3) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Config.Reset()
	p.powerOn()
	if p.changed != nil {
		p.changed(p.s.ELCR)
	}
}

// powerOn sets the state that is not in configuration space, or follows it.
func (p *PIIX3) powerOn() {
	p.route()
	p.s = PIIX3State{}
	if p.firmware {
		p.s.ELCR = firmwareELCR
	}
}

// ELCR returns the handler of the edge/level control registers, the two ports
// from ELCRPort: bit n of the first is IRQ n, of the second IRQ 8+n; 1 is
// level-triggered.
func (p *PIIX3) ELCR() bus.Handler { return elcr{p} }

type elcr struct{ *PIIX3 }

func (e elcr) Read(offset uint64, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range data {
		data[i] = uint8(e.s.ELCR >> (8 * (offset + uint64(i))))
	}
}

func (e elcr) Write(offset uint64, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, v := range data {
		shift := 8 * (offset + uint64(i))
		e.s.ELCR = (e.s.ELCR&^(0xFF<<shift) | uint16(v)<<shift) & elcrBits
	}
	if e.changed != nil {
		e.changed(e.s.ELCR)
	}
}

// ResetControl returns the handler of the reset control register, port 0xCF9:
//
//	 7       3     2          1       0
//	+---------+---------+-----------+---+
//	|    0    | reset 1 | hard/soft | 0 |
//	+---------+---------+-----------+---+
//
// Setting bit 2 resets the machine.
func (p *PIIX3) ResetControl() bus.Handler { return rcr{p} }

const (
	rcrHard  = 1 << 1
	rcrReset = 1 << 2
)

type rcr struct{ *PIIX3 }

func (h rcr) Read(_ uint64, data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	data[0] = h.s.RCR
}

func (h rcr) Write(_ uint64, data []byte) {
	h.mu.Lock()
	asked := data[0]&rcrReset != 0 && h.s.RCR&rcrReset == 0
	h.s.RCR = data[0] & (rcrHard | rcrReset)
	h.mu.Unlock()
	if !asked {
		return
	}
	if h.reset == nil {
		if h.log.Allow() {
			h.log.Warn("the guest asks for a reset at port 0xcf9, which this machine does not have")
		}
		return
	}
	h.reset("PIIX3 reset control register")
}
