package platform

// ps2Buffer is how many bytes a PS/2 device keeps for a host that does not
// read them.
const ps2Buffer = 16

// ps2FIFO is the queue of bytes that a PS/2 device sends. It has room for one
// more than the buffer: the overrun code.
type ps2FIFO struct {
	Data [ps2Buffer + 1]uint8
	Head uint8
	Len  uint8
}

// room reports whether n bytes still fit into the buffer.
func (q *ps2FIFO) room(n int) bool { return int(q.Len)+n <= ps2Buffer }

// push appends bytes for which there is room; what has none is dropped.
func (q *ps2FIFO) push(bytes ...uint8) {
	for _, v := range bytes {
		if int(q.Len) == len(q.Data) {
			return
		}
		q.Data[(int(q.Head)+int(q.Len))%len(q.Data)] = v
		q.Len++
	}
}

func (q *ps2FIFO) pop() (v uint8, ok bool) {
	if q.Len == 0 {
		return 0, false
	}
	v = q.Data[q.Head]
	q.Head = uint8((int(q.Head) + 1) % len(q.Data))
	q.Len--
	return v, true
}

func (q *ps2FIFO) clear() { *q = ps2FIFO{} }

// Answers of PS/2 devices.
const (
	ps2Ack      = 0xFA
	ps2Resend   = 0xFE
	ps2Error    = 0xFC
	ps2Passed   = 0xAA // basic assurance test
	ps2ResendIt = 0xFE // the host's command of the same name
	ps2Reset    = 0xFF
)
