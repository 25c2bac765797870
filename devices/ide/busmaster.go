package ide

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/memory"
)

// Registers of a bus master (PIIX3, section 2.5), eight bytes a channel:
//
//	0  BMICOM   3: 1 reads the drive into memory     0: start
//	2  BMISTA   6, 5: drive 1, 0 is DMA capable   2: interrupt   1: error   0: active
//	4  BMIDTP   address of the table of memory regions, 32 bits
const (
	regBMCommand = 0
	regBMStatus  = 2
	regBMTable   = 4
	busMasterLen = 8

	bmStart      = 1 << 0
	bmToMemory   = 1 << 3
	bmActive     = 1 << 0
	bmError      = 1 << 1
	bmInterrupt  = 1 << 2
	bmCapable0   = 1 << 5
	bmCapable1   = 1 << 6
	bmTableAlign = 3
)

// An entry of the table, a physical region descriptor:
//
//	 31                             1  0
//	+---------------------------------+---+
//	| address of the region           | 0 |
//	+-----+-----------+---------------+---+
//	| EOT |     0     | bytes, 0: 64K | 0 |
//	+-----+-----------+---------------+---+
//
// The table ends with EOT, and has to lie within 64 KiB.
const (
	prdSize    = 8
	prdLast    = 1 << 31
	prdEntries = 64 << 10 / prdSize
)

// Limits of one request to the host's disk. 512 regions of at least two bytes
// always hold a sector, so there is progress.
const (
	maxSegments = 512
	maxTransfer = 2 << 20 // bytes
)

// errShortTable is the end of the table before the end of the transfer.
var errShortTable = errors.New("the memory regions are too small for the transfer")

// ram is what a bus master, which has 32 address bits, can reach.
type ram struct {
	low []byte // from address 0
	mem Memory
}

func newRAM(m Memory) (*ram, error) {
	if m == nil {
		return nil, errors.New("no memory for the bus master")
	}
	size, _ := memory.Split(m.Size())
	low, err := m.Slice(0, size)
	if err != nil {
		return nil, fmt.Errorf("memory for the bus master: %w", err)
	}
	return &ram{low: low, mem: m}, nil
}

// slice returns n bytes at an address.
func (r *ram) slice(gpa, n uint32) ([]byte, error) {
	if end := uint64(gpa) + uint64(n); end <= uint64(len(r.low)) {
		return r.low[gpa:end:end], nil
	}
	return nil, errNoRAM
}

var errNoRAM = errors.New("a memory region is not all RAM")

// busMaster moves data between guest memory and the selected drive of a channel.
type busMaster struct {
	s   *BusMasterState
	ram *ram

	vec      [maxSegments][]byte
	at       [maxSegments]uint32 // addresses of vec
	segments int
}

// start begins a transfer at the start of the table.
func (b *busMaster) start() {
	b.s.Status |= bmActive
	b.s.NextEntry, b.s.Entries = b.s.Table, 0
	b.s.Address, b.s.Left, b.s.Last = 0, 0, false
}

// next goes to the next region.
func (b *busMaster) next() error {
	s := b.s
	if s.Last {
		return errShortTable
	}
	if s.Entries == prdEntries {
		return errors.New("the table of memory regions does not end within 64 KiB")
	}
	entry, err := b.ram.slice(s.NextEntry, prdSize)
	if err != nil {
		return errors.New("the table of memory regions is not in RAM")
	}
	control := binary.LittleEndian.Uint32(entry[4:])
	s.Address = binary.LittleEndian.Uint32(entry) &^ 1
	s.Left = control & 0xFFFE
	if s.Left == 0 {
		s.Left = 64 << 10
	}
	s.Last = control&prdLast != 0
	s.NextEntry += prdSize
	s.Entries++
	return nil
}

// take returns up to most bytes of the current region, or of the next one.
func (b *busMaster) take(most uint32) ([]byte, error) {
	s := b.s
	if s.Left == 0 {
		if err := b.next(); err != nil {
			return nil, err
		}
	}
	p, err := b.ram.slice(s.Address, min(s.Left, most))
	if err != nil {
		return nil, err
	}
	s.Address += uint32(len(p))
	s.Left -= uint32(len(p))
	return p, nil
}

// gather puts the next regions into vec, whole sectors up to want bytes, and
// returns how many bytes these are. An error means that there is not one sector.
func (b *busMaster) gather(want uint32) (uint32, error) {
	b.segments = 0
	var total, whole uint32
	var err error
	// What to come back to when the last sector is not whole.
	state, segments, tail := *b.s, 0, 0
	for total < want && b.segments < maxSegments {
		var p []byte
		if p, err = b.take(want - total); err != nil {
			break
		}
		n := uint32(len(p))
		b.vec[b.segments], b.at[b.segments] = p, b.s.Address-n
		b.segments++
		total += n
		if over := total % block.SectorSize; over < n {
			whole = total - over
			state, segments, tail = *b.s, b.segments, int(n-over)
			state.Address -= over
			state.Left += over
		}
	}
	*b.s, b.segments = state, segments
	if whole == 0 {
		return 0, err
	}
	last := segments - 1
	b.vec[last] = b.vec[last][:tail]
	return whole, nil
}

// markDirty notes that vec was written.
func (b *busMaster) markDirty() {
	for i, p := range b.vec[:b.segments] {
		b.ram.mem.MarkDirty(uint64(b.at[i]), uint64(len(p)))
	}
}

// send copies data to guest memory.
func (b *busMaster) send(data []byte) error {
	for len(data) > 0 {
		p, err := b.take(uint32(len(data)))
		if err != nil {
			return err
		}
		copy(p, data)
		b.ram.mem.MarkDirty(uint64(b.s.Address)-uint64(len(p)), uint64(len(p)))
		data = data[len(p):]
	}
	return nil
}

// receive fills data from guest memory.
func (b *busMaster) receive(data []byte) error {
	for len(data) > 0 {
		p, err := b.take(uint32(len(data)))
		if err != nil {
			return err
		}
		copy(data, p)
		data = data[len(p):]
	}
	return nil
}

// complete is the end of a transfer. The bus master stays active when there are
// regions left, until the driver stops it.
func (b *busMaster) complete() {
	if b.s.Last && b.s.Left == 0 {
		b.s.Status &^= bmActive
	}
}

// busMasterPorts is the handler of the function's BAR 4.
type busMasterPorts struct{ *Controller }

func (h busMasterPorts) Read(offset uint64, data []byte) {
	for i := range data {
		at := offset + uint64(i)
		data[i] = h.channels[at/busMasterLen%Channels].readBusMaster(at % busMasterLen)
	}
}

func (h busMasterPorts) Write(offset uint64, data []byte) {
	for i, v := range data {
		at := offset + uint64(i)
		h.channels[at/busMasterLen%Channels].writeBusMaster(at%busMasterLen, v)
	}
}

func (ch *channel) readBusMaster(reg uint64) uint8 {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	s := &ch.s.BusMaster
	switch {
	case reg == regBMCommand:
		return s.Command
	case reg == regBMStatus:
		return s.Status
	case reg >= regBMTable:
		return uint8(s.Table >> (8 * (reg - regBMTable)))
	}
	return 0
}

func (ch *channel) writeBusMaster(reg uint64, v uint8) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	s := &ch.s.BusMaster
	switch {
	case reg == regBMCommand:
		was := s.Command
		s.Command = v & (bmStart | bmToMemory)
		switch start := v&bmStart != 0; {
		case start && was&bmStart == 0:
			ch.busMaster.start()
			ch.runDMA()
			ch.update()
		case !start:
			s.Status &^= bmActive
		}
	case reg == regBMStatus:
		const stored = bmCapable0 | bmCapable1
		s.Status = s.Status&^(stored|v&(bmError|bmInterrupt)) | v&stored
	case reg >= regBMTable:
		shift := 8 * (reg - regBMTable)
		s.Table = (s.Table&^(0xFF<<shift) | uint32(v)<<shift) &^ bmTableAlign
	}
}

// runDMA moves data if both the selected drive and the bus master are ready to.
func (ch *channel) runDMA() {
	d := ch.selected()
	if d == nil || d.s.Phase != DMA || ch.s.BusMaster.Status&bmActive == 0 {
		return
	}
	if ch.c.Uint16(pci.RegCommand)&pci.CommandBusMaster == 0 {
		ch.failDMA(d, errNotMaster)
		return
	}
	if err := d.dev.dma(); err != nil {
		ch.failDMA(d, err)
	}
}

var errNotMaster = errors.New("the function is not a bus master (PCI command register)")

// failDMA ends a transfer that has no memory to go to. A table that is too short
// has its own way of being shown: not active, no error, no interrupt.
func (ch *channel) failDMA(d *drive, err error) {
	if log := ch.c.log; log.Allow() {
		log.Warn("the driver's DMA transfer cannot be done", "drive", d.name, "table", ch.s.BusMaster.Table, "error", err)
	}
	ch.s.BusMaster.Status &^= bmActive
	short := errors.Is(err, errShortTable)
	if !short {
		ch.s.BusMaster.Status |= bmError
	}
	d.dev.dmaEnded(short)
}
