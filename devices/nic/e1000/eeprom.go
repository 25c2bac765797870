package e1000

import "encoding/binary"

// The subsystem that the EEPROM names, and the PCI header: QEMU's.
const (
	subsystemVendor = 0x1AF4
	subsystem       = 0x1100
)

// Words of the EEPROM (section 5.6).
const (
	eepromWords = 64
	wordInit1   = 0x0A
	wordSubsys  = 0x0B
	wordSubvend = 0x0C
	wordDevice  = 0x0D
	wordVendor  = 0x0E
	wordSum     = 0x3F
	eepromSum   = 0xBABA // of all words
)

// Bits of EECD (section 13.4.3).
const (
	eecdSK   = 1 << 0 // clock
	eecdCS   = 1 << 1 // chip select
	eecdDI   = 1 << 2 // to the EEPROM
	eecdDO   = 1 << 3 // from it
	eecdFWE  = 1 << 4 // flash writes are disabled
	eecdREQ  = 1 << 6
	eecdGNT  = 1 << 7
	eecdPRES = 1 << 8
)

// Bits of EERD (section 13.4.4):
//
//	0 start  4 done  8 address(8)  16 data(16)
const (
	eerdStart = 1 << 0
	eerdDone  = 1 << 4
)

// The command of a serial EEPROM (93C46): a start bit and an operation of two
// bits, and the address of 6. Only reading has an effect.
const (
	opRead      = 0b110
	commandBits = 9
)

// eeprom is the card's memory, as it is seen through its serial interface.
type eeprom struct {
	Words   [eepromWords]uint16
	Control uint32 // of EECD, as written
	In      uint32 // bits of the command
	Got     uint8  // how many of them
	Out     uint32 // what is shifted out, from bit 16 on
	DO      bool
}

// newEEPROM is the EEPROM of a card with an address.
func newEEPROM(mac [6]byte) eeprom {
	var e eeprom
	for i := range 3 {
		e.Words[i] = binary.LittleEndian.Uint16(mac[2*i:])
	}
	e.Words[wordInit1] = 0x4408
	e.Words[wordSubsys], e.Words[wordSubvend] = subsystem, subsystemVendor
	e.Words[wordDevice], e.Words[wordVendor] = device82540, vendorIntel
	sum := uint16(eepromSum)
	for _, w := range e.Words {
		sum -= w
	}
	e.Words[wordSum] = sum
	return e
}

// control is what EECD reads as.
func (e *eeprom) control() uint32 {
	v := e.Control | eecdPRES | eecdFWE
	if v&eecdREQ != 0 {
		v |= eecdGNT
	}
	if e.DO {
		v |= eecdDO
	}
	return v
}

// setControl follows the pins. A bit moves either way when the clock rises.
func (e *eeprom) setControl(v uint32) {
	v &= eecdSK | eecdCS | eecdDI | eecdREQ
	rises := v&^e.Control&eecdSK != 0
	e.Control = v
	switch {
	case v&eecdCS == 0:
		e.In, e.Got, e.Out, e.DO = 0, 0, 0, false
	case !rises:
	case e.Got == 0 && v&eecdDI == 0: // before the start bit
	case e.Got < commandBits:
		e.In = e.In << 1
		if v&eecdDI != 0 {
			e.In |= 1
		}
		if e.Got++; e.Got == commandBits && e.In>>6 == opRead {
			e.Out = uint32(e.Words[e.In%eepromWords])
		}
		e.DO = false // and a zero before the data
	default:
		e.Out <<= 1
		e.DO = e.Out>>16&1 != 0
	}
}

// read is a read by EERD, which is done at once.
func (e *eeprom) read(v uint32) uint32 {
	if v&eerdStart == 0 {
		return v
	}
	address := v >> 8 & 0xFF
	return uint32(e.Words[address%eepromWords])<<16 | address<<8 | eerdDone
}
