package timer

import "fmt"

// CMOS RAM bytes, as PC firmware has used them since the AT. Sizes are
// little-endian.
const (
	cmosFirst         = 0x0E // after the MC146818's own registers
	cmosEquipment     = 0x14
	cmosBaseMemory    = 0x15 // 0x15-0x16: KiB below 640 KiB
	cmosExtended      = 0x17 // 0x17-0x18: KiB above 1 MiB, at most 65535
	cmosSumFirst      = 0x10 // 0x10-0x2D are summed up ...
	cmosSumLast       = 0x2D
	cmosSum           = 0x2E // ... in 0x2E-0x2F, big-endian
	cmosExtendedFound = 0x30 // 0x30-0x31: as 0x17, found by the firmware
	cmosAbove16M      = 0x34 // 0x34-0x35: 64 KiB blocks above 16 MiB, below 4 GiB
	cmosAbove4G       = 0x5B // 0x5B-0x5D: 64 KiB blocks above 4 GiB
)

const equipmentFPU = 1 << 1

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
