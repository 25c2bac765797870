package memory

import "encoding/binary"

// Load8 reads a byte at gpa.
func (m *Memory) Load8(gpa uint64) (uint8, error) {
	_, b, err := m.locate(gpa, 1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// Load16 reads a little-endian number at gpa, which need not be aligned. The
// guest may change it meanwhile: see AtomicLoad16.
func (m *Memory) Load16(gpa uint64) (uint16, error) {
	_, b, err := m.locate(gpa, 2)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint16(b), nil
}

// Load32 is Load16 for 32 bits.
func (m *Memory) Load32(gpa uint64) (uint32, error) {
	_, b, err := m.locate(gpa, 4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

// Load64 is Load16 for 64 bits.
func (m *Memory) Load64(gpa uint64) (uint64, error) {
	_, b, err := m.locate(gpa, 8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// Store8 writes a byte to RAM at gpa.
func (m *Memory) Store8(gpa uint64, v uint8) error {
	r, b, err := m.locateRAM(gpa, 1)
	if err != nil {
		return err
	}
	b[0] = v
	r.mark(gpa, 1)
	return nil
}

// Store16 writes a little-endian number to RAM at gpa, which need not be
// aligned. The guest may see it in parts: see AtomicStore16.
func (m *Memory) Store16(gpa uint64, v uint16) error {
	r, b, err := m.locateRAM(gpa, 2)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint16(b, v)
	r.mark(gpa, 2)
	return nil
}

// Store32 is Store16 for 32 bits.
func (m *Memory) Store32(gpa uint64, v uint32) error {
	r, b, err := m.locateRAM(gpa, 4)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(b, v)
	r.mark(gpa, 4)
	return nil
}

// Store64 is Store16 for 64 bits.
func (m *Memory) Store64(gpa uint64, v uint64) error {
	r, b, err := m.locateRAM(gpa, 8)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint64(b, v)
	r.mark(gpa, 8)
	return nil
}
