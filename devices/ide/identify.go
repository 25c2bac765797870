package ide

import (
	"encoding/binary"
	"math/bits"

	"github.com/govmm/govmm/block"
)

// identity is the 256 words that IDENTIFY DEVICE and IDENTIFY PACKET DEVICE give
// (ATA8-ACS, section 7.16).
type identity []byte

// newIdentity clears the words.
func newIdentity(buf []byte) identity {
	id := identity(buf[:block.SectorSize])
	clear(id)
	return id
}

func (id identity) set(word int, v uint16) { binary.LittleEndian.PutUint16(id[2*word:], v) }

// set32 and set64 put the least significant word first.
func (id identity) set32(word int, v uint32) { binary.LittleEndian.PutUint32(id[2*word:], v) }
func (id identity) set64(word int, v uint64) { binary.LittleEndian.PutUint64(id[2*word:], v) }

// text fills n bytes from a word on, padded with spaces. The first character of
// each word is in its upper byte.
func (id identity) text(word, n int, s string) {
	for i := range n {
		c := byte(' ')
		if i < len(s) {
			c = s[i]
		}
		id[2*word+i^1] = c
	}
}

// checksum makes the sum of all bytes 0, in the word that says so.
func (id identity) checksum() {
	id[510] = 0xA5
	id[511] = 0
	id[511] = -sum(id)
}

func sum(p []byte) (n byte) {
	for _, b := range p {
		n += b
	}
	return n
}

// Words of the identity, and bits in them.
const (
	wordGeneral       = 0
	wordCylinders     = 1
	wordSpecific      = 2
	wordHeads         = 3
	wordTrackBytes    = 4 // ATA-1, as the next one and the three about the buffer
	wordSectorBytes   = 5
	wordSectors       = 6
	wordSerial        = 10
	wordBufferType    = 20
	wordBufferSectors = 21
	wordLongBytes     = 22 // of READ LONG, behind the data
	wordFirmware      = 23
	wordModel         = 27
	wordMaxMultiple   = 47
	wordDoubleword    = 48
	wordCapabilities  = 49
	wordCapabilities2 = 50
	wordPIOMode       = 51
	wordDMAMode       = 52
	wordValid         = 53
	wordCurrent       = 54 // cylinders, heads, sectors, capacity (32 bits)
	wordMultiple      = 59
	wordLBA28         = 60
	wordMultiwordDMA  = 63
	wordPIOModes      = 64
	wordCycleTimes    = 65 // four of them, in ns
	wordVersion       = 80
	wordSupported     = 82 // three words, and what is enabled in the next three
	wordEnabled       = 85
	wordUltraDMA      = 88
	wordReset         = 93
	wordLBA48         = 100
	wordTrimBlocks    = 105
	wordSectorSizes   = 106
	wordWWN           = 108
	wordSupported2    = 119
	wordEnabled2      = 120
	wordTrim          = 169
	wordAlignment     = 209
	wordRotation      = 217

	// validWord marks words that would otherwise be taken for not filled in.
	validWord = 1 << 14

	set82SMART       = 1 << 0
	set82Power       = 1 << 3
	set82Packet      = 1 << 4
	set82WriteCache  = 1 << 5
	set82LookAhead   = 1 << 6
	set82DeviceReset = 1 << 9
	set82NOP         = 1 << 14
	set83LBA48       = 1 << 10
	set83Flush       = 1 << 12
	set83FlushExt    = 1 << 13
	set84SMARTLog    = 1 << 0
	set84SMARTTest   = 1 << 1
	set84WWN         = 1 << 8

	capabilityDMA   = 1 << 8
	capabilityLBA   = 1 << 9
	capabilityIORDY = 1 << 11

	majorVersions = 0x01F0 // ATA/ATAPI-4 to ATA8-ACS
)

// identify fills the buffer for IDENTIFY DEVICE.
func (k *disk) identify() {
	id := newIdentity(k.buf)
	o, s := &k.options, &k.s.Disk
	sectors := k.sectors.Load()

	id.set(wordGeneral, 1<<6) // not removable
	id.set(wordCylinders, min(k.geometry.Cylinders, standardCylinder))
	id.set(wordSpecific, 0xC837) // complete, and no SET FEATURES needed to spin up
	id.set(wordHeads, uint16(k.geometry.Heads))
	id.set(wordTrackBytes, uint16(k.geometry.Sectors)*block.SectorSize)
	id.set(wordSectorBytes, block.SectorSize)
	id.set(wordSectors, uint16(k.geometry.Sectors))
	id.text(wordSerial, SerialLength, o.Serial)
	id.set(wordBufferType, 3) // read ahead
	id.set(wordBufferSectors, bufferSectors)
	id.set(wordLongBytes, 4)
	id.text(wordFirmware, FirmwareLength, o.Revision)
	id.text(wordModel, ModelLength, o.Model)
	id.set(wordMaxMultiple, 0x80<<8|maxMultiple)
	id.set(wordDoubleword, validWord) // since ATA8-ACS Trusted Computing, which this is not
	id.set(wordCapabilities, capabilityIORDY|capabilityLBA|capabilityDMA)
	id.set(wordCapabilities2, validWord)
	id.set(wordPIOMode, 2<<8)
	id.set(wordDMAMode, 2<<8)
	id.set(wordValid, 7) // words 54 to 58, 64 to 70, and 88

	t := s.Translation
	id.set(wordCurrent, t.Cylinders)
	id.set(wordCurrent+1, uint16(t.Heads))
	id.set(wordCurrent+2, uint16(t.Sectors))
	id.set32(wordCurrent+3, uint32(min(t.capacity(), sectors)))
	if s.Multiple != 0 {
		id.set(wordMultiple, 1<<8|uint16(s.Multiple))
	}
	id.set32(wordLBA28, uint32(min(sectors, maxLBA28-1)))
	id.set64(wordLBA48, sectors)
	id.modes(s.TransferMode)
	k.identifyFeatures(id)

	if k.unit == 0 {
		id.set(wordReset, 0x600B) // 80-wire cable, passed diagnostics, jumper
	} else {
		id.set(wordReset, 0x6300)
	}
	id.set(wordSectorSizes, k.sectorSizes())
	id.set(wordAlignment, validWord)
	id.set(wordRotation, o.RotationRate)
	if k.canTrim() {
		id.set(wordTrimBlocks, maxTrimBlocks)
		id.set(wordTrim, 1)
	}
	id.checksum()
}

// modes fills the words about transfer modes.
func (id identity) modes(mode uint8) {
	multiword, ultra := dmaModes(mode)
	id.set(wordMultiwordDMA, multiword)
	id.set(wordUltraDMA, ultra)
	id.set(wordPIOModes, 3) // 3 and 4
	for i := range 4 {
		id.set(wordCycleTimes+i, 120)
	}
}

// identifyFeatures fills the words about command sets: what is supported, and
// what is enabled.
func (k *disk) identifyFeatures(id identity) {
	s := &k.s.Disk
	supported := [3]uint16{
		set82NOP | set82LookAhead | set82WriteCache | set82Power | set82SMART,
		validWord | set83FlushExt | set83Flush | set83LBA48,
		validWord | set84SMARTLog | set84SMARTTest,
	}
	if k.options.WWN != 0 {
		supported[2] |= set84WWN
		for i := range 4 {
			id.set(wordWWN+i, uint16(k.options.WWN>>(48-16*i)))
		}
	}
	enabled := supported
	enabled[1] &^= validWord
	for _, f := range []struct {
		on  bool
		bit uint16
	}{{s.LookAhead, set82LookAhead}, {s.WriteCache, set82WriteCache}, {s.SMART, set82SMART}} {
		if !f.on {
			enabled[0] &^= f.bit
		}
	}
	for i := range supported {
		id.set(wordSupported+i, supported[i])
		id.set(wordEnabled+i, enabled[i])
	}
	id.set(wordVersion, majorVersions)
	id.set(wordSupported2, validWord)
	id.set(wordEnabled2, validWord)
}

// sectorSizes is word 106: how many logical sectors are in a physical one.
func (k *disk) sectorSizes() uint16 {
	size := k.options.PhysicalBlockSize
	if size == 0 {
		size = k.backend.Topology().PhysicalBlockSize
	}
	exponent := min(max(bits.Len(uint(size/block.SectorSize)), 1)-1, 15)
	if exponent == 0 {
		return validWord
	}
	return validWord | 1<<13 | uint16(exponent)
}
