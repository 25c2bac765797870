package ide

import (
	"errors"
	"sync"

	"github.com/govmm/govmm/block"
)

const (
	packetSize      = 12
	blockSize       = 2048 // bytes of data in a block of a CD-ROM
	sectorsPerBlock = blockSize / block.SectorSize

	// maxBlocks is how many blocks of a medium can be seen: 2 TiB.
	maxBlocks = 1<<30 - 1
	// maxCD is the greatest number of blocks of a CD: 80 minutes of 60 seconds
	// of 75 blocks. A larger medium is a DVD.
	maxCD = 80 * 60 * 75
)

// CDROM is an ATAPI CD-ROM drive.
type CDROM struct {
	*drive
	options CDROMOptions
	changes sync.Mutex // serialises Eject and Insert
	blocks  uint32     // of the medium
}

// attach implements DriveOptions.
func (o CDROMOptions) attach(d *drive) error {
	if err := o.Errors.check(); err != nil {
		return err
	}
	if o.Model == "" {
		o.Model = cdromModel
	}
	if o.Revision == "" {
		o.Revision = defaultRevision
	}
	k := &CDROM{drive: d, options: o}
	d.errors, d.dev = o.Errors, k
	if o.Backend == nil {
		return nil
	}
	return k.load(o.Backend, false)
}

func (k *CDROM) packet() bool { return true }

// powerOn keeps the medium and the tray where they are.
func (k *CDROM) powerOn(before DriveState) {
	k.s.CDROM = CDROMState{
		TransferMode: modeUltraDMA | maxUltraDMA,
		Power:        PowerActive,
		Inserted:     k.queue != nil,
		TrayOpen:     before.CDROM.TrayOpen,
	}
}

// reset keeps settings, the lock and what is to be said of the medium.
func (k *CDROM) reset() { k.s.CDROM.Sense = 0 }

func (k *CDROM) close() error {
	k.changes.Lock()
	defer k.changes.Unlock()
	k.ch.mu.Lock()
	q := k.queue
	k.queue = nil
	k.ch.mu.Unlock()
	if q == nil {
		return nil
	}
	return q.Close()
}

// execute starts a command.
func (k *CDROM) execute(command uint8) {
	s := &k.s.CDROM
	switch command {
	case cmdPacket:
		k.acceptPacket()
		return
	case cmdIdentifyPacket:
		k.identify()
		k.offer(0, block.SectorSize)
		return
	case cmdIdentify, cmdReadSectors:
		// How drivers that know nothing of packets find out.
		k.signature()
		k.fail(errorABRT)
		return
	case cmdSetFeatures:
		if f := uint8(k.s.Features); f != featureTransferMode && f != featureKeepSettings ||
			f == featureTransferMode && !validMode(uint8(k.s.Count)) {
			k.fail(errorABRT)
			return
		}
		if uint8(k.s.Features) == featureTransferMode {
			s.TransferMode = uint8(k.s.Count)
		}
	case cmdCheckPowerMode, cmdCheckPowerModeOld:
		k.s.Count = uint16(s.Power)
	case cmdIdle, cmdIdleOld, cmdIdleImmediate, cmdIdleImmediateOld:
		s.Power = PowerIdle
	case cmdStandby, cmdStandbyOld, cmdStandbyImmediate, cmdStandbyImmediateOld, cmdSleep, cmdSleepOld:
		s.Power = PowerStandby
	case cmdFlushCache, cmdFlushCacheExt: // there is nothing to flush
	default:
		k.fail(errorABRT)
		return
	}
	k.succeed()
}

// Bits of the Features register of PACKET.
const (
	packetDMA     = 1 << 0
	packetOverlap = 1 << 1
)

// acceptPacket starts PACKET: the driver writes the packet to the Data register.
// The byte count register says how much the driver takes at a time by PIO.
func (k *CDROM) acceptPacket() {
	if k.s.Features&packetOverlap != 0 {
		k.fail(errorABRT)
		return
	}
	s := &k.s.CDROM
	s.UseDMA = k.s.Features&packetDMA != 0
	s.ByteLimit = min(uint32(k.s.High&0xFF<<8|k.s.Mid&0xFF), 0xFFFE)
	s.Power = PowerActive
	k.s.Remaining, k.s.Buffered, k.s.Single = 0, 0, false
	k.s.Count = reasonCoD
	k.demand(0, packetSize, false)
}

// moved is called when the driver has written the packet, or read what was
// offered.
func (k *CDROM) moved(phase Phase) {
	switch {
	case phase == DataOut:
		copy(k.s.CDROM.Packet[:], k.buf)
		k.run()
	case k.s.Command != cmdPacket:
		k.idle(statusReady)
	case k.s.End < k.s.CDROM.Data:
		k.offerPart(k.s.End)
	default:
		k.sent()
	}
}

// send gives n bytes of the buffer to the driver, by the bus master or in parts
// of the size that it takes.
func (k *CDROM) send(n uint32) {
	s := &k.s.CDROM
	s.Data = n
	switch {
	case n == 0:
		k.complete()
	case s.UseDMA:
		k.awaitDMA()
	default:
		k.offerPart(0)
	}
}

// offerPart lets the driver read the next part from the buffer. All but the last
// part have an even size.
func (k *CDROM) offerPart(from uint32) {
	s := &k.s.CDROM
	n := s.Data - from
	if n > s.ByteLimit {
		n = s.ByteLimit &^ 1
	}
	if n == 0 { // the driver takes nothing, but has asked for something
		k.fail(errorABRT)
		return
	}
	k.s.Count = reasonIO
	k.s.Mid, k.s.High = uint16(n&0xFF), uint16(n>>8)
	k.offer(from, from+n)
}

// sent goes on when the driver has all of the buffer.
func (k *CDROM) sent() {
	k.proceed(k.s.Buffered)
	k.next()
}

// complete ends a packet command.
func (k *CDROM) complete() {
	k.s.Count = reasonIO | reasonCoD
	k.succeed()
}

// check ends a packet command with sense data.
func (k *CDROM) check(s Sense) {
	k.s.CDROM.Sense = s
	k.s.Count = reasonIO | reasonCoD
	k.fail(s.Key() << 4)
}

// dmaEnded ends a packet command that has no memory to go to.
func (k *CDROM) dmaEnded(short bool) {
	if short {
		k.s.Count = reasonIO | reasonCoD
		k.idle(statusReady)
		return
	}
	k.check(senseDataPhase)
}

// Words of IDENTIFY PACKET DEVICE that IDENTIFY DEVICE has not.
const (
	// A CD-ROM drive (5) with a removable medium, which accepts a packet within
	// 50 µs (2) of 12 bytes (0).
	generalCDROM = 2<<14 | 5<<8 | 1<<7 | 2<<5

	wordPacketRelease = 71 // two words, in µs
)

// identify fills the buffer for IDENTIFY PACKET DEVICE.
func (k *CDROM) identify() {
	id := newIdentity(k.buf)
	o := &k.options
	id.set(wordGeneral, generalCDROM)
	id.text(wordSerial, SerialLength, o.Serial)
	id.text(wordFirmware, FirmwareLength, o.Revision)
	id.text(wordModel, ModelLength, o.Model)
	id.set(wordDoubleword, 1)
	id.set(wordCapabilities, capabilityIORDY|capabilityLBA|capabilityDMA)
	id.set(wordPIOMode, 2<<8)
	id.set(wordValid, 6) // words 64 to 70, and 88
	id.modes(k.s.CDROM.TransferMode)
	id.set(wordPacketRelease, 30)
	id.set(wordPacketRelease+1, 30)
	id.set(wordVersion, majorVersions&^(1<<8))
	for _, word := range []int{wordSupported, wordEnabled} {
		id.set(word, set82DeviceReset|set82Packet|set82Power)
		id.set(word+2, validWord)
	}
	id.set(wordSupported+1, validWord)
	id.checksum()
}

// errRemoved is the result of a request that was kept when its medium was taken
// out.
var errRemoved = errors.New("the medium was taken out")
