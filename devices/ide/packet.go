package ide

import "encoding/binary"

// Packet commands (MMC-3, section 6; SFF 8020i, section 10).
const (
	opTestUnitReady    = 0x00
	opRequestSense     = 0x03
	opInquiry          = 0x12
	opModeSense6       = 0x1A
	opStartStopUnit    = 0x1B
	opPreventRemoval   = 0x1E
	opReadCapacity     = 0x25
	opRead10           = 0x28
	opSeek10           = 0x2B
	opSynchronizeCache = 0x35
	opReadTOC          = 0x43
	opGetConfiguration = 0x46
	opGetEventStatus   = 0x4A
	opReadDiscInfo     = 0x51
	opModeSense10      = 0x5A
	opRead12           = 0xA8
	opReadDVDStructure = 0xAD
	opSetCDSpeed       = 0xBB
	opMechanismStatus  = 0xBD
	opReadCD           = 0xBE
)

// needsMedium reports whether a command is for a drive with a medium only.
func needsMedium(op uint8) bool {
	switch op {
	case opTestUnitReady, opReadCapacity, opRead10, opRead12, opReadCD, opSeek10,
		opReadTOC, opReadDiscInfo, opReadDVDStructure:
		return true
	}
	return false
}

// keepsAttention reports whether a command is carried out while a unit attention
// is to be reported.
func keepsAttention(op uint8) bool {
	switch op {
	case opInquiry, opRequestSense, opGetEventStatus, opGetConfiguration:
		return true
	}
	return false
}

// be16, be24 and be32 are numbers in a packet.
func (s *CDROMState) be16(at int) uint32 { return uint32(binary.BigEndian.Uint16(s.Packet[at:])) }
func (s *CDROMState) be24(at int) uint32 { return uint32(s.Packet[at])<<16 | s.be16(at+1) }
func (s *CDROMState) be32(at int) uint32 { return binary.BigEndian.Uint32(s.Packet[at:]) }

// run carries out the packet.
func (k *CDROM) run() {
	s := &k.s.CDROM
	op := s.Packet[0]
	if s.UnitAttention && !keepsAttention(op) {
		s.UnitAttention = false
		k.check(senseMediumChanged)
		return
	}
	if op != opRequestSense {
		s.Sense = 0
	}
	if needsMedium(op) && !k.ready() {
		k.check(k.noMedium())
		return
	}
	switch op {
	case opTestUnitReady, opSynchronizeCache, opSetCDSpeed:
		k.complete()
	case opStartStopUnit:
		k.startStop()
	case opPreventRemoval:
		s.Locked = s.Packet[4]&1 != 0
		k.complete()
	case opSeek10:
		if s.be32(2) >= k.blocks {
			k.check(senseOutOfRange)
			return
		}
		k.complete()
	case opRead10:
		k.read(s.be32(2), s.be16(7), blockSize)
	case opRead12:
		k.read(s.be32(2), s.be32(6), blockSize)
	case opReadCD:
		k.readCD()
	default:
		k.inform(op)
	}
}

// inform carries out the commands whose answer is made up here.
func (k *CDROM) inform(op uint8) {
	s := &k.s.CDROM
	page := k.buf[:replySize]
	clear(page)
	var n int
	limit := s.be16(7)
	var sense Sense
	switch op {
	case opRequestSense:
		n, limit = k.requestSense(page), uint32(s.Packet[4])
	case opInquiry:
		n, sense = k.inquiry(page)
		limit = s.be16(3)
	case opModeSense6:
		n, sense = k.modeSense(page, modeHeader6)
		limit = uint32(s.Packet[4])
	case opModeSense10:
		n, sense = k.modeSense(page, modeHeader10)
	case opReadCapacity:
		binary.BigEndian.PutUint32(page, k.blocks-1)
		binary.BigEndian.PutUint32(page[4:], blockSize)
		n, limit = 8, 8
	case opReadTOC:
		n, sense = k.readTOC(page)
	case opReadDiscInfo:
		n = discInformation(page)
	case opGetConfiguration:
		n, sense = k.configuration(page)
	case opGetEventStatus:
		n, sense = k.eventStatus(page)
	case opMechanismStatus:
		n, limit = k.mechanismStatus(page), s.be16(8)
	case opReadDVDStructure:
		n, sense = k.dvdStructure(page)
		limit = s.be16(8)
	default:
		sense = senseInvalidCommand
	}
	if sense != 0 {
		k.check(sense)
		return
	}
	k.send(min(uint32(n), limit))
}

// replySize is the size of the largest answer, in bytes.
const replySize = 4096

// requestSense gives why the last command has failed, or what there is to be
// said. Fixed format (MMC-3, section 6.1.18):
//
//	0     2     7           12    13
//	+-----+-----+-----------+-----+------+
//	| 70h | key | length 10 | ASC | ASCQ |
//	+-----+-----+-----------+-----+------+
func (k *CDROM) requestSense(page []byte) int {
	s := &k.s.CDROM
	sense := s.Sense
	if sense == 0 && s.UnitAttention {
		sense = senseMediumChanged
		s.UnitAttention = false
	}
	s.Sense = 0
	page[0], page[2], page[7], page[12], page[13] = 0x70, sense.Key(), 10, sense.ASC(), sense.ASCQ()
	return 18
}

// inquiry gives what the drive is. There are no vital product data pages.
func (k *CDROM) inquiry(page []byte) (int, Sense) {
	if k.s.CDROM.Packet[1]&1 != 0 || k.s.CDROM.Packet[2] != 0 {
		return 0, senseInvalidField
	}
	const size = 36
	page[0] = 0x05 // CD-ROM
	page[1] = 0x80 // removable
	page[3] = 0x21 // ATAPI, response format 1
	page[4] = size - 5
	vendor, product := k.names()
	text(page[8:16], vendor)
	text(page[16:32], product)
	text(page[32:36], k.options.Revision)
	return size, 0
}

// names divides the model at its first space.
func (k *CDROM) names() (vendor, product string) {
	model := k.options.Model
	for i := range len(model) {
		if model[i] == ' ' {
			return model[:i], model[i+1:]
		}
	}
	return "GOVMM", model
}

// text puts a string into a field, padded with spaces.
func text(field []byte, s string) {
	for i := copy(field, s); i < len(field); i++ {
		field[i] = ' '
	}
}

// mechanismStatus says that there is one slot, and whether the tray is open.
func (k *CDROM) mechanismStatus(page []byte) int {
	if k.s.CDROM.TrayOpen {
		page[1] = 1 << 4
	}
	page[5] = 1
	return 8
}
