package platform

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
		if k.noMouse {
			k.answer(auxDataStuckHigh) // there is no such port
		} else {
			k.answer(interfaceGood)
		}
	case cmdSelfTest:
		k.s.RAM[0] = commandAtSelfTest | commandSystem
		k.s.Status = k.s.Status&^(statusOutputFull|statusAux|statusTimeout) | statusSystem
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
		switch k.s.Status & (statusOutputFull | statusAux) {
		case statusOutputFull:
			v |= outputBufferFull
		case statusOutputFull | statusAux:
			v |= outputAuxFull
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
	case 0:
		k.toKeyboard(v)
	case cmdWriteOutputPort:
		k.s.OutputPort = v &^ (outputBufferFull | outputAuxFull)
		if v&outputA20 == 0 {
			closeA20(k.log)
		}
		return v&outputReset == 0
	case cmdWriteOutput:
		k.answer(v)
	case cmdWriteAuxOutput:
		if k.noMouse {
			k.answer(v) // what should seem to come from the mouse, as on the AT
		} else {
			k.answerFrom(v, statusAux)
		}
	case cmdWriteAux:
		k.toMouse(v)
	default:
		k.s.RAM[command&0x1F] = v
		if command == cmdWriteRAM {
			k.s.Status = k.s.Status&^statusSystem | v&commandSystem
		}
	}
	return false
}

// toKeyboard sends a byte to the keyboard, which enables its interface.
func (k *I8042) toKeyboard(v uint8) {
	k.s.RAM[0] &^= commandDisable
	if k.noKeyboard {
		k.timeOut(0)
		return
	}
	k.s.Keyboard.receive(v)
}

// toMouse sends a byte to the mouse, which enables its interface.
func (k *I8042) toMouse(v uint8) {
	if k.noMouse {
		k.timeOut(0)
		return
	}
	k.s.RAM[0] &^= commandDisableAux
	k.s.Mouse.receive(v)
}
