package pci

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/irq"
)

// Message control of the MSI-X capability (PCI 3.0, section 6.8.2.3):
//
//	 15   14   13  11 10              0
//	+----+----+------+-----------------+
//	| en | fm |  0   | table size - 1  |   fm: function mask
//	+----+----+------+-----------------+
const (
	msixEnable       = 1 << 15
	msixFunctionMask = 1 << 14

	// MSIXMaxVectors is the largest size of an MSI-X table.
	MSIXMaxVectors = 2048

	msixEntrySize = 16 // bytes
)

// MSIXOptions describes an MSI-X capability.
type MSIXOptions struct {
	Vectors int // 1 to MSIXMaxVectors
	// BAR is the memory BAR with the table and the pending bits, at offsets
	// Table and PBA, which are multiples of 8 bytes.
	BAR        int
	Table, PBA uint32
	MSI        irq.MSI
	Log        *slog.Logger // nil discards
}

func (o *MSIXOptions) tableSize() uint64 { return uint64(o.Vectors) * msixEntrySize }
func (o *MSIXOptions) pbaSize() uint64   { return uint64(o.Vectors+63) / 64 * 8 }

// MSIX is the MSI-X capability of a function, its table and its pending bit
// array (PCI 3.0, section 6.8.2). As a bus.Handler it takes offsets into the
// BAR; a function that has more in the BAR passes on what is not its own.
//
//	     127       96 95        64 63                   2 1 0
//	    +------------+------------+----------------------+---+
//	n   |     0   |m |    data    |        address       | 0 |   m: masked
//	    +------------+------------+----------------------+---+
type MSIX struct {
	config  *Config
	out     irq.MSI
	log     *bus.GuestLog
	options MSIXOptions
	control uint8 // register

	// mu is held for reading while a message is sent: when the guest's masking
	// of a vector is done, none of its messages is on its way any more.
	mu     sync.RWMutex
	s      MSIXState
	routes []*MSIXRoute
}

// MSIXEntry is an entry of an MSI-X table.
type MSIXEntry struct {
	Address uint64
	Data    uint32
	Masked  bool
}

// MSIXState is all there is to know about MSI-X beside the configuration
// space.
type MSIXState struct {
	Enabled bool // copies of the bits in message control
	Masked  bool
	Table   []MSIXEntry
	Pending []uint64 // changed atomically under the read lock
}

// AddMSIX gives the function an MSI-X capability. The BAR is the caller's to
// add.
func (c *Config) AddMSIX(o MSIXOptions) (*MSIX, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("pci: %s: MSI-X: %w", c.name, err)
	}
	body := make([]byte, 10)
	binary.LittleEndian.PutUint16(body, uint16(o.Vectors-1))
	binary.LittleEndian.PutUint32(body[2:], o.Table|uint32(o.BAR))
	binary.LittleEndian.PutUint32(body[6:], o.PBA|uint32(o.BAR))
	writable := make([]byte, len(body))
	binary.LittleEndian.PutUint16(writable, msixEnable|msixFunctionMask)
	start, err := c.AddCapability(CapMSIX, body, writable)
	if err != nil {
		return nil, err
	}
	m := &MSIX{config: c, out: o.MSI, log: bus.NewGuestLog(o.Log, c.name), options: o, control: start + 2}
	m.s.Table = make([]MSIXEntry, o.Vectors)
	m.s.Pending = make([]uint64, o.pbaSize()/8)
	m.reset()
	c.addHook(start, uint8(2+len(body)), m)
	return m, nil
}

func (o *MSIXOptions) check() error {
	switch {
	case o.Vectors < 1 || o.Vectors > MSIXMaxVectors:
		return fmt.Errorf("%d vectors are not 1 to %d", o.Vectors, MSIXMaxVectors)
	case o.BAR < 0 || o.BAR > 5:
		return fmt.Errorf("BAR %d is not 0 to 5", o.BAR)
	case o.Table%8 != 0 || o.PBA%8 != 0:
		return fmt.Errorf("table at %#x or pending bits at %#x are not at multiples of 8", o.Table, o.PBA)
	case uint64(o.Table) < uint64(o.PBA)+o.pbaSize() && uint64(o.PBA) < uint64(o.Table)+o.tableSize():
		return fmt.Errorf("table at %#x and pending bits at %#x overlap", o.Table, o.PBA)
	case o.MSI == nil:
		return fmt.Errorf("it leads nowhere")
	}
	return nil
}

// AddMSIXBAR gives the function an MSI-X capability with a 32-bit memory BAR of
// its own: the table at its start, and the pending bits in its second half, or
// behind a table that needs more than the first.
func (c *Config) AddMSIXBAR(index, vectors int, msi irq.MSI, log *slog.Logger) (*MSIX, error) {
	const half = 2048
	o := MSIXOptions{Vectors: vectors, BAR: index, MSI: msi, Log: log}
	o.PBA = uint32(max(half, o.tableSize()))
	m, err := c.AddMSIX(o)
	if err != nil {
		return nil, err
	}
	end := uint64(o.PBA) + o.pbaSize()
	size := max(2*half, uint64(1)<<bits.Len64(end-1))
	return m, c.AddBAR(BAR{Index: index, Kind: Memory32, Size: size, Handler: m})
}

// Vectors is the size of the table.
func (m *MSIX) Vectors() int { return m.options.Vectors }

// Enabled reports whether the guest has enabled MSI-X; if not, the function
// uses MSI or its INTx pin.
func (m *MSIX) Enabled() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.s.Enabled
}

// State returns a copy of the state.
func (m *MSIX) State() MSIXState {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.s
	s.Table = slices.Clone(s.Table)
	s.Pending = slices.Clone(s.Pending)
	return s
}

// Signal sends a vector's message, or makes it pending while it is masked. It
// does nothing while MSI-X is not enabled, or if there is no such vector.
func (m *MSIX) Signal(vector uint16) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.s.Enabled || int(vector) >= len(m.s.Table) {
		return
	}
	if m.masked(vector) {
		atomic.OrUint64(&m.s.Pending[vector/64], 1<<(vector%64))
		return
	}
	e := &m.s.Table[vector]
	m.out.Send(e.Address, e.Data)
}

// masked reports whether a vector's messages must wait.
func (m *MSIX) masked(vector uint16) bool { return m.s.Masked || m.s.Table[vector].Masked }

// Forget drops what is pending, when the device is reset.
func (m *MSIX) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.s.Pending)
}

// Read answers the guest's read of the table or the pending bits.
func (m *MSIX) Read(offset uint64, data []byte) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for i := range data {
		data[i] = 0
		at := offset + uint64(i)
		if n := at - uint64(m.options.Table); n < m.options.tableSize() {
			data[i] = m.s.Table[n/msixEntrySize].byte(n % msixEntrySize)
		} else if n := at - uint64(m.options.PBA); n < m.options.pbaSize() {
			data[i] = byte(atomic.LoadUint64(&m.s.Pending[n/8]) >> (8 * (n % 8)))
		}
	}
}

// Write takes the guest's write to the table. The pending bits are read-only.
func (m *MSIX) Write(offset uint64, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := false
	for i, v := range data {
		if n := offset + uint64(i) - uint64(m.options.Table); n < m.options.tableSize() {
			m.s.Table[n/msixEntrySize].setByte(n%msixEntrySize, v)
			changed = true
		}
	}
	if changed {
		m.update()
	}
}

func (e *MSIXEntry) byte(n uint64) byte {
	switch {
	case n < 8:
		return byte(e.Address >> (8 * n))
	case n < 12:
		return byte(e.Data >> (8 * (n - 8)))
	case n == 12 && e.Masked:
		return 1
	}
	return 0
}

func (e *MSIXEntry) setByte(n uint64, v byte) {
	switch {
	case n < 8:
		shift := 8 * n
		e.Address = (e.Address&^(0xFF<<shift) | uint64(v)<<shift) &^ 3
	case n < 12:
		shift := 8 * (n - 8)
		e.Data = e.Data&^(0xFF<<shift) | uint32(v)<<shift
	case n == 12:
		e.Masked = v&1 != 0
	}
}

// written follows the guest's write to message control.
func (m *MSIX) written() {
	m.mu.Lock()
	defer m.mu.Unlock()
	control := m.config.Uint16(m.control)
	m.s.Enabled = control&msixEnable != 0
	m.s.Masked = control&msixFunctionMask != 0
	m.update()
}

// reset returns the table to its state after power-on: all vectors masked.
func (m *MSIX) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.Enabled, m.s.Masked = false, false
	for i := range m.s.Table {
		m.s.Table[i] = MSIXEntry{Masked: true}
	}
	clear(m.s.Pending)
	m.update()
}

// update sends what was pending on vectors that are not masked any more, and
// leads the routes where they belong now. mu is held.
func (m *MSIX) update() {
	for _, r := range m.routes {
		r.update()
	}
	if !m.s.Enabled || m.s.Masked {
		return
	}
	for i, pending := range m.s.Pending {
		for ; pending != 0; pending &= pending - 1 {
			bit := bits.TrailingZeros64(pending)
			e := &m.s.Table[64*i+bit]
			if !e.Masked {
				m.s.Pending[i] &^= 1 << bit
				m.out.Send(e.Address, e.Data)
			}
		}
	}
}
