package nbd

import (
	"encoding/binary"
	"net"
	"time"
)

// call is one request of the protocol, on its way. Calls are made once and used
// again and again.
type call struct {
	command uint16
	flags   uint16
	offset  int64
	length  int64
	vec     [][]byte // memory of a READ or WRITE, length bytes of it

	cookie uint64 // on the connection it is on
	sentAt time.Time

	// While the call is registered with a connection, what follows is the
	// receiver's.
	got    int64  // bytes of a READ that have come
	chunks int    // of its reply that carried no data
	extent uint32 // of BLOCK_STATUS: length
	state  uint32 // of BLOCK_STATUS: flags
	err    error  // of the server

	done chan error // gets nil, or errLost, once for each time it is registered

	deadline time.Time // when it fails instead of waiting, after it was lost once
	header   [requestHeader]byte
	buffers  net.Buffers // what is sent
	pads     []byte      // memory around an unaligned request, 2 blocks
}

func newCall() *call { return &call{done: make(chan error, 1)} }

// begin makes it a new request.
func (k *call) begin(command, flags uint16, offset, length int64) {
	k.command, k.flags, k.offset, k.length = command, flags, offset, length
	k.vec = k.vec[:0]
	k.err, k.deadline = nil, time.Time{}
}

// end forgets the caller's memory.
func (k *call) end() {
	clear(k.vec)
	clear(k.buffers[:cap(k.buffers)])
	k.vec, k.buffers = k.vec[:0], k.buffers[:0]
}

// encode writes the request's header.
func (k *call) encode() []byte {
	b := k.header[:0]
	b = binary.BigEndian.AppendUint32(b, magicRequest)
	b = binary.BigEndian.AppendUint16(b, k.flags)
	b = binary.BigEndian.AppendUint16(b, k.command)
	b = binary.BigEndian.AppendUint64(b, k.cookie)
	b = binary.BigEndian.AppendUint64(b, uint64(k.offset))
	return binary.BigEndian.AppendUint32(b, uint32(k.length))
}

// appendRange appends n bytes of vec, from byte skip on, to to.
func appendRange(to, vec [][]byte, skip, n int64) [][]byte {
	for _, b := range vec {
		if n == 0 {
			break
		}
		if skip >= int64(len(b)) {
			skip -= int64(len(b))
			continue
		}
		b = b[skip:]
		skip = 0
		b = b[:min(int64(len(b)), n)]
		n -= int64(len(b))
		to = append(to, b)
	}
	return to
}

func bytesOf(vec [][]byte) (n int64) {
	for _, b := range vec {
		n += int64(len(b))
	}
	return n
}
