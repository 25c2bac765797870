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
	statusTimeout    = 1 << 6 // the keyboard did not answer
)

// Command byte, byte 0 of the controller's RAM. Bit 6 translates scan codes.
const (
	commandInterrupt   = 1 << 0 // IRQ1 when the output buffer is full
	commandSystem      = 1 << 2
	commandDisable     = 1 << 4 // keyboard
	commandDisableAux  = 1 << 5
	commandAtPowerOn   = commandInterrupt | commandDisableAux | 1<<6
	commandAtSelfTest  = commandDisable | commandDisableAux | 1<<6
	outputReset        = 1 << 0 // output port: 0 resets the processor
	outputA20          = 1 << 1
	outputBufferFull   = 1 << 4
	outputAtPowerOn    = 0xC0 | outputReset | outputA20
	inputPort          = 0x80 | 1<<5 // not locked, no manufacturing jumper
	noKeyboardAnswered = 0xFE
)

// I8042Options says what the keyboard controller is connected to.
type I8042Options struct {
	// IRQ1 is the keyboard interrupt; nil leads nowhere.
	IRQ1 irq.Line
	// Reset is called when the guest pulls the processor's reset line.
	Reset func(reason string)
	Log   *slog.Logger // nil discards
}

// I8042 is the keyboard controller of a machine with no keyboard and no mouse:
// a byte sent to the keyboard is answered at once with the time-out that the
// controller of a real machine gives after a while, and a mouse port does not
// exist. Guests then find out quickly that nothing is there.
type I8042 struct {
	irq   irq.Line
	reset resetter
	log   *bus.GuestLog

	mu sync.Mutex
	s  I8042State
}

// I8042State is all there is to know about an I8042.
type I8042State struct {
	Status     uint8
	Output     uint8     // output buffer, read at port 0x60
	RAM        [32]uint8 // byte 0 is the command byte
	OutputPort uint8
	Pending    uint8 // command that waits for its data byte; 0 is none
	Asserted   bool  // level of IRQ1
}

// NewI8042 returns a keyboard controller in its power-on state.
func NewI8042(o I8042Options) *I8042 {
	k := &I8042{
		irq:   o.IRQ1,
		reset: resetter{o.Reset, "keyboard controller"},
		log:   bus.NewGuestLog(o.Log, "i8042"),
	}
	if k.irq == nil {
		k.irq = irq.None{}
	}
	k.Reset()
	return k
}

// State returns a copy of the device's state.
func (k *I8042) State() I8042State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.s
}

// Reset returns the controller to its power-on state.
func (k *I8042) Reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s = I8042State{Status: statusUnlocked, OutputPort: outputAtPowerOn, Asserted: k.s.Asserted}
	k.s.RAM[0] = commandAtPowerOn
	k.update()
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
	k.s.Status &^= statusOutputFull | statusTimeout
	k.update()
}

func (k i8042Data) Write(_ uint64, data []byte) {
	k.mu.Lock()
	k.s.Status &^= statusCommand
	reset := k.data(data[0])
	k.update()
	k.mu.Unlock()
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

// answer puts a byte into the output buffer, over one that was not read.
func (k *I8042) answer(v uint8) {
	k.s.Output = v
	k.s.Status = k.s.Status&^statusTimeout | statusOutputFull
}

// timeOut is the answer of a keyboard that is not there.
func (k *I8042) timeOut() {
	k.answer(noKeyboardAnswered)
	k.s.Status |= statusTimeout
}

// update derives what follows from the registers: IRQ1, and the system flag. mu
// is held, also while the line is set: its changes must arrive in order.
func (k *I8042) update() {
	level := k.s.Status&statusOutputFull != 0 && k.s.RAM[0]&commandInterrupt != 0
	if level != k.s.Asserted {
		k.s.Asserted = level
		k.irq.Set(level)
	}
}

// Commands of the controller, written to port 0x64. Others have no effect.
const (
	cmdReadRAM         = 0x20 // to 0x3F
	cmdWriteRAM        = 0x60 // to 0x7F, with data
	cmdPasswordTest    = 0xA4
	cmdDisableAux      = 0xA7
	cmdEnableAux       = 0xA8
	cmdTestAux         = 0xA9
	cmdSelfTest        = 0xAA
	cmdTestKeyboard    = 0xAB
	cmdDisableKeyboard = 0xAD
	cmdEnableKeyboard  = 0xAE
	cmdReadInputPort   = 0xC0
	cmdReadOutputPort  = 0xD0
	cmdWriteOutputPort = 0xD1 // with data
	cmdWriteOutput     = 0xD2 // with data
	cmdWriteAuxOutput  = 0xD3 // with data
	cmdWriteAux        = 0xD4 // with data
	cmdDisableA20      = 0xDD
	cmdEnableA20       = 0xDF
	cmdPulse           = 0xF0 // to 0xFF: pulse the output lines whose bit is 0

	selfTestPassed   = 0x55
	noPassword       = 0xF1
	interfaceGood    = 0x00
	auxDataStuckHigh = 0x04
)

// command takes a command, and reports whether it resets the processor.
func (k *I8042) command(v uint8) (reset bool) {
	k.s.Pending = 0
	switch {
	case v&^0x1F == cmdReadRAM:
		k.answer(k.s.RAM[v&0x1F])
		return false
	case v&^0x1F == cmdWriteRAM:
		k.s.Pending = v
		return false
	case v >= cmdPulse:
		return v&outputReset == 0
	}
	switch v {
	case cmdPasswordTest:
		k.answer(noPassword)
	case cmdDisableAux:
		k.s.RAM[0] |= commandDisableAux
	case cmdEnableAux:
		k.s.RAM[0] &^= commandDisableAux
	case cmdTestAux:
		k.answer(auxDataStuckHigh) // there is no such port
	case cmdSelfTest:
		k.s.RAM[0] = commandAtSelfTest | commandSystem
		k.s.Status |= statusSystem
		k.answer(selfTestPassed)
	case cmdTestKeyboard:
		k.answer(interfaceGood)
	case cmdDisableKeyboard:
		k.s.RAM[0] |= commandDisable
	case cmdEnableKeyboard:
		k.s.RAM[0] &^= commandDisable
	case cmdReadInputPort:
		k.answer(inputPort)
	case cmdReadOutputPort:
		v := k.s.OutputPort
		if k.s.Status&statusOutputFull != 0 {
			v |= outputBufferFull
		}
		k.answer(v)
	case cmdWriteOutputPort, cmdWriteOutput, cmdWriteAuxOutput, cmdWriteAux:
		k.s.Pending = v
	case cmdDisableA20:
		k.s.OutputPort &^= outputA20
		closeA20(k.log)
	case cmdEnableA20:
		k.s.OutputPort |= outputA20
	}
	return false
}

// data takes a byte written to port 0x60: what a command waits for, or one for
// the keyboard. It reports whether it resets the processor.
func (k *I8042) data(v uint8) (reset bool) {
	command := k.s.Pending
	k.s.Pending = 0
	switch command {
	case cmdWriteOutputPort:
		k.s.OutputPort = v &^ outputBufferFull
		if v&outputA20 == 0 {
			closeA20(k.log)
		}
		return v&outputReset == 0
	case cmdWriteOutput, cmdWriteAuxOutput:
		// Without a mouse port, what should seem to come from the mouse comes
		// from the keyboard, as on the AT.
		k.answer(v)
	case cmdWriteAux:
		k.timeOut()
	case 0:
		// Sending enables the keyboard interface (command byte bit 4).
		k.s.RAM[0] &^= commandDisable
		k.timeOut()
	default:
		k.s.RAM[command&0x1F] = v
		if command == cmdWriteRAM {
			k.s.Status = k.s.Status&^statusSystem | v&commandSystem
		}
	}
	return false
}
