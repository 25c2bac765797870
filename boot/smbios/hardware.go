package smbios

import (
	"errors"
	"fmt"
)

// The bodies of the structures that describe hardware.
type (
	// processorInformation is the body of type 4 (section 7.5) in version 2.8.
	processorInformation struct {
		Socket          uint8 // string
		Type            uint8
		Family          uint8
		Manufacturer    uint8  // string
		ID              uint64 // CPUID leaf 1: EAX, then EDX
		Version         uint8  // string
		Voltage         uint8  // 0: unknown
		ExternalClock   uint16 // 0: unknown
		MaxSpeed        uint16 // MHz
		CurrentSpeed    uint16 // MHz
		Status          uint8
		Upgrade         uint8
		Caches          [3]uint16 // handles
		Serial          uint8     // string
		Asset           uint8     // string
		Part            uint8     // string
		Cores           uint8     // 255 and more are 0xFF
		CoresEnabled    uint8
		Threads         uint8
		Characteristics uint16
		Family2         uint16
	}
	// processorInformation30 is what version 3.0 adds.
	processorInformation30 struct {
		Processor     processorInformation
		Cores2        uint16
		CoresEnabled2 uint16
		Threads2      uint16
	}
	// memoryArray is the body of type 16 (section 7.17).
	memoryArray struct {
		Location         uint8
		Use              uint8
		ErrorCorrection  uint8
		Capacity         uint32 // KiB; 0x80000000: see ExtendedCapacity
		ErrorInformation uint16 // handle
		Devices          uint16
		ExtendedCapacity uint64 // bytes
	}
	// memoryDevice is the body of type 17 (section 7.18).
	memoryDevice struct {
		Array            uint16 // handle
		ErrorInformation uint16 // handle
		TotalWidth       uint16 // bits
		DataWidth        uint16 // bits
		Size             uint16 // MiB; 0x7FFF: see ExtendedSize
		FormFactor       uint8
		Set              uint8 // 0: not part of a set
		Locator          uint8 // string
		BankLocator      uint8 // string
		Type             uint8
		Detail           uint16
		Speed            uint16   // 0: unknown
		Manufacturer     uint8    // string
		_                [3]uint8 // serial, asset, part: no strings
		Attributes       uint8    // 0: unknown rank
		ExtendedSize     uint32   // MiB
		ConfiguredSpeed  uint16   // 0: unknown
		_                [3]uint16
	}
	// mappedAddress is the body of type 19 (section 7.20).
	mappedAddress struct {
		Start, End                 uint32 // KiB, End is the last; 0xFFFFFFFF: see below
		Array                      uint16 // handle
		PartitionWidth             uint8
		ExtendedStart, ExtendedEnd uint64 // bytes, ExtendedEnd is the last
	}
)

// Values of type 4 (section 7.5).
const (
	processorCentral = 3
	processorEnabled = 0x41 // socket populated, processor enabled
	upgradeOther     = 1
	familyOther      = 1
	familyExtended   = 0xFE   // Family: see Family2
	processorUnknown = 1 << 1 // Characteristics
	maxThreads       = 0xFFFE // 0xFFFF is reserved
)

func (b *builder) processors(cfg Config) {
	p := cfg.Processors
	for i := range p.Sockets {
		s := &stringSet{}
		info := processorInformation{
			Socket:          s.add("processor socket", fmt.Sprintf("CPU %d", i)),
			Type:            processorCentral,
			Family:          uint8(min(p.Family, familyExtended)),
			Manufacturer:    s.add("processor manufacturer", p.Manufacturer),
			ID:              uint64(p.Features)<<32 | uint64(p.Signature),
			Version:         s.add("processor version", p.Version),
			MaxSpeed:        p.Speed,
			CurrentSpeed:    p.Speed,
			Status:          processorEnabled,
			Upgrade:         upgradeOther,
			Caches:          [3]uint16{handleNone, handleNone, handleNone},
			Serial:          s.add("processor serial", p.Serial),
			Asset:           s.add("processor asset", p.Asset),
			Part:            s.add("processor part", p.Part),
			Cores:           uint8(min(p.Cores, 0xFF)),
			CoresEnabled:    uint8(min(p.Cores, 0xFF)),
			Threads:         uint8(min(p.Cores*p.Threads, 0xFF)),
			Characteristics: processorUnknown,
			Family2:         p.Family,
		}
		if cfg.Version == V2_8 {
			b.add(typeProcessor, handleProcessor+i, info, s)
			continue
		}
		b.add(typeProcessor, handleProcessor+i, processorInformation30{
			Processor:     info,
			Cores2:        uint16(p.Cores),
			CoresEnabled2: uint16(p.Cores),
			Threads2:      uint16(p.Cores * p.Threads),
		}, s)
	}
}

// Values of types 16, 17 and 19 (sections 7.17, 7.18 and 7.20).
const (
	arrayOther     = 1
	arraySystem    = 3
	arrayECC       = 6
	formDIMM       = 9
	memoryRAM      = 7
	detailOther    = 1 << 1
	widthUnknown   = 0xFFFF
	partitionWidth = 1

	capacityExtended = 0x8000_0000
	sizeExtended     = 0x7FFF
	addressExtended  = 0xFFFF_FFFF
)

const (
	kib      = 1 << 10
	mib      = 1 << 20
	highBase = 4 << 30 // where RAM goes on above the device hole

	maxMapped = 2 // ranges of RAM
	// maxRAM keeps the arithmetic on addresses far from overflow.
	maxRAM = 1 << 52
)

func (c *Config) checkMemory() error {
	switch {
	case c.LowRAM == 0:
		return errors.New("a machine needs RAM at address 0")
	case c.LowRAM%kib != 0 || c.HighRAM%kib != 0:
		return fmt.Errorf("RAM of %d and %d bytes is not a multiple of 1024", c.LowRAM, c.HighRAM)
	case c.LowRAM > highBase:
		return fmt.Errorf("%d bytes of RAM from address 0 reach beyond 4 GiB", c.LowRAM)
	case c.HighRAM > maxRAM:
		return fmt.Errorf("%d bytes of RAM above 4 GiB are more than %d", c.HighRAM, uint64(maxRAM))
	case c.DIMMSize%mib != 0:
		return fmt.Errorf("memory devices of %d bytes are not a multiple of 1 MiB", c.DIMMSize)
	case c.DIMMSize/mib > 1<<31-1:
		return fmt.Errorf("memory devices of %d bytes are too large to tell", c.DIMMSize)
	}
	if n := c.dimms(); n > MaxDIMMs {
		return fmt.Errorf("%d bytes of RAM would be %d memory devices of %d bytes, want at most %d: raise DIMMSize",
			c.LowRAM+c.HighRAM, n, c.DIMMSize, MaxDIMMs)
	}
	return nil
}

// dimms is the number of memory devices.
func (c *Config) dimms() uint64 { return ceilDiv(c.LowRAM+c.HighRAM, c.DIMMSize) }

func ceilDiv(a, b uint64) uint64 { return (a + b - 1) / b }

// memory writes one array, its devices, and where it is seen.
func (b *builder) memory(cfg Config) {
	total, dimms := cfg.LowRAM+cfg.HighRAM, int(cfg.dimms())
	array := memoryArray{
		Location:         arrayOther,
		Use:              arraySystem,
		ErrorCorrection:  arrayECC,
		Capacity:         capacityExtended,
		ErrorInformation: handleNoErrors,
		Devices:          uint16(dimms),
		ExtendedCapacity: total,
	}
	if total/kib < capacityExtended {
		array.Capacity, array.ExtendedCapacity = uint32(total/kib), 0
	}
	b.add(typeMemoryArray, handleMemoryArray, array, &stringSet{})

	for i := range dimms {
		b.memoryDevice(cfg, i, min(cfg.DIMMSize, total-uint64(i)*cfg.DIMMSize))
	}

	handle := max(handleMapped, handleMemoryDevice+dimms)
	b.mapped(handle, 0, cfg.LowRAM)
	if cfg.HighRAM > 0 {
		b.mapped(handle+1, highBase, cfg.HighRAM)
	}
}

func (b *builder) memoryDevice(cfg Config, i int, size uint64) {
	s := &stringSet{}
	device := memoryDevice{
		Array:            handleMemoryArray,
		ErrorInformation: handleNoErrors,
		TotalWidth:       widthUnknown,
		DataWidth:        widthUnknown,
		Size:             sizeExtended,
		FormFactor:       formDIMM,
		Locator:          s.add("memory device locator", fmt.Sprintf("DIMM %d", i)),
		Type:             memoryRAM,
		Detail:           detailOther,
		Manufacturer:     s.add("memory device manufacturer", cfg.Machine.Manufacturer),
		ExtendedSize:     uint32(ceilDiv(size, mib)),
	}
	if device.ExtendedSize < sizeExtended {
		device.Size, device.ExtendedSize = uint16(device.ExtendedSize), 0
	}
	b.add(typeMemoryDevice, handleMemoryDevice+i, device, s)
}

func (b *builder) mapped(handle int, start, size uint64) {
	end := start + size - 1
	m := mappedAddress{
		Start:          addressExtended,
		End:            addressExtended,
		Array:          handleMemoryArray,
		PartitionWidth: partitionWidth,
		ExtendedStart:  start,
		ExtendedEnd:    end,
	}
	if end/kib < addressExtended {
		m.Start, m.End = uint32(start/kib), uint32(end/kib)
		m.ExtendedStart, m.ExtendedEnd = 0, 0
	}
	b.add(typeMapped, handle, m, &stringSet{})
}
