package ide

import "github.com/govmm/govmm/block"

const (
	maxMultiple   = 16 // sectors of SET MULTIPLE MODE
	bufferSectors = bufferSize / block.SectorSize

	maxLBA28 = 1 << 28 // sectors
)

// address is the address in the task file: a sector's number in 48 bits, in 28,
// or its cylinder, head and sector, which is counted from 1. It is false for a
// place that the translation does not have.
//
//	         Device 3-0   High    Mid     Low
//	LBA48                 47-40   39-32   31-24   written first
//	                      23-16   15-8    7-0
//	LBA28    27-24        23-16   15-8    7-0
//	CHS      head         cylinder        sector
func (k *disk) address(ext bool) (lba uint64, ok bool) {
	s := &k.s
	low, mid, high := uint64(s.Low), uint64(s.Mid), uint64(s.High)
	device := k.ch.s.Device
	head := uint64(device & deviceHead)
	lba = low&0xFF | mid&0xFF<<8 | high&0xFF<<16
	switch {
	case ext:
		return lba | low>>8<<24 | mid>>8<<32 | high>>8<<40, true
	case device&deviceLBA != 0:
		return lba | head<<24, true
	}
	t := s.Disk.Translation
	cylinder, sector := lba>>8, low&0xFF
	if sector == 0 || sector > uint64(t.Sectors) || head >= uint64(t.Heads) || cylinder >= uint64(t.Cylinders) {
		return 0, false
	}
	return (cylinder*uint64(t.Heads)+head)*uint64(t.Sectors) + sector - 1, true
}

// setAddress puts an address into the task file, in the way that the command
// has chosen.
func (k *disk) setAddress(lba uint64, ext bool) {
	s := &k.s
	device := &k.ch.s.Device
	switch {
	case ext:
		s.Low = uint16(lba&0xFF | lba>>24<<8)
		s.Mid = uint16(lba>>8&0xFF | lba>>32<<8)
		s.High = uint16(lba>>16&0xFF | lba>>40<<8)
		return
	case *device&deviceLBA != 0:
		*device = *device&^deviceHead | uint8(lba>>24&deviceHead)
		s.Low, s.Mid, s.High = uint16(lba&0xFF), uint16(lba>>8&0xFF), uint16(lba>>16&0xFF)
		return
	}
	t := s.Disk.Translation
	track, cylinder := lba/uint64(t.Sectors), lba/uint64(t.Sectors)/uint64(t.Heads)
	*device = *device&^deviceHead | uint8(track%uint64(t.Heads))
	s.Low = uint16(lba%uint64(t.Sectors)) + 1
	s.Mid, s.High = uint16(cylinder&0xFF), uint16(cylinder>>8&0xFF)
}

// count is the number of sectors in the task file, where 0 stands for one more
// than fits.
func (k *disk) count(ext bool) uint32 {
	n, most := uint32(k.s.Count), uint32(1<<16)
	if !ext {
		n, most = n&0xFF, 1<<8
	}
	if n == 0 {
		return most
	}
	return n
}

// onDisk reports whether n sectors from lba on are all there.
func (k *disk) onDisk(lba, n uint64) bool {
	size := k.sectors.Load()
	return lba < size && n <= size-lba
}

// transfer starts a command that moves sectors.
func (k *disk) transfer(p protocol, ext, multiple bool) {
	s := &k.s
	s.Disk.Power = PowerActive
	s.BlockSectors = 1
	if multiple {
		s.BlockSectors = uint32(s.Disk.Multiple)
	}
	if s.BlockSectors == 0 || p.writes() && k.readOnly {
		k.fail(errorABRT)
		return
	}
	lba, ok := k.address(ext)
	n := k.count(ext)
	if !ok || !k.onDisk(lba, uint64(n)) {
		k.fail(errorIDNF)
		return
	}
	s.LBA, s.Remaining, s.Buffered, s.Single = lba, n, 0, false
	switch p {
	case protocolRead, protocolVerify:
		k.fill()
	case protocolWrite:
		k.demandBlock(false)
	default:
		k.awaitDMA()
	}
}

// fill reads the next sectors into the buffer, ahead of what the driver takes.
func (k *disk) fill() {
	s := &k.s
	s.Buffered = min(s.Remaining, bufferSectors)
	if s.Single {
		s.Buffered = min(s.Buffered, s.BlockSectors)
	}
	k.submit(block.Read, int64(s.LBA)*block.SectorSize, k.buffer(s.Buffered*block.SectorSize), 0)
}

// narrow reads block by block what could not be read at once, so that the driver
// gets what comes before the bad sector.
func (k *disk) narrow() bool {
	p, _, _ := transfer(k.s.Command)
	if p != protocolRead && p != protocolVerify || k.s.Single || k.s.Buffered <= k.s.BlockSectors {
		return false
	}
	k.s.Single = true
	k.fill()
	return true
}

// offerBlock lets the driver read the next block from the buffer, at from.
func (k *disk) offerBlock(from uint32) {
	n := min(k.s.BlockSectors, k.s.Buffered)
	k.offer(from, from+n*block.SectorSize)
}

// demandBlock lets the driver write the next block into the buffer.
func (k *disk) demandBlock(interrupt bool) {
	s := &k.s
	from := s.Buffered * block.SectorSize
	n := min(s.BlockSectors, s.Remaining-s.Buffered)
	k.demand(from, from+n*block.SectorSize, interrupt)
}

// moved is called when the driver has read or written a block.
func (k *disk) moved(phase Phase) {
	s := &k.s
	if p, _, _ := transfer(s.Command); p == protocolNone {
		k.idle(statusReady)
		return
	}
	if phase == DataOut {
		s.Buffered = s.End / block.SectorSize
		if s.Buffered < s.Remaining && s.Buffered+s.BlockSectors <= bufferSectors {
			k.demandBlock(true)
			return
		}
		k.submit(block.Write, int64(s.LBA)*block.SectorSize, k.buffer(s.End), 0)
		return
	}
	n := min(s.BlockSectors, s.Buffered)
	s.Buffered -= n
	k.proceed(n)
	switch {
	case s.Remaining == 0:
		k.result()
		k.idle(statusReady)
	case s.Buffered > 0:
		k.offerBlock(s.End)
	default:
		k.fill()
	}
}

// proceed notes that n sectors are done.
func (k *disk) proceed(n uint32) {
	k.s.LBA += uint64(n)
	k.s.Remaining -= n
}

// result leaves in the task file the address of the last sector.
func (k *disk) result() {
	_, ext, _ := transfer(k.s.Command)
	k.setAddress(k.s.LBA-1, ext)
	k.s.Count = 0
}

// transferred goes on with a transfer when the host's disk has done a part.
func (k *disk) transferred(p protocol, err error) {
	s := &k.s
	if err != nil {
		_, ext, _ := transfer(s.Command)
		k.setAddress(s.LBA, ext)
		s.Count = uint16(s.Remaining)
		k.fail(errorOf(k.request.Op, err))
		return
	}
	if p == protocolRead {
		k.offerBlock(0)
		return
	}
	k.proceed(s.Buffered)
	s.Buffered = 0
	if s.Remaining == 0 {
		if p == protocolReadDMA || p == protocolWriteDMA {
			k.ch.busMaster.complete()
		}
		k.result()
		k.succeed()
		return
	}
	switch p {
	case protocolVerify:
		k.fill()
	case protocolWrite:
		k.demandBlock(true)
	default:
		k.awaitDMA()
	}
}

// dma moves the next part of a transfer between guest memory and the host's
// disk.
func (k *disk) dma() error {
	s := &k.s
	if s.Command == cmdDataSetManagement {
		return k.receiveRanges()
	}
	n, err := k.ch.busMaster.gather(min(s.Remaining, maxTransfer/block.SectorSize) * block.SectorSize)
	if n == 0 {
		return err
	}
	s.Buffered = n / block.SectorSize
	op := block.Read
	if p, _, _ := transfer(s.Command); p.writes() {
		op = block.Write
	}
	k.submitDirect(op, int64(s.LBA)*block.SectorSize)
	return nil
}

// dmaEnded ends a transfer that has no memory to go to.
func (k *disk) dmaEnded(short bool) {
	if short {
		k.idle(statusReady)
		return
	}
	k.fail(errorABRT)
}
