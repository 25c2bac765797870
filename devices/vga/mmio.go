package vga

import "encoding/binary"

// BAR 2:
//
//	0x000  EDID
//	0x400  ports 0x3C0 to 0x3DF
//	0x500  DISPI registers, 16 bits each
//	0x600  size of this block: 8
//	0x604  byte order of the framebuffer
const (
	mmioSize  = 0x1000
	mmioPorts = 0x400
	mmioDISPI = 0x500
	mmioExt   = 0x600

	extSize      = 8
	littleEndian = 0x1E1E1E1E
	bigEndian    = 0xBEBEBEBE
)

// mmio answers BAR 2. A DISPI register is accessed as a whole, and so is the
// byte order; what is not there reads 0.
type mmio struct{ v *VGA }

func (m mmio) Read(offset uint64, data []byte) {
	v := m.v
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range data {
		data[i] = 0
		switch at := offset + uint64(i); {
		case at < edidSize:
			data[i] = v.edid[at]
		case at >= mmioPorts && at < mmioPorts+Ports:
			data[i] = v.readPort(at-mmioPorts, true)
		case at >= mmioDISPI && at <= mmioDISPI+2*dispiMemory64K+1:
			at -= mmioDISPI
			data[i] = uint8(v.readDISPI(uint16(at/2)) >> (at % 2 * 8))
		case at >= mmioExt && at < mmioExt+extSize:
			at -= mmioExt
			data[i] = uint8(v.s.extended(at/4) >> (at % 4 * 8))
		}
	}
}

func (m mmio) Write(offset uint64, data []byte) {
	v := m.v
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case offset >= mmioPorts && offset+uint64(len(data)) <= mmioPorts+Ports:
		for i, b := range data {
			v.writePort(offset-mmioPorts+uint64(i), true, b)
		}
	case offset >= mmioDISPI && offset < mmioDISPI+2*dispiRegisters:
		for i := 0; i+2 <= len(data); i += 2 {
			index := (offset - mmioDISPI + uint64(i)) / 2
			v.writeDISPI(uint16(index), binary.LittleEndian.Uint16(data[i:]))
		}
	case offset == mmioExt+4 && len(data) == 4:
		switch binary.LittleEndian.Uint32(data) {
		case littleEndian:
			v.s.BigEndian = false
		case bigEndian:
			v.s.BigEndian = true
		}
	}
}

func (s *State) extended(reg uint64) uint32 {
	switch {
	case reg == 0:
		return extSize
	case s.BigEndian:
		return bigEndian
	}
	return littleEndian
}

// framebuffer answers BAR 0 where no memory slot does.
type framebuffer struct{ v *VGA }

func (f framebuffer) Read(offset uint64, data []byte) {
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	if offset+uint64(len(data)) <= uint64(len(f.v.vram)) {
		copy(data, f.v.vram[offset:])
		return
	}
	for i := range data {
		data[i] = 0xFF
	}
}

func (f framebuffer) Write(offset uint64, data []byte) {
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	if offset+uint64(len(data)) <= uint64(len(f.v.vram)) {
		copy(f.v.vram[offset:], data)
	}
}
