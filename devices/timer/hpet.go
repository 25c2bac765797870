package timer

import (
	"encoding/binary"
	"sync"

	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/irq"
)

// The HPET in memory, as on every PC.
const (
	HPETBase = 0xFED0_0000
	HPETSize = 0x400
	// HPETPeriod is how long the main counter takes to count one, in femtoseconds.
	HPETPeriod = 10_000_000
	// HPETID is bits 31:0 of the capabilities register, as the ACPI table repeats
	// them:
	//
	//	31       16   15       14      13       12             8   7        0
	//	+---------+--------+----------+--------+----------------+----------+
	//	| vendor  | legacy | reserved | 64-bit | last comparator | revision |
	//	+---------+--------+----------+--------+----------------+----------+
	HPETID = 0x8086_A201
)

const (
	hpetTick        = HPETPeriod / 1_000_000 // nanoseconds
	hpetComparators = 3

	// HPETRoute is the one input of the I/O APIC that a comparator can be routed
	// to, as on QEMU's pc.
	HPETRoute = 2
)

// The registers. Each is 64 bits wide (IA-PC HPET 1.0a, section 2.3.3).
const (
	hpetCapabilities = 0x000
	hpetConfig       = 0x010
	hpetStatus       = 0x020
	hpetCounter      = 0x0F0
	hpetBlocks       = 0x100 // of the comparators, hpetBlock bytes each
	hpetBlock        = 0x20
	hpetBlocksEnd    = hpetBlocks + hpetComparators*hpetBlock
	blockConfig      = 0x00
	blockComparator  = 0x08
)

// Bits of the configuration register (section 2.3.5).
const (
	hpetEnable = 1 << 0 // the main counter runs, and interrupts are made
	hpetLegacy = 1 << 1 // comparators 0 and 1 replace the PIT and the RTC
)

// HPETInput is an input of the interrupt controllers: its Pulse for ticks that
// recur, its Line for single ones and for level-triggered interrupts.
type HPETInput struct {
	Pulse irq.Pulse
	Line  irq.Line
}

// HPETOptions says what an HPET is connected to.
type HPETOptions struct {
	Clock clock.Clock
	// IRQ0 and IRQ8 are where comparators 0 and 1 go in legacy replacement.
	IRQ0, IRQ8 HPETInput
	// Route is input 2 of the I/O APIC, for all comparators.
	Route HPETInput
	// PIT is muted in legacy replacement; nil if there is none. See RTCLine for the
	// RTC.
	PIT *PIT
	// Ticks is what happens to ticks of periodic comparators that the guest
	// misses. A level-triggered one misses those that come while its status bit
	// is set.
	Ticks TickOptions
}

// HPET is a high precision event timer with three comparators. It is a
// bus.Handler for the memory from HPETBase.
//
// Reads may be of any size. Writes are of 4 or 8 bytes, aligned; others are
// undefined by the specification (section 2.3.2), and are ignored.
type HPET struct {
	clock   clock.Clock
	options TickOptions
	pit     *PIT
	rtc     *legacyGate
	inputs  [hpetComparators]hpetInputs
	timers  [hpetComparators]clock.Timer

	mu     sync.Mutex
	s      HPETState
	driven [hpetComparators]irq.Line // asserted by a level-triggered comparator
}

// HPETState is all there is to know about an HPET.
type HPETState struct {
	Config      uint8
	Status      uint8  // bit n: comparator n, level-triggered, has matched
	Counter     uint64 // main counter at Since
	Since       int64  // in ticks of the machine's clock
	Comparators [hpetComparators]HPETComparator
}

// NewHPET returns an HPET in its power-on state: it stands, and the PIT and the
// RTC have their interrupts.
func NewHPET(o HPETOptions) *HPET {
	h := &HPET{clock: o.Clock, options: o.Ticks, pit: o.PIT}
	route := connected(o.Route)
	shared := irq.NewShared(route.Line)
	for i := range h.inputs {
		h.inputs[i].route = HPETInput{Pulse: route.Pulse, Line: shared.Source()}
		h.timers[i] = h.clock.NewTimer(func() { h.expire(i) })
	}
	h.inputs[0].legacy, h.inputs[1].legacy = connected(o.IRQ0), connected(o.IRQ8)
	h.rtc = &legacyGate{out: irq.None{}}
	h.Reset()
	return h
}

// connected replaces what is nil by what leads nowhere, and makes the line one
// that can be compared.
func connected(in HPETInput) HPETInput {
	if in.Pulse == nil {
		in.Pulse = irq.None{}
	}
	if in.Line == nil {
		in.Line = irq.None{}
	}
	in.Line = irq.NewShared(in.Line).Source()
	return in
}

// State returns a copy of the device's state.
func (h *HPET) State() HPETState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.s
}

// Reset returns the HPET to its power-on state.
func (h *HPET) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.s
	h.s = HPETState{Since: h.ticks()}
	for i := range h.s.Comparators {
		h.s.Comparators[i] = HPETComparator{
			Value: ^uint64(0),
			Ticks: TickState{Generation: old.Comparators[i].Ticks.Generation + 1},
		}
	}
	h.replaceLegacy()
	h.update()
}

// ticks is the machine's time in counts of the main counter.
func (h *HPET) ticks() int64 { return int64(h.clock.Now()) / hpetTick }

// running tells whether the main counter counts.
func (h *HPET) running() bool { return h.s.Config&hpetEnable != 0 }

// advance brings the main counter and the comparators to the present. mu is held.
func (h *HPET) advance() {
	now := h.ticks()
	elapsed := uint64(now - h.s.Since)
	h.s.Since = now
	if !h.running() || elapsed == 0 {
		return
	}
	for i := range h.s.Comparators {
		if n := h.s.Comparators[i].advance(h.s.Counter, elapsed); n > 0 {
			h.matched(i, n)
		}
	}
	h.s.Counter += elapsed
}

// Read answers a read. One that crosses a multiple of 8 has zeros beyond.
func (h *HPET) Read(offset uint64, data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.advance()
	if offset&^7 == hpetStatus {
		h.update()
	}
	v := h.register(offset&^7) >> (8 * (offset & 7))
	for i := range data {
		data[i] = uint8(v)
		v >>= 8
	}
}

func (h *HPET) register(offset uint64) uint64 {
	switch offset {
	case hpetCapabilities:
		return HPETPeriod<<32 | HPETID
	case hpetConfig:
		return uint64(h.s.Config)
	case hpetStatus:
		return uint64(h.s.Status)
	case hpetCounter:
		return h.s.Counter
	}
	if offset < hpetBlocks || offset >= hpetBlocksEnd {
		return 0
	}
	c := &h.s.Comparators[(offset-hpetBlocks)/hpetBlock]
	switch (offset - hpetBlocks) % hpetBlock {
	case blockConfig:
		return c.capabilities()
	case blockComparator:
		return c.Value
	}
	return 0 // the FSB route, which there is not
}

// Write answers a write.
func (h *HPET) Write(offset uint64, data []byte) {
	var v, mask uint64
	switch {
	case len(data) == 8 && offset%8 == 0:
		v, mask = binary.LittleEndian.Uint64(data), ^uint64(0)
	case len(data) == 4 && offset%4 == 0:
		shift := 8 * (offset & 7)
		v, mask = uint64(binary.LittleEndian.Uint32(data))<<shift, 0xFFFF_FFFF<<shift
	default:
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.advance()
	h.write(offset&^7, v, mask)
	h.update()
}

// write changes the bits of a register that are set in mask.
func (h *HPET) write(offset, v, mask uint64) {
	switch offset {
	case hpetConfig:
		h.configure(uint8(uint64(h.s.Config)&^mask|v&mask) & (hpetEnable | hpetLegacy))
		return
	case hpetStatus:
		h.s.Status &^= uint8(v & mask)
		return
	case hpetCounter:
		if !h.running() { // section 2.3.7: only a counter that stands can be written
			h.s.Counter = h.s.Counter&^mask | v&mask
		}
		return
	}
	if offset < hpetBlocks || offset >= hpetBlocksEnd {
		return
	}
	i := (offset - hpetBlocks) / hpetBlock
	c := &h.s.Comparators[i]
	switch (offset - hpetBlocks) % hpetBlock {
	case blockConfig:
		c.configure(uint16(uint64(c.Config)&^mask | v&mask))
		if !c.level() {
			h.s.Status &^= 1 << i
		}
	case blockComparator:
		c.set(v, mask)
	}
}

// configure takes a value of the configuration register.
func (h *HPET) configure(v uint8) {
	h.s.Config = v
	if !h.running() {
		for i := range h.s.Comparators {
			h.s.Comparators[i].forget()
		}
	}
	h.replaceLegacy()
}
