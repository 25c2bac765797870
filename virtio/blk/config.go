package blk

import (
	"encoding/binary"
	"math/bits"

	"github.com/govmm/govmm/block"
)

// The device configuration (section 5.2.4), little-endian:
//
//	    0           1           2           3
//	 0  capacity (64 bits), in sectors
//	 8  size_max: not offered
//	12  seg_max
//	16  cylinders               heads       sectors
//	20  blk_size
//	24  phys_exp    align_off   min_io_size              in logical blocks
//	28  opt_io_size                                      in logical blocks
//	32  writeback   0           num_queues
//	36  max_discard_sectors
//	40  max_discard_seg
//	44  discard_sector_alignment
//	48  max_write_zeroes_sectors
//	52  max_write_zeroes_seg
//	56  may_unmap   0           0           0
const (
	configCapacity           = 0
	configSegMax             = 12
	configGeometry           = 16
	configBlkSize            = 20
	configTopology           = 24
	configOptIO              = 28
	configWriteback          = 32
	configNumQueues          = 34
	configDiscardSectors     = 36
	configDiscardSeg         = 40
	configDiscardAlignment   = 44
	configWriteZeroesSectors = 48
	configWriteZeroesSeg     = 52
	configMayUnmap           = 56
	configSize               = 60
)

// Limits of requests that carry segments. The time that zeroing takes where the
// host has to write the zeroes bounds what a reset may have to wait for.
const (
	maxSegments           = 16
	maxDiscardSectors     = 2 << 30 / block.SectorSize
	maxWriteZeroesSectors = 64 << 20 / block.SectorSize
)

// notData are the header and the status byte, which take a descriptor each.
const notData = 2

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint64, data []byte) {
	clear(data)
	if offset >= configSize {
		return
	}
	var c [configSize]byte
	d.fillConfig(&c)
	copy(data, c[offset:])
}

func (d *Device) fillConfig(c *[configSize]byte) {
	le := binary.LittleEndian
	sectors := uint64(d.capacity.Load()) / block.SectorSize
	le.PutUint64(c[configCapacity:], sectors)
	le.PutUint32(c[configSegMax:], uint32(d.queueSize)-notData)
	cylinders, heads, perTrack := geometry(sectors)
	le.PutUint16(c[configGeometry:], cylinders)
	c[configGeometry+2], c[configGeometry+3] = heads, perTrack
	le.PutUint32(c[configBlkSize:], uint32(d.blockSize))

	c[configTopology] = uint8(bits.Len(uint(d.topology.PhysicalBlockSize/d.blockSize|1)) - 1)
	le.PutUint16(c[configTopology+2:], uint16(min(d.topology.MinimumIO/d.blockSize, 0xffff)))
	le.PutUint32(c[configOptIO:], uint32(min(d.topology.OptimalIO/d.blockSize, 1<<32-1)))

	if d.cache.wanted.Load() {
		c[configWriteback] = 1
	}
	le.PutUint16(c[configNumQueues:], uint16(d.queues))
	if d.readOnly {
		return
	}
	granularity := max(d.topology.DiscardGranularity, d.blockSize)
	le.PutUint32(c[configDiscardSectors:], maxDiscardSectors)
	le.PutUint32(c[configDiscardSeg:], maxSegments)
	le.PutUint32(c[configDiscardAlignment:], uint32(granularity/block.SectorSize))
	le.PutUint32(c[configWriteZeroesSectors:], maxWriteZeroesSectors)
	le.PutUint32(c[configWriteZeroesSeg:], maxSegments)
	if d.topology.DiscardGranularity > 0 {
		c[configMayUnmap] = 1
	}
}

// geometry is what a BIOS would make of a disk of that size: 16 heads, 63
// sectors a track, and no more cylinders than ATA can count.
func geometry(sectors uint64) (cylinders uint16, heads, perTrack uint8) {
	heads, perTrack = 16, 63
	n := sectors / (uint64(heads) * uint64(perTrack))
	return uint16(min(n, 16383)), heads, perTrack
}

// WriteConfig implements virtio.Device. The writeback field is the only one that
// can be written.
func (d *Device) WriteConfig(offset uint64, data []byte) {
	if offset > configWriteback || configWriteback-offset >= uint64(len(data)) {
		return
	}
	d.cache.choose(data[configWriteback-offset] != 0)
}
