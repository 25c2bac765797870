package pci

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/irq"
)

// A bus has 32 slots of 8 functions.
const (
	Slots            = 32
	FunctionsPerSlot = 8
)

// Options says what a Bus is connected to.
type Options struct {
	Ports  *bus.Bus // where I/O BARs are mapped
	Memory *bus.Bus // where memory BARs are mapped
	Router *Router  // takes the functions' INTx pins
	// Firmware makes Reset enter the routed IRQ into each function's interrupt
	// line register, which is the firmware's task, for guests started without.
	Firmware bool
	Log      *slog.Logger // nil discards
}

// Bus is PCI bus 0.
type Bus struct {
	ports, memory *bus.Bus
	router        *Router
	firmware      bool
	windows       windows

	mu        sync.Mutex // orders Add and Remove
	functions [Slots * FunctionsPerSlot]atomic.Pointer[Function]
}

// NewBus returns a bus without functions.
func NewBus(o Options) *Bus {
	b := &Bus{ports: o.Ports, memory: o.Memory, router: o.Router, firmware: o.Firmware}
	b.windows.log = bus.NewGuestLog(o.Log, "pci")
	return b
}

func (b *Bus) target(kind BARKind) *bus.Bus {
	if kind == IO {
		return b.ports
	}
	return b.memory
}

// Add puts a function on the bus. It refuses a place that is taken or does not
// exist.
func (b *Bus) Add(f Function, slot, function int) error {
	c := f.Space()
	if slot < 0 || slot >= Slots || function < 0 || function >= FunctionsPerSlot {
		return fmt.Errorf("pci: %s: there is no slot %#x function %d on a bus", c.Name(), slot, function)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.function(slot, function); o != nil {
		return fmt.Errorf("pci: 00:%02x.%d, wanted for %s, is taken by %s",
			slot, function, c.Name(), o.Space().Name())
	}
	var line irq.Line = irq.None{}
	if pin := c.Uint8(RegInterruptPin); pin != 0 {
		line = b.router.INTx(slot, int(pin))
	}
	c.attach(b, line)
	b.functions[slot*FunctionsPerSlot+function].Store(&f)
	b.markMultifunction(slot)
	return nil
}

// markMultifunction tells the guest, in function 0, to look for the others.
func (b *Bus) markMultifunction(slot int) {
	first := b.function(slot, 0)
	if first == nil {
		return
	}
	for n := 1; n < FunctionsPerSlot; n++ {
		if b.function(slot, n) != nil {
			first.Space().setMultifunction()
			return
		}
	}
}

// Remove takes a function off the bus: its BARs are unmapped and its interrupt
// is released.
func (b *Bus) Remove(slot, function int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.Function(slot, function)
	if f == nil {
		return fmt.Errorf("pci: nothing at 00:%02x.%d", slot, function)
	}
	b.functions[slot*FunctionsPerSlot+function].Store(nil)
	f.Space().attach(nil, irq.None{})
	return nil
}

// Function returns the function at a place, or nil.
func (b *Bus) Function(slot, function int) Function {
	if slot < 0 || slot >= Slots || function < 0 || function >= FunctionsPerSlot {
		return nil
	}
	return b.function(slot, function)
}

func (b *Bus) function(slot, function int) Function {
	if f := b.functions[slot*FunctionsPerSlot+function].Load(); f != nil {
		return *f
	}
	return nil
}

// FreeSlot returns the lowest slot that has no function; ok is false when the
// bus is full.
func (b *Bus) FreeSlot() (slot int, ok bool) {
	for slot := range Slots {
		free := true
		for n := range FunctionsPerSlot {
			free = free && b.function(slot, n) == nil
		}
		if free {
			return slot, true
		}
	}
	return 0, false
}

// Reset resets all functions. The machine calls it at power-on, too, when all
// functions are in place.
func (b *Bus) Reset() {
	for i := range b.functions {
		if f := b.function(i/FunctionsPerSlot, i%FunctionsPerSlot); f != nil {
			f.Reset()
		}
	}
	if b.firmware {
		b.assignInterruptLines()
	}
}

// assignInterruptLines does what firmware does after it has set up PIRQRC. A
// function with a fixed interrupt has entered it itself.
func (b *Bus) assignInterruptLines() {
	for i := range b.functions {
		slot := i / FunctionsPerSlot
		f := b.function(slot, i%FunctionsPerSlot)
		if f == nil {
			continue
		}
		c := f.Space()
		pin := c.Uint8(RegInterruptPin)
		if pin == 0 || c.Uint8(RegInterruptLine) != 0 {
			continue
		}
		if irq, ok := b.router.Route(PIRQ(slot, int(pin))); ok {
			c.SetUint8(RegInterruptLine, irq)
		}
	}
}
