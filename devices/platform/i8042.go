package platform

import (
	"log/slog"
	"sync"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/irq"
)

// Ports of the keyboard controller.
const (
	I8042DataPort    = 0x60
	I8042CommandPort = 0x64
)

// Status register, port 0x64:
//
//	   7       6       5      4      3      2      1     0
//	+--------+---------+-----+------+------+-----+-----+-----+
//	| parity | timeout | aux | /inh | cmd? | sys | IBF | OBF |
//	+--------+---------+-----+------+------+-----+-----+-----+
const (
	statusOutputFull = 1 << 0 // a byte waits at port 0x60
	statusSystem     = 1 << 2 // the self-test has passed
	statusCommand    = 1 << 3 // the last write was to port 0x64
	statusUnlocked   = 1 << 4
	statusAux        = 1 << 5 // the byte comes from the mouse
	statusTimeout    = 1 << 6 // the device did not answer
)

// Command byte, byte 0 of the controller's RAM:
//
//	 7     6         5          4       3    2      1       0
//	+---+-------+---------+----------+---+-----+-------+------+
//	| 0 |transl.|aux off  | keyb. off| 0 | sys | IRQ12 | IRQ1 |
//	+---+-------+---------+----------+---+-----+-------+------+
const (
	commandInterrupt    = 1 << 0 // when the output buffer is full
	commandInterruptAux = 1 << 1
	commandSystem       = 1 << 2
	commandDisable      = 1 << 4 // keyboard
	commandDisableAux   = 1 << 5
	commandTranslate    = 1 << 6 // scan codes of set 2 to set 1
	commandAtPowerOn    = commandInterrupt | commandDisableAux | commandTranslate
	commandAtSelfTest   = commandDisable | commandDisableAux | commandTranslate
)

// Output port:
//
//	  7      6      5      4      3     2     1     0
//	+-----+-------+-----+------+-----+-----+-----+------+
//	|data | clock |IRQ12| IRQ1 | aux | aux | A20 |/reset|
//	+-----+-------+-----+------+-----+-----+-----+------+
const (
	outputReset      = 1 << 0 // 0 resets the processor
	outputA20        = 1 << 1
	outputBufferFull = 1 << 4
	outputAuxFull    = 1 << 5
	outputAtPowerOn  = 0xC0 | outputReset | outputA20
)

// inputPort says that the keyboard is not locked, and that there is no
// manufacturing jumper.
const inputPort = 0x80 | 1<<5

// noDevice is what the controller answers for a device that does not.
const noDevice = 0xFE

// I8042Options says what the keyboard controller is connected to.
type I8042Options struct {
	// IRQ1 and IRQ12 are the interrupts of keyboard and mouse; nil leads
	// nowhere.
	IRQ1, IRQ12 irq.Line
	// NoKeyboard and NoMouse leave a device out. What is sent to one is then
	// answered at once with the time-out that a real controller gives after a
	// while, so that guests find out quickly; without a mouse there is no
	// mouse port either.
	NoKeyboard, NoMouse bool
	// LEDs is told the keyboard's LEDs when the guest changes them, on the
	// thread of the vCPU: bit 0 Scroll Lock, bit 1 Num Lock, bit 2 Caps Lock.
	// It must not wait, nor call the controller. Nil is not told.
	LEDs func(leds uint8)
	// Reset is called when the guest pulls the processor's reset line.
	Reset func(reason string)
	Log   *slog.Logger // nil discards
}

// I8042 is the keyboard controller of a PS/2, with its keyboard and its mouse.
//
// It has one output buffer. A byte goes into it when the one before was read:
// first an answer of the controller itself, then what comes from the keyboard,
// then what comes from the mouse, of each device only while its interface is
// enabled.
type I8042 struct {
	irq1, irq12         irq.Line
	noKeyboard, noMouse bool
	leds                func(uint8)
	reset               resetter
	log                 *bus.GuestLog
	keyboard            Keyboard
	mouse               Mouse

	mu sync.Mutex
	s  I8042State
}

// I8042State is all there is to know about an I8042 and what is plugged in.
type I8042State struct {
	Status     uint8
	Output     uint8     // output buffer, read at port 0x60
	RAM        [32]uint8 // byte 0 is the command byte
	OutputPort uint8
	Pending    uint8 // command that waits for its data byte; 0 is none
	Answer     uint8 // of the controller, that waits for the output buffer
	AnswerBits uint8 // its status bits; 0 is no answer
	Asserted1  bool  // level of IRQ1
	Asserted12 bool  // level of IRQ12
	Keyboard   KeyboardState
	Mouse      MouseState
}

// NewI8042 returns a keyboard controller in its power-on state.
func NewI8042(o I8042Options) *I8042 {
	k := &I8042{
		irq1:       o.IRQ1,
		irq12:      o.IRQ12,
		noKeyboard: o.NoKeyboard,
		noMouse:    o.NoMouse,
		leds:       o.LEDs,
		reset:      resetter{o.Reset, "keyboard controller"},
		log:        bus.NewGuestLog(o.Log, "i8042"),
	}
	if k.irq1 == nil {
		k.irq1 = irq.None{}
	}
	if k.irq12 == nil {
		k.irq12 = irq.None{}
	}
	k.keyboard.controller, k.mouse.controller = k, k
	k.Reset()
	return k
}

// Keyboard is the keyboard, for who presses its keys.
func (k *I8042) Keyboard() *Keyboard { return &k.keyboard }

// Mouse is the mouse, for who moves it.
func (k *I8042) Mouse() *Mouse { return &k.mouse }

// State returns a copy of the state.
func (k *I8042) State() I8042State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.s
}

// Reset returns the controller and its devices to their power-on state, that
// is, to how firmware leaves them after its own tests.
func (k *I8042) Reset() {
	k.mu.Lock()
	leds := k.s.Keyboard.LEDs
	s := &k.s
	*s = I8042State{
		Status: statusUnlocked, OutputPort: outputAtPowerOn,
		Asserted1: s.Asserted1, Asserted12: s.Asserted12,
		Keyboard: s.Keyboard, Mouse: s.Mouse,
	}
	s.RAM[0] = commandAtPowerOn
	s.Keyboard.reset()
	s.Mouse.reset()
	k.update()
	k.mu.Unlock()
	k.tellLEDs(leds, 0)
}

// DataPort returns the handler of port 0x60.
func (k *I8042) DataPort() bus.Handler { return i8042Data{k} }

// CommandPort returns the handler of port 0x64.
func (k *I8042) CommandPort() bus.Handler { return i8042Command{k} }

type i8042Data struct{ *I8042 }

func (k i8042Data) Read(_ uint64, data []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	data[0] = k.s.Output
	k.s.Status &^= statusOutputFull | statusAux | statusTimeout
	k.drive() // low, before the next byte raises it
	k.update()
}

func (k i8042Data) Write(_ uint64, data []byte) {
	k.mu.Lock()
	before := k.s.Keyboard.LEDs
	k.s.Status &^= statusCommand
	reset := k.data(data[0])
	k.update()
	after := k.s.Keyboard.LEDs
	k.mu.Unlock()
	k.tellLEDs(before, after)
	if reset {
		k.reset.ask(k.log)
	}
}

type i8042Command struct{ *I8042 }

func (k i8042Command) Read(_ uint64, data []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	data[0] = k.s.Status
}

func (k i8042Command) Write(_ uint64, data []byte) {
	k.mu.Lock()
	k.s.Status |= statusCommand
	reset := k.command(data[0])
	k.update()
	k.mu.Unlock()
	if reset {
		k.reset.ask(k.log)
	}
}

func (k *I8042) tellLEDs(before, after uint8) {
	if k.leds != nil && before != after {
		k.leds(after)
	}
}

// answer gives a byte of the controller's own, as soon as the output buffer is
// free.
func (k *I8042) answer(v uint8) { k.answerFrom(v, 0) }

// answerFrom is answer with status bits.
func (k *I8042) answerFrom(v, bits uint8) {
	k.s.Answer, k.s.AnswerBits = v, bits|statusOutputFull
}

// timeOut is the answer of a device that is not there.
func (k *I8042) timeOut(bits uint8) { k.answerFrom(noDevice, bits|statusTimeout) }

// update fills the output buffer and sets the interrupts. mu is held, also
// while the lines are set: their changes must arrive in order.
func (k *I8042) update() {
	k.load()
	k.drive()
}

// load fills the output buffer, if it is free.
func (k *I8042) load() {
	s := &k.s
	if s.Status&statusOutputFull != 0 {
		return
	}
	if s.AnswerBits != 0 {
		s.Output = s.Answer
		s.Status |= s.AnswerBits
		s.AnswerBits = 0
		return
	}
	if s.RAM[0]&commandDisable == 0 {
		if v, ok := s.Keyboard.next(s.RAM[0]&commandTranslate != 0); ok {
			s.Output = v
			s.Status |= statusOutputFull
			return
		}
	}
	if s.RAM[0]&commandDisableAux == 0 {
		if v, ok := s.Mouse.next(); ok {
			s.Output = v
			s.Status |= statusOutputFull | statusAux
		}
	}
}

// drive gives the interrupt lines their levels.
func (k *I8042) drive() {
	s := &k.s
	from := s.Status & (statusOutputFull | statusAux)
	if level := from == statusOutputFull && s.RAM[0]&commandInterrupt != 0; level != s.Asserted1 {
		s.Asserted1 = level
		k.irq1.Set(level)
	}
	if level := from == statusOutputFull|statusAux && s.RAM[0]&commandInterruptAux != 0; level != s.Asserted12 {
		s.Asserted12 = level
		k.irq12.Set(level)
	}
}
