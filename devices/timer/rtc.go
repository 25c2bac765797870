package timer

import (
	"sync"
	"time"

	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/irq"
)

// The RTC on the port bus: the index of a register, then its data.
const (
	RTCPort  = 0x70
	RTCPorts = 2
)

// Registers of the MC146818 with a meaning of their own. Those from 0x0E on
// are CMOS RAM; its layout is the PC firmware's (see cmos.go).
const (
	regSeconds      = 0x00
	regSecondsAlarm = 0x01
	regMinutes      = 0x02
	regMinutesAlarm = 0x03
	regHours        = 0x04
	regHoursAlarm   = 0x05
	regWeekday      = 0x06
	regDay          = 0x07
	regMonth        = 0x08
	regYear         = 0x09
	regA            = 0x0A // UIP | divider 6:4 | periodic rate 3:0
	regB            = 0x0B // SET | PIE | AIE | UIE | SQWE | DM | 24/12 | DSE
	regC            = 0x0C // IRQF | PF | AF | UF | 0
	regD            = 0x0D // VRT | 0
	regCentury      = 0x32
)

const (
	aUIP     = 1 << 7
	aDivider = 7 << 4
	aRate    = 15

	bSET    = 1 << 7
	bPIE    = 1 << 6
	bAIE    = 1 << 5
	bUIE    = 1 << 4
	bSQWE   = 1 << 3
	bBinary = 1 << 2
	b24Hour = 1 << 1

	// The flags in register C stand where B has their enables.
	cIRQF = 1 << 7
	cPF   = bPIE
	cAF   = bAIE
	cUF   = bUIE

	dVRT = 1 << 7 // the battery is good
)

// crystal is the RTC's time base in Hz.
const crystal = 32768

// updateInProgress is for how long before the seconds change UIP reads 1: 244
// microseconds of warning and 1984 of update cycle (MC146818, table 3).
const updateInProgress = 2228 * time.Microsecond

// RTCOptions says what an RTC is connected to and what it remembers.
type RTCOptions struct {
	Clock clock.Clock
	// Wall is the time of day; nil is the host's. The RTC shows its UTC plus
	// Offset, until the guest sets another time.
	Wall   func() time.Time
	Offset time.Duration
	// Zone, if it is not nil, takes the place of Offset: the RTC shows the time of
	// this zone, as it is when the machine is switched on. A change to summer
	// time meanwhile is the guest's business, as on a PC.
	Zone *time.Location
	// KeepTime lets the time that the guest has set live over a reset, as it does
	// on a PC. Otherwise a reset takes the RTC back to Offset or Zone.
	KeepTime bool
	// Changed is called when the guest has set the time, with the new Offset. It is
	// called with the RTC locked, and must not wait.
	Changed func(offset time.Duration)
	// IRQ is the interrupt output, IRQ8 on a PC, asserted until the guest
	// reads register C; nil leads nowhere.
	IRQ irq.Line
	// Ticks is what happens to periodic interrupts that the guest misses: that
	// come while it has not read register C since the one before.
	Ticks TickOptions
	// RAMBelow4G and RAMAbove4G are the guest's memory in bytes, which the
	// CMOS RAM tells to the firmware.
	RAMBelow4G, RAMAbove4G uint64
	// CMOS is what else the CMOS RAM tells.
	CMOS CMOS
}

// RTC is an MC146818 with the PC's 128 bytes of registers and CMOS RAM. It is a
// bus.Handler for the two ports from RTCPort. (The PIIX3 has no extended bank
// at 0x72.)
//
// The weekday follows from the date; writes to it have no effect.
type RTC struct {
	clock clock.Clock
	wall  func() time.Time
	irq   irq.Line
	timer clock.Timer
	ticks TickOptions
	start func(wall time.Time) time.Duration // the offset after power-on
	keep  bool
	// changed tells of a new offset; it may be nil.
	changed func(offset time.Duration)

	mu sync.Mutex
	s  RTCState
}

// RTCState is all there is to know about an RTC.
type RTCState struct {
	Index     uint8 // bits 6:0 of port 0x70
	NMIMasked bool  // bit 7 of port 0x70
	// RAM holds all registers. Those of the time of day are valid only while
	// the clock stands (SET, or divider held in reset).
	RAM [128]uint8
	// The RTC's time is the wall clock's plus these.
	OffsetSeconds     int64
	OffsetNanoseconds int64 // 0 to 999999999

	SeenPeriodic int64 // periodic interrupts up to this crystal tick are flagged, or in Ticks
	SeenSecond   int64 // updates and alarms up to this second are flagged
	Asserted     bool  // level of the interrupt output
	Ticks        TickState
}

// NewRTC returns an RTC that was set and initialised before by the firmware: it
// runs, in BCD and 24-hour mode, with all interrupts disabled.
func NewRTC(o RTCOptions) *RTC {
	r := &RTC{clock: o.Clock, wall: o.Wall, irq: o.IRQ, ticks: o.Ticks, start: o.start(), keep: o.KeepTime, changed: o.Changed}
	if r.wall == nil {
		r.wall = time.Now
	}
	if r.irq == nil {
		r.irq = irq.None{}
	}
	r.timer = r.clock.NewTimer(r.expire)
	r.s.setOffset(r.start(r.wall()))
	r.s.RAM[regA] = 0x26 // 32768 Hz, 1024 Hz periodic rate
	r.s.RAM[regB] = b24Hour
	r.s.RAM[regD] = dVRT
	r.s.setMemorySize(o.RAMBelow4G, o.RAMAbove4G)
	r.s.setHardware(o.CMOS)
	r.s.setChecksum()
	r.s.SeenSecond, _ = r.now()
	r.s.SeenPeriodic = ticksAt(r.clock.Now(), crystal)
	return r
}

// start is the offset after power-on, given the time of day.
func (o *RTCOptions) start() func(time.Time) time.Duration {
	if zone := o.Zone; zone != nil {
		return func(wall time.Time) time.Duration {
			_, seconds := wall.In(zone).Zone()
			return time.Duration(seconds) * time.Second
		}
	}
	offset := o.Offset
	return func(time.Time) time.Duration { return offset }
}

// State returns a copy of the device's state.
func (r *RTC) State() RTCState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s
}

// Offset is how far the RTC is ahead of the wall clock's UTC: the options' value,
// or what the guest has made of it. It is cut off at 292 years.
func (r *RTC) Offset() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.offset()
}

// Reset does what the RESET pin does: interrupts are disabled and cleared. CMOS
// RAM lives on its battery, and so does the time with RTCOptions.KeepTime.
func (r *RTC) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.s.Index, r.s.NMIMasked = 0, false
	r.s.RAM[regB] &^= bPIE | bAIE | bUIE | bSQWE
	r.flag()
	r.s.RAM[regC] = 0
	if !r.keep {
		r.s.setOffset(r.start(r.wall()))
		r.s.SeenSecond, _ = r.now()
		r.show() // also in the registers of a clock that stands
	}
	r.update()
}

// Read answers a read of ports 0x70, which floats, and 0x71.
func (r *RTC) Read(offset uint64, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range data {
		data[i] = 0xFF
		if offset+uint64(i) == 1 {
			data[i] = r.read(r.s.Index)
		}
	}
}

// Write answers a write to ports 0x70 and 0x71.
func (r *RTC) Write(offset uint64, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, v := range data {
		if offset+uint64(i) == 0 {
			r.s.Index, r.s.NMIMasked = v&0x7F, v&0x80 != 0
			continue
		}
		r.write(r.s.Index, v)
	}
}

func (r *RTC) read(reg uint8) uint8 {
	switch reg {
	case regSeconds, regMinutes, regHours, regWeekday, regDay, regMonth, regYear, regCentury:
		r.latch()
	case regA:
		if _, nsec := r.now(); r.s.running() && nsec >= int64(time.Second-updateInProgress) {
			return r.s.RAM[regA] | aUIP
		}
	case regC:
		r.flag()
		v := r.s.RAM[regC]
		r.s.RAM[regC] = 0
		r.update()
		return v
	}
	return r.s.RAM[reg]
}

func (r *RTC) write(reg, v uint8) {
	switch reg {
	case regSeconds, regMinutes, regHours, regDay, regMonth, regYear, regCentury:
		r.flag()
		r.latch()
		r.s.RAM[reg] = v
		if r.s.running() {
			r.setTime()
		}
	case regSecondsAlarm, regMinutesAlarm, regHoursAlarm:
		r.flag()
		r.s.RAM[reg] = v
	case regA:
		r.writeControl(func(s *RTCState) { s.RAM[regA] = v &^ aUIP })
	case regB:
		r.writeControl(func(s *RTCState) {
			if v&bSET != 0 && s.RAM[regB]&bSET == 0 {
				v &^= bUIE // SET going high clears it
			}
			s.RAM[regB] = v
		})
	case regWeekday, regC, regD: // read-only
		return
	default:
		r.s.RAM[reg] = v
		return
	}
	r.update()
}

// writeControl changes register A or B: this may stop the clock, with the time
// of day left in the registers, or start it from what they then hold.
func (r *RTC) writeControl(change func(*RTCState)) {
	r.flag()
	r.latch()
	wasRunning, wasHeld, period := r.s.running(), r.s.held(), r.s.period()
	change(&r.s)
	if r.s.period() != period {
		r.s.Ticks.restart()
	}
	if wasHeld && !r.s.held() {
		// The first update comes half a second after the divider is released
		// (MC146818, "Divider Stages").
		_, nsec := r.now()
		r.shift(int64(500*time.Millisecond) - nsec)
	}
	if !wasRunning && r.s.running() {
		r.setTime()
	}
}
