package dma

import (
	"log/slog"
	"sync"

	"github.com/govmm/govmm/devices/bus"
)

// Memory is the guest's physical memory as the controllers reach it: its first
// 16 MiB. Both methods move all of p or fail.
type Memory interface {
	ReadAt(p []byte, gpa uint64) error
	WriteAt(p []byte, gpa uint64) error
}

// Options say what the controllers are connected to.
type Options struct {
	// Memory is required.
	Memory Memory
	// Firmware makes power-on and reset leave channel 4 as firmware would, for
	// a guest that has none: in cascade mode and not masked, without which
	// channels 0 to 3 do not work.
	Firmware bool
	Log      *slog.Logger // nil discards
}

// DMA is the pair of controllers with the page registers.
type DMA struct {
	memory   Memory
	firmware bool
	log      *bus.GuestLog
	channels [8]Channel

	mu      sync.Mutex
	s       State
	scratch [256]byte // for transfers to descending addresses
}

var _ bus.Resetter = (*DMA)(nil)

// New returns the controllers in their power-on state.
func New(o Options) *DMA {
	d := &DMA{memory: o.Memory, firmware: o.Firmware, log: bus.NewGuestLog(o.Log, "dma")}
	for i := range d.channels {
		d.channels[i] = Channel{dma: d, number: uint8(i)}
	}
	d.Reset()
	return d
}

// Reset implements bus.Resetter: the effect of the RESET pin. The page
// registers have no reset; they are cleared so that a restart repeats.
func (d *DMA) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.s.Controllers {
		c := &d.s.Controllers[i]
		*c = ControllerState{DREQ: c.DREQ}
		c.clear()
	}
	clear(d.s.Pages[:])
	if d.firmware {
		c := &d.s.Controllers[1]
		c.Channels[0].Mode = modeCascade
		c.Mask &^= 1 << 0
	}
}

// State returns a copy of the state.
func (d *DMA) State() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.s
}

// Channel returns channel n, 0 to 3 or 5 to 7, for the device on it. Channel 4,
// the cascade, moves nothing.
func (d *DMA) Channel(n int) *Channel { return &d.channels[n] }

// Low returns the handler of the LowPorts ports from LowPort.
func (d *DMA) Low() bus.Handler { return controller{d, 0} }

// High returns the handler of the HighPorts ports from HighPort.
func (d *DMA) High() bus.Handler { return controller{d, 1} }

// Pages returns the handler of the PagePorts ports from PagePort.
func (d *DMA) Pages() bus.Handler { return pages{d} }

// controller is one 8237A on the port bus. The registers of the second one are
// two ports apart, and answer at both.
type controller struct {
	*DMA
	index uint8
}

func (c controller) register(offset uint64) uint8 { return uint8(offset>>c.index) & 0xF }

func (c controller) Read(offset uint64, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range data {
		data[i] = c.s.Controllers[c.index].read(c.register(offset + uint64(i)))
	}
}

func (c controller) Write(offset uint64, data []byte) {
	c.mu.Lock()
	for i, v := range data {
		c.s.Controllers[c.index].write(c.register(offset+uint64(i)), v)
	}
	c.mu.Unlock()
	c.tellReady()
}

// pages are the page registers from port 0x81 on.
type pages struct{ *DMA }

func (p pages) Read(offset uint64, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	copy(data, p.s.Pages[1+offset:])
}

func (p pages) Write(offset uint64, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	copy(p.s.Pages[1+offset:], data)
}

// tellReady calls the devices that ask for a transfer and can have one now. It
// is called without the lock, since they answer with the transfer.
func (d *DMA) tellReady() {
	for i := range d.channels {
		c := &d.channels[i]
		d.mu.Lock()
		f := c.ready
		due := f != nil && c.requested() && c.open()
		d.mu.Unlock()
		if due {
			f()
		}
	}
}
