package ide

import (
	"errors"

	"github.com/govmm/govmm/block"
)

// A raw block of mode 1 (MMC-3, section 4.2.3): what is behind the data is left
// zero, as no driver checks it.
//
//	0      12       16        2064             2352
//	+------+--------+---------+----------------+
//	| sync | header | data    | EDC, zero, ECC |
//	+------+--------+---------+----------------+
const (
	rawSize   = 2352
	rawHeader = 12
	rawData   = 16

	rawBlocks = bufferSize / rawSize // that fit into the buffer
)

// read gives n blocks from lba on, of size bytes each.
func (k *CDROM) read(lba, n, size uint32) {
	if lba >= k.blocks || n > k.blocks-lba {
		k.check(senseOutOfRange)
		return
	}
	k.s.CDROM.BlockBytes = size
	k.s.LBA, k.s.Remaining, k.s.Buffered = uint64(lba)*sectorsPerBlock, n*sectorsPerBlock, 0
	k.next()
}

// Fields of READ CD: what is expected to be there, and what of it is wanted.
const (
	typeAny   = 0
	typeMode1 = 2

	wantNothing = 0x00
	wantData    = 0x10
	wantAll     = 0xF8
)

// readCD gives blocks with or without what is around the data. All of them are
// of mode 1.
func (k *CDROM) readCD() {
	s := &k.s.CDROM
	if t := s.Packet[1] >> 2 & 7; t != typeAny && t != typeMode1 {
		k.check(senseWrongMode)
		return
	}
	if s.Packet[10]&7 != 0 { // sub-channel data
		k.check(senseInvalidField)
		return
	}
	switch s.Packet[9] & 0xF8 {
	case wantNothing:
		k.complete()
	case wantData:
		k.read(s.be32(2), s.be24(6), blockSize)
	case wantAll:
		k.read(s.be32(2), s.be24(6), rawSize)
	default:
		k.check(senseInvalidField)
	}
}

// proceed notes that n sectors are done.
func (k *CDROM) proceed(n uint32) {
	k.s.LBA += uint64(n)
	k.s.Remaining -= n
	k.s.Buffered = 0
}

// raw reports whether blocks are made in the buffer.
func (k *CDROM) raw() bool { return k.s.CDROM.BlockBytes == rawSize }

// next goes on with a read, or ends the command.
func (k *CDROM) next() {
	s := &k.s
	switch {
	case s.Remaining == 0:
		if s.CDROM.UseDMA {
			k.ch.busMaster.complete()
		}
		k.complete()
	case s.CDROM.UseDMA && !k.raw():
		s.CDROM.Data = 0 // nothing is in the buffer
		k.awaitDMA()
	default:
		k.fill()
	}
}

// fill reads the next blocks into the buffer.
func (k *CDROM) fill() {
	s := &k.s
	if !k.ready() {
		k.check(k.noMedium())
		return
	}
	n := uint32(bufferSectors)
	switch {
	case s.Single:
		n = sectorsPerBlock
	case k.raw():
		n = rawBlocks * sectorsPerBlock
	}
	s.Buffered = min(n, s.Remaining)
	k.submit(block.Read, int64(s.LBA)*block.SectorSize, k.buffer(s.Buffered*block.SectorSize), 0)
}

// narrow reads block by block what could not be read at once.
func (k *CDROM) narrow() bool {
	if k.direct || k.s.Single || k.s.Buffered <= sectorsPerBlock {
		return false
	}
	k.s.Single = true
	k.fill()
	return true
}

// dma moves the buffer, or the next part of a read, to guest memory.
func (k *CDROM) dma() error {
	s := &k.s
	b := &k.ch.busMaster
	if n := s.CDROM.Data; n > 0 {
		s.CDROM.Data = 0
		if err := b.send(k.buf[:n]); err != nil {
			return err
		}
		k.sent()
		return nil
	}
	if !k.ready() {
		k.check(k.noMedium())
		return nil
	}
	n, err := b.gather(min(s.Remaining, maxTransfer/block.SectorSize) * block.SectorSize)
	if n == 0 {
		return err
	}
	s.Buffered = n / block.SectorSize
	k.submitDirect(block.Read, int64(s.LBA)*block.SectorSize)
	return nil
}

// done takes what the host's disk has read.
func (k *CDROM) done(err error) {
	switch {
	case err == nil && k.direct:
		k.proceed(k.s.Buffered)
		k.next()
	case err == nil:
		n := k.s.Buffered * block.SectorSize
		if k.raw() {
			n = k.makeRaw()
		}
		k.send(n)
	case errors.Is(err, errRemoved) || !k.ready():
		k.check(k.noMedium())
	case errors.Is(err, block.ErrOutOfRange):
		k.check(senseOutOfRange)
	default:
		k.check(senseUnreadable)
	}
}

// makeRaw makes raw blocks of the data in the buffer, and returns how many bytes
// these are. The last one is the first to be moved.
func (k *CDROM) makeRaw() uint32 {
	blocks := int(k.s.Buffered / sectorsPerBlock)
	for i := blocks - 1; i >= 0; i-- {
		raw := k.buf[i*rawSize : (i+1)*rawSize]
		copy(raw[rawData:], k.buf[i*blockSize:(i+1)*blockSize])
		clear(raw[rawData+blockSize:])
		raw[0], raw[rawHeader-1] = 0, 0
		for j := 1; j < rawHeader-1; j++ {
			raw[j] = 0xFF
		}
		m, s, f := msf(uint32(k.s.LBA/sectorsPerBlock) + uint32(i))
		raw[rawHeader], raw[rawHeader+1], raw[rawHeader+2], raw[rawHeader+3] = bcd(m), bcd(s), bcd(f), 1
	}
	return uint32(blocks * rawSize)
}

// msf is the place of a block in minutes, seconds and frames; the first one is
// at 2 seconds.
func msf(lba uint32) (m, s, f uint8) {
	const frames, seconds, start = 75, 60, 150
	lba += start
	return uint8(lba / frames / seconds), uint8(lba / frames % seconds), uint8(lba % frames)
}

func bcd(n uint8) uint8 { return n/10<<4 | n%10 }
