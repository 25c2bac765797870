package nic

// EEPROMWords is how many words of 16 bits a 93C46 has.
const EEPROMWords = 64

// The command of a serial EEPROM (93C46): a start bit and an operation of two
// bits, and the address of 6. Only reading has an effect.
const (
	opRead      = 0b110
	commandBits = 9
)

// EEPROM is a 93C46, which cards have their address in, as it is seen through its
// pins.
type EEPROM struct {
	Words [EEPROMWords]uint16
	Clock bool
	In    uint32 // bits of the command
	Got   uint8  // how many of them
	Out   uint32 // what is shifted out, from bit 16 on
	DO    bool   // the output
}

// Set follows the pins. A bit moves either way when the clock rises.
func (e *EEPROM) Set(selected, clock, di bool) {
	rises := clock && !e.Clock
	e.Clock = clock
	switch {
	case !selected:
		e.In, e.Got, e.Out, e.DO = 0, 0, 0, false
	case !rises:
	case e.Got == 0 && !di: // before the start bit
	case e.Got < commandBits:
		e.In <<= 1
		if di {
			e.In |= 1
		}
		if e.Got++; e.Got == commandBits && e.In>>6 == opRead {
			e.Out = uint32(e.Words[e.In%EEPROMWords])
		}
		e.DO = false // and a zero before the data
	default:
		e.Out <<= 1
		e.DO = e.Out>>16&1 != 0
	}
}
