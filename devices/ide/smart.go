package ide

import (
	"encoding/binary"

	"github.com/govmm/govmm/block"
)

// Subcommands of SMART, in the Features register (ATA8-ACS, section 7.53).
const (
	smartReadData       = 0xD0
	smartReadThresholds = 0xD1
	smartAutosave       = 0xD2
	smartExecuteTest    = 0xD4
	smartReadLog        = 0xD5
	smartEnable         = 0xD8
	smartDisable        = 0xD9
	smartReturnStatus   = 0xDA

	// The key in LBA Mid and High, which is also the answer that all is well.
	smartKeyMid  = 0x4F
	smartKeyHigh = 0xC2
)

// Offsets in what SMART READ DATA gives.
const (
	smartAttributes    = 2
	smartAttributeSize = 12
	smartOffline       = 362 // status of the last off-line data collection
	smartSelfTest      = 363 // status of the last self-test; 0 is passed
	smartOfflineTime   = 364
	smartOfflineCan    = 367
	smartCan           = 368
	smartErrorLogging  = 370
	smartShortTime     = 372 // minutes
	smartExtendedTime  = 373
	smartChecksum      = 511

	smartRevision = 0x0010
)

// Logs of SMART READ LOG.
const (
	logDirectory = 0x00
	logErrors    = 0x01
	logSelfTest  = 0x06
)

// smartAttribute is one that never gets worse.
type smartAttribute struct {
	id        uint8
	flags     uint16
	threshold uint8
}

// attributes are those that tools look for first.
func attributes() [4]smartAttribute {
	const prefailure, online, count = 1 << 0, 1 << 1, 1 << 4
	return [...]smartAttribute{
		{1, prefailure | online, 6},          // read error rate
		{5, prefailure | online | count, 36}, // reallocated sectors
		{9, online | count, 0},               // hours of operation
		{12, online | count, 20},             // power cycles
	}
}

// smart carries out SMART.
func (k *disk) smart() {
	s := &k.s.Disk
	subcommand := uint8(k.s.Features)
	if uint8(k.s.Mid) != smartKeyMid || uint8(k.s.High) != smartKeyHigh || !s.SMART && subcommand != smartEnable {
		k.fail(errorABRT)
		return
	}
	page := k.buf[:block.SectorSize]
	switch subcommand {
	case smartEnable, smartDisable:
		s.SMART = subcommand == smartEnable
	case smartAutosave:
		switch uint8(k.s.Count) {
		case 0xF1:
			s.SMARTAutosave = true
		case 0x00:
			s.SMARTAutosave = false
		default:
			k.fail(errorABRT)
			return
		}
	case smartReturnStatus:
		k.s.Mid, k.s.High = smartKeyMid, smartKeyHigh
	case smartExecuteTest:
		if !k.selfTest(uint8(k.s.Low)) {
			k.fail(errorABRT)
			return
		}
	case smartReadData, smartReadThresholds, smartReadLog:
		clear(page)
		if !k.smartPage(subcommand, page) {
			k.fail(errorABRT)
			return
		}
		k.offer(0, block.SectorSize)
		return
	default:
		k.fail(errorABRT)
		return
	}
	k.succeed()
}

// selfTest carries out a test off-line, which takes no time and always passes.
func (k *disk) selfTest(test uint8) bool {
	const offline, short, extended, abort = 0, 1, 2, 127
	switch test {
	case offline, abort:
	case short, extended:
		k.s.Disk.SMARTSelfTest, k.s.Disk.SMARTSelfTested = test, true
	default:
		return false
	}
	return true
}

// smartPage fills the sector that a subcommand gives.
func (k *disk) smartPage(subcommand uint8, page []byte) bool {
	switch subcommand {
	case smartReadData:
		k.smartData(page)
	case smartReadThresholds:
		binary.LittleEndian.PutUint16(page, smartRevision)
		for i, a := range attributes() {
			at := page[smartAttributes+i*smartAttributeSize:]
			at[0], at[1] = a.id, a.threshold
		}
	default:
		if uint8(k.s.Count) != 1 {
			return false // each log is one sector
		}
		return k.smartLog(uint8(k.s.Low), page)
	}
	page[smartChecksum] = -sum(page)
	return true
}

func (k *disk) smartData(page []byte) {
	le := binary.LittleEndian
	le.PutUint16(page, smartRevision)
	for i, a := range attributes() {
		at := page[smartAttributes+i*smartAttributeSize:]
		at[0] = a.id
		le.PutUint16(at[1:], a.flags)
		at[3], at[4] = 100, 100 // value and worst value
	}
	page[smartOffline] = 0x02 // done without error
	if k.s.Disk.SMARTAutosave {
		page[smartOffline] |= 0x80
	}
	le.PutUint16(page[smartOfflineTime:], 1)
	page[smartOfflineCan] = 1<<4 | 1<<0 // self-test, execute off-line immediate
	le.PutUint16(page[smartCan:], 3)
	page[smartErrorLogging] = 1
	page[smartShortTime], page[smartExtendedTime] = 1, 1
}

// smartLog fills a log. The directory has no checksum.
func (k *disk) smartLog(log uint8, page []byte) bool {
	switch log {
	case logDirectory:
		page[0] = 1 // version
		page[2*logErrors] = 1
		page[2*logSelfTest] = 1
		return true
	case logErrors:
		page[0] = 1 // version; no errors
	case logSelfTest:
		page[0] = 1
		if s := &k.s.Disk; s.SMARTSelfTested {
			page[2] = s.SMARTSelfTest // of the first entry; status passed
			page[508] = 1             // index of the last entry
		}
	default:
		return false
	}
	page[smartChecksum] = -sum(page)
	return true
}
