package ide

import (
	"encoding/binary"

	"github.com/govmm/govmm/block"
)

// maxTrimBlocks is how many sectors of ranges DATA SET MANAGEMENT takes, which
// IDENTIFY DEVICE says.
const maxTrimBlocks = 8

// dsmTrim is the only function of DATA SET MANAGEMENT, in Features.
const dsmTrim = 1 << 0

// An LBA range entry (ATA8-ACS, section 4.18.3.2); one of length 0 is not used:
//
//	 63     48 47               0
//	+---------+------------------+
//	| sectors |   first sector   |
//	+---------+------------------+
const (
	rangeSize  = 8
	rangeCount = 48
	rangeLBA   = 1<<rangeCount - 1
)

// canTrim reports whether the host's disk can give space back.
func (k *disk) canTrim() bool { return !k.readOnly && k.backend.Topology().DiscardGranularity > 0 }

// dataSetManagement starts the command, whose ranges come by DMA.
func (k *disk) dataSetManagement() {
	if n := k.s.Count; k.s.Features&0xFF != dsmTrim || n == 0 || n > maxTrimBlocks || !k.canTrim() {
		k.fail(errorABRT)
		return
	}
	k.s.Disk.Power = PowerActive
	k.s.Position, k.s.End = 0, uint32(k.s.Count)*block.SectorSize
	k.awaitDMA()
}

// receiveRanges takes the ranges from guest memory, and begins with the first
// when all of them are on the disk.
func (k *disk) receiveRanges() error {
	ranges := k.buf[:k.s.End]
	if err := k.ch.busMaster.receive(ranges); err != nil {
		return err
	}
	k.ch.busMaster.complete()
	for at := 0; at < len(ranges); at += rangeSize {
		if lba, n := readRange(ranges[at:]); n > 0 && !k.onDisk(lba, n) {
			k.fail(errorIDNF)
			return nil
		}
	}
	k.trimNext()
	return nil
}

// readRange reads an entry.
func readRange(p []byte) (lba, sectors uint64) {
	v := binary.LittleEndian.Uint64(p)
	return v & rangeLBA, v >> rangeCount
}

// trimNext gives the next range back to the host.
func (k *disk) trimNext() {
	for k.s.Position < k.s.End {
		lba, n := readRange(k.buf[k.s.Position:])
		k.s.Position += rangeSize
		if n > 0 {
			k.submit(block.Discard, int64(lba)*block.SectorSize, nil, int64(n)*block.SectorSize)
			return
		}
	}
	k.succeed()
}

// trimmed goes on when the host's disk has done a range.
func (k *disk) trimmed(err error) {
	if err != nil {
		k.fail(errorOf(block.Discard, err))
		return
	}
	k.trimNext()
}
