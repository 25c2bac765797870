package hostile

import (
	"testing"
)

// An operation of FuzzMachine has 12 bytes: what, whom, offset (2), value (8).
const opSize = 12

// maxOps bounds a fuzzed input's time.
const maxOps = 400

func op(what, whom byte, offset uint16, v uint64) []byte {
	b := le.AppendUint16([]byte{what, whom}, offset)
	return le.AppendUint64(b, v)
}

func ops(list ...[]byte) (all []byte) {
	for _, o := range list {
		all = append(all, o...)
	}
	return all
}

// FuzzMachine is a guest that does anything whatever to the registers of all
// functions and to their rings, while all devices run. The board must survive
// it in time, write nothing outside RAM, and work again after a reset.
func FuzzMachine(f *testing.F) {
	f.Add(byte(0), ops(op(0, 0, 0x14, 0), op(0, 0, 0x14, 3), op(0, 0, 0x14, 11), op(0, 0, 0x1C, 1), op(0, 0, 0x14, 15)))
	f.Add(byte(1), ops(op(1, 1, 0x20, 0xFE000000), op(1, 2, 4, 0), op(1, 2, 4, 7), op(1, 3, 0x10, 0xCF8)))
	f.Add(byte(0), ops(op(2, 2, 0x08, 0xFFFFFFFF), op(2, 2, 0x12, 7), op(2, 2, 0x10, 1)))
	f.Add(byte(0), ops(op(3, 3, 0, 0xFFFFFFFF_FFFFFFFF), op(3, 3, 12, 1), op(3, 3, 12, 0)))
	f.Add(byte(0), ops(op(4, 4, 0, 1<<40), op(4, 4, 8, 0x0003_0000_0001), op(4, 4, 0x82, 1), op(5, 4, 0, 0)))
	f.Add(byte(1), ops(op(4, 0, 0, 0x10000000), op(4, 0, 8, 0x00800000_00000010), op(5, 0, 0, 0), op(6, 0, 0, 0), op(7, 0, 0, 64)))
	f.Fuzz(func(t *testing.T, form byte, input []byte) {
		b := newBoard(t)
		b.within("start", func() {
			for _, c := range b.cards {
				c.packed = form&1 != 0
				c.start()
				if form&2 != 0 {
					c.serve()
				}
			}
		})
		b.within("operations", func() {
			for n := 0; len(input) >= opSize && n < maxOps; input, n = input[opSize:], n+1 {
				b.operate(input[:opSize])
			}
		})
		b.within("reset", func() {
			b.pci.Reset()
			b.checkCanaries(true)
			for _, c := range b.cards {
				c.place()
			}
			for _, c := range b.cards {
				c.start()
				c.serve()
			}
		})
		b.checkCanaries(true)
	})
}

// operate does one operation.
func (b *board) operate(o []byte) {
	c := b.cards[o[1]%byte(kinds)]
	offset, v := uint64(le.Uint16(o[2:])), le.Uint64(o[4:])
	size := 1 << (o[1] >> 6)
	small := min(size, 4)
	q := c.queues[int(o[1]>>3)&7%len(c.queues)].Config()
	switch o[0] % 8 {
	case 0:
		c.store(c.modern()+offset%modernSize, size, v)
		c.load(c.modern()+offset%modernSize, size)
	case 1:
		reg := uint8(offset) &^ uint8(small-1)
		c.setConfig(reg, small, uint32(v))
		c.config(reg, small)
	case 2:
		c.out(c.io()+offset%128, small, uint32(v))
		c.in(c.io()+offset%128, small)
	case 3:
		c.store(c.msix()+offset%0x1000, size, v)
		c.load(c.msix()+offset%0x1000, size)
	case 4: // a descriptor, or what follows the descriptors
		at := q.Desc + offset%(24*uint64(q.Size))&^7
		b.must(b.mem.AtomicStore64(at, v))
	case 5: // an entry of the available ring and the index, if it is split
		b.must(b.mem.AtomicStore16(q.Driver+4+2*(offset%uint64(q.Size)), uint16(v)))
		b.must(b.mem.AtomicStore16(q.Driver+2, uint16(v>>16)))
		c.notify(q.Index)
	case 6:
		c.notify(int(offset % 1024))
	case 7: // what the requests are made of
		at := q.Desc + queueStride/4 + offset&^7
		b.must(b.mem.AtomicStore64(at, v))
	}
}
