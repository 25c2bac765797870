package queue

// Chain is a descriptor chain that has been checked: the buffers of one request
// from the driver. It belongs to the device until it is pushed back.
type Chain struct {
	queue    *Queue
	bufs     [][]byte // readable ones first
	readers  int      // how many are readable
	readable uint64   // their bytes
	writable uint64   // bytes of the others
	first    uint16   // index of the first descriptor in the table or ring
	id       uint16   // head index (split) or buffer id (packed)
	entries  uint16   // ring entries it takes up
	sequence uint64
	held     bool // by the device
	written  uint32

	reader Reader
	writer Writer
	pieces [][]byte // backs the vectors that begin or end within a buffer
}

// maxChainBytes is the most that a chain may hold (section 2.7.5.2).
const maxChainBytes = 1 << 32

// usualBuffers is the length of chain that needs no memory beyond the first.
const usualBuffers = 8

func (q *Queue) newChain() *Chain {
	return &Chain{queue: q, bufs: make([][]byte, 0, usualBuffers)}
}

// Reader is what the driver has sent. It is the same one in each call.
func (c *Chain) Reader() *Reader { return &c.reader }

// Writer is the room for the answer. It is the same one in each call.
func (c *Chain) Writer() *Writer { return &c.writer }

// reset empties the chain.
func (c *Chain) reset() {
	c.bufs = c.bufs[:0]
	c.pieces = c.pieces[:0]
	c.readers, c.readable, c.writable = 0, 0, 0
}

// attach gives the reader and the writer what was collected.
func (c *Chain) attach() {
	n := c.readers
	c.reader.span = span{chain: c, bufs: c.bufs[:n:n], left: int(c.readable)}
	c.writer.span = span{chain: c, bufs: c.bufs[n:], left: int(c.writable)}
}

// add appends the buffer of a descriptor.
func (c *Chain) add(d descriptor) Rule {
	n := uint64(d.len)
	switch {
	case n == 0:
		return ZeroLength
	case c.readable+c.writable+n > maxChainBytes:
		return ChainTooLarge
	case d.addr+n < d.addr:
		return BufferWraps
	case len(c.bufs) >= int(c.queue.config.MaxSize):
		return ChainTooLong
	}
	b := c.queue.ram.slice(d.addr, n)
	if b == nil {
		return BufferOutside
	}
	if d.flags&flagWrite != 0 {
		c.writable += n
	} else {
		if len(c.bufs) > c.readers {
			return ReadableAfterWritable
		}
		c.readers++
		c.readable += n
	}
	c.bufs = append(c.bufs, b)
	return 0
}
