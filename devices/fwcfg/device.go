package fwcfg

import (
	"encoding/binary"
	"maps"
	"slices"
)

// Offsets of the registers from Port.
const (
	regSelector = 0
	regData     = 1
	regDMAHigh  = 4
	regDMALow   = 8
)

// dmaSignature is what the DMA address register reads.
const dmaSignature = "QEMU CFG"

// State is all there is to know about a Device, apart from what it was made
// with.
type State struct {
	Key     uint16 // of the selected item
	Offset  uint32 // of its next byte
	DMAHigh uint32 // bits 63:32 of the DMA address, until an operation begins

	// Written holds the content of the writable items, by ascending key.
	Written []WrittenItem
}

// WrittenItem is the content of an item that the guest may write to.
type WrittenItem struct {
	Key  uint16
	Data []byte
}

// selection is the part of State that lives in registers.
type selection struct {
	Key     uint16
	Offset  uint32
	DMAHigh uint32
}

// readAhead holds the bytes of the selected item from at on: an item may be a
// file, and the data port hands out single bytes.
type readAhead struct {
	at, n uint32 // n is 0 if there are none
	buf   [4096]byte
}

// State returns a copy of the device's state.
func (d *Device) State() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := State{Key: d.s.Key, Offset: d.s.Offset, DMAHigh: d.s.DMAHigh}
	for _, key := range slices.Sorted(maps.Keys(d.items)) {
		if it := d.items[key]; it.data != nil {
			s.Written = append(s.Written, WrittenItem{key, slices.Clone(it.data)})
		}
	}
	return s
}

// Reset returns the device to its power-on state: the signature is selected,
// and writable items hold what they were made with.
func (d *Device) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.s = selection{}
	for _, it := range d.items {
		copy(it.data, it.initial)
	}
	d.choose(KeySignature)
}

// choose does what a write to the selector does.
func (d *Device) choose(key uint16) {
	d.s.Key, d.s.Offset = key&^keyWrite, 0
	d.selected = d.items[d.s.Key]
	d.ahead.n = 0
}

// left is how many bytes of the selected item have not been read or skipped.
func (d *Device) left() uint32 {
	if d.selected == nil {
		return 0
	}
	return d.selected.size - d.s.Offset
}

// Read answers a read of the ports.
func (d *Device) Read(offset uint64, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range data {
		switch at := offset + uint64(i); {
		case at == regData:
			data[i] = d.next()
		case d.mem != nil && at >= regDMAHigh && at < regDMAHigh+uint64(len(dmaSignature)):
			data[i] = dmaSignature[at-regDMAHigh]
		default:
			data[i] = 0xFF
		}
	}
}

// Write answers a write to the ports. The registers take whole writes only: 16
// bits the selector, 32 bits each half of the DMA address.
func (d *Device) Write(offset uint64, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case offset == regSelector && len(data) == 2:
		d.choose(binary.LittleEndian.Uint16(data))
	case d.mem == nil || len(data) != 4:
	case offset == regDMAHigh:
		d.s.DMAHigh = binary.BigEndian.Uint32(data)
	case offset == regDMALow:
		address := uint64(d.s.DMAHigh)<<32 | uint64(binary.BigEndian.Uint32(data))
		d.s.DMAHigh = 0
		d.dma(address)
	}
}

// next is a read of the data register.
func (d *Device) next() byte {
	if d.left() == 0 {
		return 0
	}
	a := &d.ahead
	if d.s.Offset-a.at >= a.n { // wraps to something large before at
		d.fill()
	}
	v := a.buf[d.s.Offset-a.at]
	d.s.Offset++
	return v
}

// fill reads the bytes to come. What cannot be read is zero.
func (d *Device) fill() {
	a := &d.ahead
	a.at, a.n = d.s.Offset, min(d.left(), uint32(len(a.buf)))
	n, err := d.selected.content.ReadAt(a.buf[:a.n], int64(a.at))
	if uint32(n) == a.n {
		return
	}
	clear(a.buf[max(n, 0):])
	if d.log.Allow() {
		d.log.Error("an item cannot be read", "key", d.s.Key, "offset", a.at, "error", err)
	}
}
