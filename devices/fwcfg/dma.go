package fwcfg

import "encoding/binary"

// A DMA operation is described by 16 bytes of guest RAM, big-endian:
//
//	0  control   31       16 15   5   4     3      2     1     0
//	            +-----------+-----+-------+------+------+----+-----+
//	            |    key    |  0  | write |select| skip |read|error|
//	            +-----------+-----+-------+------+------+----+-----+
//	4  length, in bytes
//	8  address of the data
//
// When the operation is done, control is 0, or has the error bit set. Of read,
// write and skip the first that is set is done.
const (
	accessSize    = 16
	accessControl = 0
	accessLength  = 4
	accessAddress = 8

	dmaError  = 1 << 0
	dmaRead   = 1 << 1
	dmaSkip   = 1 << 2
	dmaSelect = 1 << 3
	dmaWrite  = 1 << 4
)

// dma carries out the operation described at gpa. An address or a length that
// does not lie in RAM sets the error bit; the device is not harmed by it.
func (d *Device) dma(gpa uint64) {
	be := binary.BigEndian
	var status uint32
	if err := d.mem.ReadAt(d.access[:], gpa); err != nil {
		status = dmaError
		d.complain("the description of a DMA operation cannot be read", err)
	} else {
		status = d.transfer(
			be.Uint32(d.access[accessControl:]),
			be.Uint32(d.access[accessLength:]),
			be.Uint64(d.access[accessAddress:]))
	}
	answer := d.access[accessControl : accessControl+4]
	be.PutUint32(answer, status)
	if err := d.mem.WriteAt(answer, gpa+accessControl); err != nil {
		d.complain("the result of a DMA operation cannot be written", err)
	}
}

// transfer moves data and returns the new value of control.
func (d *Device) transfer(control, length uint32, address uint64) uint32 {
	if control&dmaSelect != 0 {
		d.choose(uint16(control >> 16))
	}
	switch {
	case length == 0:
		return 0
	case control&dmaRead != 0:
		return d.dmaRead(length, address)
	case control&dmaWrite != 0:
		return d.dmaWrite(length, address)
	case control&dmaSkip != 0:
		d.s.Offset += min(length, d.left())
	}
	return 0
}

// dmaRead copies from the selected item to RAM. After the item's end come
// zeros.
func (d *Device) dmaRead(length uint32, address uint64) uint32 {
	n := min(length, d.left())
	if n > 0 {
		if err := d.mem.ReadFrom(d.selected.content, int64(d.s.Offset), address, uint64(n)); err != nil {
			d.complain("a DMA read failed", err)
			return dmaError
		}
		d.s.Offset += n
	}
	if n < length {
		if err := d.mem.Zero(address+uint64(n), uint64(length-n)); err != nil {
			d.complain("a DMA read beyond the end of an item failed", err)
			return dmaError
		}
	}
	return 0
}

// dmaWrite copies from RAM to the selected item, all or nothing.
func (d *Device) dmaWrite(length uint32, address uint64) uint32 {
	it := d.selected
	if it == nil || it.data == nil || length > d.left() {
		d.complain("a DMA write to what is not a writable item, or beyond its end", nil)
		return dmaError
	}
	offset := int(d.s.Offset)
	part := it.data[offset : offset+int(length)]
	if err := d.mem.ReadAt(part, address); err != nil {
		d.complain("a DMA write failed", err)
		return dmaError
	}
	d.s.Offset += length
	d.ahead.n = 0
	it.written(offset, part)
	return 0
}

// complain notes what the guest did wrong.
func (d *Device) complain(what string, err error) {
	if d.log.Allow() {
		d.log.Warn(what, "key", d.s.Key, "offset", d.s.Offset, "error", err)
	}
}
