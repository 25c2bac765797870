package queue

import "github.com/govmm/govmm/memory"

// maxRingSize is the greatest queue size of the specification (sections 2.7
// and 2.8).
const maxRingSize = 1 << 15

// LegacyAlign is the alignment of the device area in a legacy queue, and the
// unit of its page frame number, in bytes (section 2.7.2; fixed for PCI).
const LegacyAlign = 4096

// Config is a queue that the driver is setting up. Its fields are what a
// transport's registers hold; nothing is checked before Start.
type Config struct {
	// Index is the queue's number in its device.
	Index int
	// MaxSize is the greatest size the device allows, and the greatest number
	// of descriptors in a chain, those of an indirect table included. It bounds
	// what a hostile driver can make the queue hold: Size*MaxSize slices of 24
	// bytes each, 24 MiB at 1024.
	MaxSize uint16
	// Size is the number of descriptors that the driver has chosen.
	Size uint16
	// Ready says that the driver has enabled the queue.
	Ready bool

	// Guest-physical addresses of the descriptor area (the descriptor table, or
	// the packed ring), the driver area (the available ring, or the driver's
	// event suppression) and the device area (the used ring, or the device's
	// event suppression).
	Desc, Driver, Device uint64

	Packed     bool // VIRTIO_F_RING_PACKED
	EventIndex bool // VIRTIO_F_EVENT_IDX
	Indirect   bool // VIRTIO_F_INDIRECT_DESC
	InOrder    bool // VIRTIO_F_IN_ORDER
}

// Interrupter raises the interrupt that tells the driver of used buffers. It
// may be called from any goroutine and must not block.
type Interrupter interface {
	Interrupt()
}

// Reset forgets what the driver has set up.
func (c *Config) Reset() {
	*c = Config{Index: c.Index, MaxSize: c.MaxSize, Size: c.MaxSize}
}

// SetPFN takes what a legacy driver writes to the queue address register: the
// page frame number of a ring whose three areas lie together (section 2.7.2).
// The size must be known by then. 0 disables the queue.
func (c *Config) SetPFN(pfn uint32) {
	c.Ready = pfn != 0
	c.Desc = uint64(pfn) * LegacyAlign
	c.Driver, c.Device = LegacyLayout(c.Desc, c.Size)
}

// PFN is the page frame number last set, or 0 while the queue is disabled.
func (c *Config) PFN() uint32 {
	if !c.Ready {
		return 0
	}
	return uint32(c.Desc / LegacyAlign)
}

// LegacyLayout returns the addresses of the driver and device areas of a legacy
// queue whose descriptor area is at desc.
func LegacyLayout(desc uint64, size uint16) (driver, device uint64) {
	driver = desc + descSize*uint64(size)
	end := driver + splitDriverSize(size, true)
	return driver, (end + LegacyAlign - 1) &^ (LegacyAlign - 1)
}

// Start checks what the driver has set up and returns the running queue. The
// driver wakes it by bell, which may serve one queue after the other; the queue
// tells the driver of used buffers by irq. Errors are of type *Violation, but
// for a machine without RAM.
func (c Config) Start(mem *memory.Memory, bell *Doorbell, irq Interrupter) (*Queue, error) {
	if rule := c.checkSize(); rule != 0 {
		return nil, &Violation{Queue: c.Index, Rule: rule}
	}
	ram, err := newRAM(mem)
	if err != nil {
		return nil, err
	}
	q := &Queue{config: c, ram: ram, bell: bell, irq: irq}
	areas, rule := c.areas(ram)
	if rule != 0 {
		return nil, &Violation{Queue: c.Index, Rule: rule}
	}
	if c.Packed {
		q.ring = newPackedRing(q, areas)
	} else {
		q.ring = newSplitRing(q, areas)
		q.heads = make([]bool, c.Size)
	}
	if c.InOrder {
		q.waiting = make([]*Chain, c.Size)
	}
	q.spare = q.newChain()
	return q, nil
}

func (c *Config) checkSize() Rule {
	switch {
	case !c.Ready:
		return NotReady
	case c.Size == 0:
		return SizeZero
	case c.Size > c.MaxSize || c.Size > maxRingSize:
		return SizeTooLarge
	case !c.Packed && c.Size&(c.Size-1) != 0:
		return SizeNotPowerOfTwo
	}
	return 0
}

// ringAreas are the three parts of a queue in host memory.
type ringAreas struct {
	desc, driver, device []byte
}

// areas finds the parts of the queue.
//
//	             split               packed
//	descriptor   16*size, align 16   16*size, align 16
//	driver       4+2*size, align 2   4, align 4
//	device       4+8*size, align 4   4, align 4
//
// With event indexes, the driver and device areas of a split queue have two
// more bytes.
func (c *Config) areas(ram *ram) (a ringAreas, rule Rule) {
	driverSize, driverAlign, deviceSize := uint64(4), uint64(4), uint64(4)
	if !c.Packed {
		driverSize, driverAlign = splitDriverSize(c.Size, c.EventIndex), 2
		deviceSize = splitDeviceSize(c.Size, c.EventIndex)
	}
	// The three rules of an area follow one another in this order.
	find := func(gpa, n, align uint64, misaligned Rule) []byte {
		if rule != 0 {
			return nil
		}
		b := []byte(nil)
		switch {
		case gpa%align != 0:
			rule = misaligned
		case gpa+n < gpa:
			rule = misaligned + 1
		default:
			if b = ram.slice(gpa, n); b == nil {
				rule = misaligned + 2
			}
		}
		return b
	}
	a.desc = find(c.Desc, descSize*uint64(c.Size), 16, DescriptorAreaMisaligned)
	a.driver = find(c.Driver, driverSize, driverAlign, DriverAreaMisaligned)
	a.device = find(c.Device, deviceSize, 4, DeviceAreaMisaligned)
	return a, rule
}

func splitDriverSize(size uint16, eventIndex bool) uint64 {
	n := 4 + 2*uint64(size)
	if eventIndex {
		n += 2
	}
	return n
}

func splitDeviceSize(size uint16, eventIndex bool) uint64 {
	n := 4 + 8*uint64(size)
	if eventIndex {
		n += 2
	}
	return n
}
