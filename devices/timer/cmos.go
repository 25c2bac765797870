package timer

import "fmt"

// CMOS RAM bytes, as PC firmware has used them since the AT, and from 0x34 on
// those of virtual machines. Sizes are little-endian.
const (
	cmosFirst         = 0x0E // after the MC146818's own registers
	cmosFloppies      = 0x10 // types of drive A (high nibble) and B
	cmosDisks         = 0x12 // 0xF: see the extended type, of the first (high nibble) and second disk
	cmosEquipment     = 0x14
	cmosBaseMemory    = 0x15 // 0x15-0x16: KiB below 640 KiB
	cmosExtended      = 0x17 // 0x17-0x18: KiB above 1 MiB, at most 65535
	cmosDiskType      = 0x19 // 0x19-0x1A: extended types of the first and second disk
	cmosDiskGeometry  = 0x1B // 0x1B-0x23 and 0x24-0x2C: their geometry
	cmosSumFirst      = 0x10 // 0x10-0x2D are summed up ...
	cmosSumLast       = 0x2D
	cmosSum           = 0x2E // ... in 0x2E-0x2F, big-endian
	cmosExtendedFound = 0x30 // 0x30-0x31: as 0x17, found by the firmware
	cmosAbove16M      = 0x34 // 0x34-0x35: 64 KiB blocks above 16 MiB, below 4 GiB
	cmosBootThird     = 0x38 // third boot device (high nibble); bit 0: no check of floppies
	cmosTranslation   = 0x39 // geometry translation of four IDE disks, 2 bits each
	cmosBootFirst     = 0x3D // first (low nibble) and second boot device
	cmosAbove4G       = 0x5B // 0x5B-0x5D: 64 KiB blocks above 4 GiB
	cmosCPUs          = 0x5F // processors, less one
)

// The equipment byte: bits 7:6 floppy drives less one, 5:4 primary display (0 is
// VGA).
const (
	equipmentFloppy = 1 << 0 // there is a floppy drive
	equipmentFPU    = 1 << 1
	equipmentMouse  = 1 << 2 // there is a PS/2 mouse
)

// CMOS is what the CMOS RAM tells the firmware of a PC, besides the size of
// memory. The zero value is a PC of one processor without drives.
type CMOS struct {
	// CPUs is the number of processors; more than 256 are noted as one, for
	// firmware that learns the number in another way.
	CPUs int
	// Mouse tells whether there is a PS/2 mouse.
	Mouse bool
	// Floppies are the kinds of drives A and B.
	Floppies [2]FloppyType
	// Disks are the hard disks on the primary IDE channel (master, slave) and
	// on the secondary one. CD-ROM drives are not among them.
	Disks [4]DiskGeometry
	// Boot is the order of boot devices. It counts among devices for which the
	// firmware has no finer order.
	Boot [3]BootDevice
	// NoFloppyCheck lets the firmware boot from a floppy disk without the
	// signature 55 AA at its end.
	NoFloppyCheck bool
}

// FloppyType is a kind of floppy disk drive, as CMOS RAM has it.
type FloppyType uint8

// The kinds.
const (
	NoFloppy   FloppyType = iota
	Floppy360             // 5.25 inch, 360 KiB
	Floppy1200            // 5.25 inch, 1.2 MiB
	Floppy720             // 3.5 inch, 720 KiB
	Floppy1440            // 3.5 inch, 1.44 MiB
	Floppy2880            // 3.5 inch, 2.88 MiB
)

// BootDevice is a kind of boot device, as CMOS RAM has it.
type BootDevice uint8

// The kinds.
const (
	BootNothing BootDevice = iota
	BootFloppy
	BootDisk
	BootCDROM
	BootNetwork
)

// DiskGeometry is the geometry that an IDE disk reports. The zero value is no
// disk.
type DiskGeometry struct {
	Cylinders   uint16 // 1 to 16383
	Heads       uint8  // 1 to 16
	Sectors     uint8  // a track, 1 to 63
	Translation Translation
}

// Translation is how the BIOS makes the geometry that it shows to its users,
// with at most 1024 cylinders, of that of the disk.
type Translation uint8

// The translations.
const (
	TranslateNone  Translation = iota
	TranslateLBA               // 63 sectors, as many heads as it takes
	TranslateLarge             // heads doubled until cylinders fit
	TranslateRECHS             // as Large, from 15 heads if there are 16
)

// setHardware notes the hardware that CMOS tells of.
func (s *RTCState) setHardware(c CMOS) {
	if c.CPUs > 0 && c.CPUs <= 256 {
		s.RAM[cmosCPUs] = uint8(c.CPUs - 1)
	}
	equipment := uint8(equipmentFPU)
	if c.Mouse {
		equipment |= equipmentMouse
	}
	if c.Floppies[0] != NoFloppy || c.Floppies[1] != NoFloppy {
		equipment |= equipmentFloppy
	}
	if c.Floppies[0] != NoFloppy && c.Floppies[1] != NoFloppy {
		equipment |= 1 << 6
	}
	s.RAM[cmosEquipment] = equipment
	s.RAM[cmosFloppies] = nibbles(uint8(c.Floppies[0]), uint8(c.Floppies[1]))
	s.RAM[cmosBootFirst] = nibbles(uint8(c.Boot[1]), uint8(c.Boot[0]))
	s.RAM[cmosBootThird] = uint8(c.Boot[2]) << 4
	if c.NoFloppyCheck {
		s.RAM[cmosBootThird] |= 1
	}
	for i, d := range c.Disks {
		if d == (DiskGeometry{}) {
			continue
		}
		s.RAM[cmosTranslation] |= uint8(d.Translation&3) << (2 * i)
		if i < 2 {
			s.setDisk(i, d)
		}
	}
}

func nibbles(high, low uint8) uint8 { return high<<4 | low&0x0F }

// setDisk notes the geometry of disk 0 or 1: it is of the type that the user
// defines.
func (s *RTCState) setDisk(i int, d DiskGeometry) {
	const userType = 47
	s.RAM[cmosDisks] |= 0xF0 >> (4 * i)
	s.RAM[cmosDiskType+i] = userType
	control := uint8(0xC0) // no retries
	if d.Heads > 8 {
		control |= 1 << 3
	}
	low, high := uint8(d.Cylinders), uint8(d.Cylinders>>8)
	copy(s.RAM[cmosDiskGeometry+9*i:], []uint8{
		low, high, d.Heads,
		0xFF, 0xFF, // cylinder from which writes are precompensated: none
		control,
		low, high, // landing zone
		d.Sectors,
	})
}

// setMemorySize notes the memory size, given in bytes.
func (s *RTCState) setMemorySize(below4G, above4G uint64) {
	const (
		kib   = 1 << 10
		mib   = 1 << 20
		block = 64 * kib
	)
	above := func(size, start uint64) uint64 { return max(size, start) - start }
	put := func(index, bytes int, v uint64) {
		v = min(v, 1<<(8*bytes)-1)
		for i := range bytes {
			s.RAM[index+i] = uint8(v >> (8 * i))
		}
	}
	extended := above(below4G, 1*mib) / kib
	put(cmosBaseMemory, 2, min(below4G/kib, 640))
	put(cmosExtended, 2, extended)
	put(cmosExtendedFound, 2, extended)
	put(cmosAbove16M, 2, above(below4G, 16*mib)/block)
	put(cmosAbove4G, 3, above4G/block)
}

func (s *RTCState) setChecksum() {
	var sum uint16
	for _, v := range s.RAM[cmosSumFirst : cmosSumLast+1] {
		sum += uint16(v)
	}
	s.RAM[cmosSum], s.RAM[cmosSum+1] = uint8(sum>>8), uint8(sum)
}

// CMOS returns a byte of CMOS RAM, as the machine looks at the shutdown status
// (index 0x0F). The index is 0x0E to 0x7F.
func (r *RTC) CMOS(index uint8) (uint8, error) {
	if err := checkCMOS(index); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s.RAM[index], nil
}

// SetCMOS sets a byte of CMOS RAM to what the firmware shall find there, such
// as the kinds of drives, and keeps the firmware's checksum right. The index is
// 0x0E to 0x7F, but not the century.
func (r *RTC) SetCMOS(index, v uint8) error {
	if err := checkCMOS(index); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.s.RAM[index] = v
	r.s.setChecksum()
	return nil
}

func checkCMOS(index uint8) error {
	if index < cmosFirst || index > 0x7F || index == regCentury {
		return fmt.Errorf("rtc: register %#x is not CMOS RAM (0x0e to 0x7f, without 0x32)", index)
	}
	return nil
}
