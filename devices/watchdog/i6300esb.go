package watchdog

import (
	"log/slog"
	"sync"
	"time"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/pci"
)

// Registers in configuration space (data sheet, section 16.5).
//
//	0x60, 2 bytes:  | 15 6: 0 | 5: output off | 4 3: 0 | 2: prescaler | 1 0: interrupt |
//	0x68, 1 byte:   | 7 3: 0 | 2: free-running | 1: enable | 0: lock |
const (
	regConfig = 0x60
	regLock   = 0x68

	configOutputOff = 1 << 5 // nothing follows a timeout
	configMicro     = 1 << 2 // the counter's unit is about a microsecond, not a millisecond
	configInterrupt = 3 << 0
	configBits      = configOutputOff | configMicro | configInterrupt

	interruptOff = 3

	lockFreeRunning = 1 << 2
	lockEnable      = 1 << 1
	lockLock        = 1 << 0 // nothing changes the register any more, until a reset
	lockBits        = lockFreeRunning | lockEnable | lockLock
)

// Registers in memory (section 16.6).
//
//	+0x0  preload value 1        | 31 20: 0 | 19 0: first stage |
//	+0x4  preload value 2        | 31 20: 0 | 19 0: second stage |
//	+0x8  interrupt status       | 31 1: 0 | 0: the first stage is over |
//	+0xC  reload                 | 15 10: 0 | 9: timeout | 8: reload | 7 0: unlock |
const (
	memorySize = 16

	regPreload1 = 0x0
	regPreload2 = 0x4
	regStatus   = 0x8
	regReload   = 0xC

	statusActive  = 1 << 0
	reloadTimeout = 1 << 9
	reloadReload  = 1 << 8
	preloadMax    = 1<<20 - 1

	unlock1 = 0x80
	unlock2 = 0x86
)

// The down-counter has 35 bits and counts PCI clocks. A preload value is its upper
// 20 bits, or those from bit 5 on.
const (
	pciClock   = 30 * time.Nanosecond
	millisUnit = pciClock << 15
	microsUnit = pciClock << 5
)

// leastPeriod keeps a guest from making the host work for a timer that does nothing
// but run out.
const leastPeriod = time.Millisecond

// The stages of the countdown.
const (
	stopped = iota
	firstStage
	secondStage
)

// I6300ESB is the watchdog timer of the 6300ESB. It is a pci.Function.
//
// Each change of a register in memory has to be announced by two writes to the reload
// register, 0x80 and 0x86. When the first stage is over the second one begins; when
// that is over, the timeout bit is set, and Fired called unless the output is off.
// A free-running timer has the second stage alone, again and again.
type I6300ESB struct {
	*pci.Config
	clock clock.Clock
	fired func()
	timer clock.Timer
	log   *bus.GuestLog

	mu sync.Mutex
	s  I6300ESBState
}

// I6300ESBState is all there is to know of the timer beside its configuration
// space.
type I6300ESBState struct {
	Preload  [2]uint32 // of the two stages
	Unlocked int       // how many of the two unlocking writes have been made
	Stage    int       // 0 when it does not count
	Deadline time.Duration
	Active   bool // the first stage is over
	Timeout  bool // the second one was over, once. A reset does not clear it
}

// I6300ESBOptions say what the timer is connected to.
type I6300ESBOptions struct {
	Name  string // for messages
	Clock clock.Clock
	// Fired is called when the time is over, on the clock's goroutine. It must not
	// wait.
	Fired func()
	Log   *slog.Logger // nil discards
}

// NewI6300ESB returns a timer in its power-on state.
func NewI6300ESB(o I6300ESBOptions) (*I6300ESB, error) {
	c, err := pci.NewConfig(pci.Header{
		Name: o.Name, Vendor: 0x8086, Device: 0x25AB, Class: 0x088000,
		SubsystemVendor: 0x1AF4, Subsystem: 0x1100, // as virtual machines have
	})
	if err != nil {
		return nil, err
	}
	w := &I6300ESB{Config: c, clock: o.Clock, fired: o.Fired, log: bus.NewGuestLog(o.Log, o.Name)}
	c.Define16(regConfig, 0, configBits)
	c.Define8(regLock, 0, 0) // WriteConfig writes it
	if err := c.AddBAR(pci.BAR{Index: 0, Kind: pci.Memory32, Size: memorySize, Handler: (*memory)(w)}); err != nil {
		return nil, err
	}
	w.timer = o.Clock.NewTimer(w.expire)
	w.Reset()
	return w, nil
}

// State returns a copy of the state.
func (w *I6300ESB) State() I6300ESBState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.s
}

// Reset returns the timer to its power-on state. Only the timeout bit stays, which
// tells the next system why it was started.
func (w *I6300ESB) Reset() {
	w.Config.Reset()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
	w.s = I6300ESBState{Preload: [2]uint32{preloadMax, preloadMax}, Timeout: w.s.Timeout}
}

// WriteConfig takes the guest's write to registers.
func (w *I6300ESB) WriteConfig(reg uint8, data []byte) {
	w.Config.WriteConfig(reg, data)
	if reg <= regLock && int(reg)+len(data) > regLock {
		w.writeLock(data[regLock-reg])
	}
}

func (w *I6300ESB) writeLock(value uint8) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.Uint8(regLock)
	if was&lockLock != 0 {
		if w.log.Allow() {
			w.log.Warn("the guest writes to the lock register, which it has locked")
		}
		return
	}
	w.SetUint8(regLock, value&lockBits)
	switch {
	case value&lockEnable == 0:
		w.s.Stage = stopped
		w.timer.Stop()
	case was&lockEnable == 0:
		w.begin()
	}
}

// begin starts the countdown anew. mu is held.
func (w *I6300ESB) begin() {
	if w.Uint8(regLock)&lockFreeRunning != 0 {
		w.count(secondStage)
	} else {
		w.count(firstStage)
	}
}

// count starts a stage. mu is held.
func (w *I6300ESB) count(stage int) {
	unit := millisUnit
	if w.Uint16(regConfig)&configMicro != 0 {
		unit = microsUnit
	}
	w.s.Stage = stage
	w.s.Deadline = w.clock.Now() + max(time.Duration(w.s.Preload[stage-firstStage])*unit, leastPeriod)
	w.timer.Set(w.s.Deadline)
}

// expire is the timer's callback. The guest may have been faster.
func (w *I6300ESB) expire() {
	if w.elapse() {
		w.fired()
	}
}

// elapse ends a stage, if it is over, and reports whether Fired is to be called.
func (w *I6300ESB) elapse() (fire bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.s.Stage == stopped || w.clock.Now() < w.s.Deadline {
		return false
	}
	config := w.Uint16(regConfig)
	if w.s.Stage == firstStage {
		w.s.Active = config&configInterrupt != interruptOff
		w.count(secondStage)
		return false
	}
	w.s.Timeout = true
	w.s.Stage = stopped
	if w.Uint8(regLock)&lockFreeRunning != 0 {
		w.count(secondStage)
	}
	return config&configOutputOff == 0
}

// memory is the timer's registers in memory.
type memory I6300ESB

// Read answers the guest's read.
func (m *memory) Read(offset uint64, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range data {
		at := offset + uint64(i)
		data[i] = uint8(m.register(at&^3) >> (8 * (at & 3)))
	}
}

// register is the value of a register. mu is held.
func (m *memory) register(offset uint64) (v uint32) {
	switch offset {
	case regPreload1:
		return m.s.Preload[0]
	case regPreload2:
		return m.s.Preload[1]
	case regStatus:
		if m.s.Active {
			v = statusActive
		}
	case regReload:
		if m.s.Timeout {
			v = reloadTimeout
		}
	}
	return v
}

// Write takes the guest's write. One that is announced, and is not to the beginning
// of a register, does nothing and has to be announced again.
func (m *memory) Write(offset uint64, data []byte) {
	var v uint32
	for i, b := range data[:min(len(data), 4)] {
		v |= uint32(b) << (8 * i)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case offset == regReload && v == unlock1:
		m.s.Unlocked = 1
		return
	case offset == regReload && v == unlock2 && m.s.Unlocked == 1:
		m.s.Unlocked = 2
		return
	}
	if m.s.Unlocked == 2 {
		m.set(offset, v)
	} else if m.log.Allow() {
		m.log.Warn("the guest writes to a locked register", "offset", offset)
	}
	m.s.Unlocked = 0
}

// set changes a register. mu is held.
func (m *memory) set(offset uint64, v uint32) {
	switch offset {
	case regPreload1:
		m.s.Preload[0] = v & preloadMax
	case regPreload2:
		m.s.Preload[1] = v & preloadMax
	case regStatus:
		if v&statusActive != 0 {
			m.s.Active = false
		}
	case regReload:
		if v&reloadTimeout != 0 {
			m.s.Timeout = false
		}
		if v&reloadReload != 0 && m.Uint8(regLock)&lockEnable != 0 {
			(*I6300ESB)(m).begin()
		}
	}
}
