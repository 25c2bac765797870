package queue

import "encoding/binary"

// A descriptor (sections 2.7.5 and 2.8.9) is 16 bytes:
//
//	         63                    48 47                    32 31                 0
//	split    [                            addr                                    ]
//	         [         next         ][        flags         ][        len        ]
//	packed   [                            addr                                    ]
//	         [        flags         ][       buffer id       ][        len        ]
//
// Flags: bit 0 NEXT, bit 1 WRITE, bit 2 INDIRECT; packed also bit 7 AVAIL and
// bit 15 USED.
const (
	descSize = 16

	flagNext     = 1 << 0
	flagWrite    = 1 << 1
	flagIndirect = 1 << 2
	flagAvail    = 1 << 7
	flagUsed     = 1 << 15
)

// descriptor is a copy of one: the guest may change its own at any time.
type descriptor struct {
	addr  uint64
	len   uint32
	flags uint16
	tag   uint16 // next (split) or buffer id (packed)
}

// splitDescriptor reads a descriptor of a split queue's table.
func splitDescriptor(table []byte, index uint16) descriptor {
	b := table[int(index)*descSize:][:descSize]
	addr, rest := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	return descriptor{addr: addr, len: uint32(rest), flags: uint16(rest >> 32), tag: uint16(rest >> 48)}
}

// packedDescriptor reads a descriptor of a packed queue's ring or table.
func packedDescriptor(table []byte, index uint16) descriptor {
	b := table[int(index)*descSize:][:descSize]
	addr, rest := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	return descriptor{addr: addr, len: uint32(rest), tag: uint16(rest >> 32), flags: uint16(rest >> 48)}
}

// indirectTable finds the table that an indirect descriptor refers to. Its
// WRITE flag has no meaning (sections 2.7.5.3.2 and 2.8.7).
func (q *Queue) indirectTable(d descriptor) ([]byte, Rule) {
	switch {
	case !q.config.Indirect:
		return nil, IndirectNotNegotiated
	case d.len == 0:
		return nil, IndirectEmpty
	case d.len%descSize != 0:
		return nil, IndirectPartial
	case d.addr+uint64(d.len) < d.addr:
		return nil, IndirectWraps
	}
	table := q.ram.slice(d.addr, uint64(d.len))
	if table == nil {
		return nil, IndirectOutside
	}
	return table, 0
}
