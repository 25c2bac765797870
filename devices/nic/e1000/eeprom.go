package e1000

import (
	"encoding/binary"

	"github.com/govmm/govmm/devices/nic"
)

// The subsystem that the EEPROM names, and the PCI header: QEMU's.
const (
	subsystemVendor = 0x1AF4
	subsystem       = 0x1100
)

// Words of the EEPROM (section 5.6).
const (
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

// eeprom is the card's memory, as it is seen through its serial interface.
type eeprom struct {
	nic.EEPROM
	Control uint32 // of EECD, as written
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

// setControl follows the pins.
func (e *eeprom) setControl(v uint32) {
	e.Control = v & (eecdSK | eecdCS | eecdDI | eecdREQ)
	e.Set(v&eecdCS != 0, v&eecdSK != 0, v&eecdDI != 0)
}

// read is a read by EERD, which is done at once.
func (e *eeprom) read(v uint32) uint32 {
	if v&eerdStart == 0 {
		return v
	}
	address := v >> 8 & 0xFF
	return uint32(e.Words[address%nic.EEPROMWords])<<16 | address<<8 | eerdDone
}
