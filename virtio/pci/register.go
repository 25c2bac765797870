package pci

// registers is a block of registers of 1, 2 and 4 bytes.
//
// Drivers ought to access each by its own size. Any other access is taken as
// one to each register that it touches, lowest first; a write to a part of a
// register keeps the rest.
type registers interface {
	// register returns where the register that holds offset starts, and its
	// size in bytes.
	register(offset uint64) (start, size uint64)
	get(start uint64) uint32
	set(start uint64, v uint32)
}

func readRegisters(r registers, offset uint64, data []byte) {
	for len(data) > 0 {
		start, size := r.register(offset)
		skip := offset - start
		v := r.get(start) >> (8 * skip)
		n := min(uint64(len(data)), size-skip)
		for i := range n {
			data[i] = byte(v >> (8 * i))
		}
		data, offset = data[n:], offset+n
	}
}

func writeRegisters(r registers, offset uint64, data []byte) {
	for len(data) > 0 {
		start, size := r.register(offset)
		skip := offset - start
		n := min(uint64(len(data)), size-skip)
		v := uint32(0)
		if n < size {
			v = r.get(start)
		}
		for i := range n {
			shift := 8 * (skip + i)
			v = v&^(0xFF<<shift) | uint32(data[i])<<shift
		}
		r.set(start, v)
		data, offset = data[n:], offset+n
	}
}
