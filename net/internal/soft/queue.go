package soft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	hostnet "github.com/govmm/govmm/net"
)

// Send implements net.Queue.
func (p *Port) Send(frame [][]byte) error {
	if err := p.state(); err != nil {
		return err
	}
	size, total := int(p.header.Load()), 0
	for _, b := range frame {
		total += len(b)
	}
	n := total - size
	if n < hostnet.MinFrame || n > hostnet.MaxFrame {
		p.tx.errors.Add(1)
		return nil
	}
	tx := &p.tx
	tx.vec = cut(tx.vec[:0], tx.header[:size], frame)
	h, _ := hostnet.ParseHeader(tx.header[:size])
	if !p.has(&h) {
		p.tx.errors.Add(1)
		return nil
	}
	err := p.wire.Send(h, tx.vec, n)
	clear(tx.vec) // addresses of guest memory are not to stay here
	switch {
	case err == nil:
		p.tx.frames.Add(1)
		p.tx.bytes.Add(uint64(n))
		return nil
	case errors.Is(err, hostnet.ErrAgain):
		return hostnet.ErrAgain
	case errors.Is(err, ErrLost):
		p.tx.dropped.Add(1)
	default:
		p.tx.errors.Add(1)
	}
	return nil
}

// cut copies the beginning of a frame to header and appends the rest to vec.
func cut(vec [][]byte, header []byte, frame [][]byte) [][]byte {
	for _, b := range frame {
		k := copy(header, b)
		header = header[k:]
		if len(b) > k {
			vec = append(vec, b[k:])
		}
	}
	return vec
}

// has reports whether the wire has the offloads that a header asks for.
func (p *Port) has(h *hostnet.Header) bool {
	var need hostnet.Offload
	switch h.GSOType &^ hostnet.GSOECN {
	case hostnet.GSONone:
	case hostnet.GSOTCPv4:
		need = hostnet.TSO4
	case hostnet.GSOTCPv6:
		need = hostnet.TSO6
	default:
		return false
	}
	if h.GSOType&hostnet.GSOECN != 0 {
		need |= hostnet.TSOECN
	}
	if h.Flags&hostnet.HeaderNeedsCsum != 0 {
		need |= hostnet.Csum
	}
	return p.offloads&need == need
}

// Receive implements net.Queue.
func (p *Port) Receive(buf [][]byte) (n int, rest []byte, err error) {
	if err := p.state(); err != nil {
		return 0, nil, err
	}
	h, frame, err := p.wire.Receive()
	if err != nil {
		return 0, nil, err
	}
	defer p.wire.Done()
	header := p.rx.header[:p.header.Load()]
	h.Put(header)
	out := placer{bufs: buf, port: p}
	out.put(header)
	for _, b := range frame {
		out.put(b)
	}
	total := out.n + len(out.rest)
	p.rx.frames.Add(1)
	p.rx.bytes.Add(uint64(total - len(header)))
	return out.n, out.rest, nil
}

// placer fills slices in their order, and then the port's spill buffer.
type placer struct {
	port *Port
	bufs [][]byte
	at   int // in bufs[0]
	n    int // bytes that fitted
	rest []byte
}

func (o *placer) put(b []byte) {
	for len(b) > 0 && len(o.bufs) > 0 {
		k := copy(o.bufs[0][o.at:], b)
		b, o.at, o.n = b[k:], o.at+k, o.n+k
		if o.at == len(o.bufs[0]) {
			o.bufs, o.at = o.bufs[1:], 0
		}
	}
	if len(b) == 0 {
		return
	}
	if o.rest == nil {
		if o.port.spill == nil {
			o.port.spill = make([]byte, 0, hostnet.HeaderSize+hostnet.MaxFrame)
		}
		o.rest = o.port.spill
	}
	o.rest = append(o.rest, b...)
}

// Wait implements net.Queue.
func (p *Port) Wait(events hostnet.Events, others []unix.PollFd) (hostnet.Events, error) {
	if events&hostnet.ToReceive != 0 {
		p.rx.waiting.Store(true)
	}
	if events&hostnet.ToSend != 0 {
		p.tx.waiting.Store(true)
	}
	// What comes after this look notifies.
	if ready := p.wire.Ready(events); ready != 0 {
		clearEvents(others)
		return ready, p.state()
	}
	open, err := p.events.poll([...]bool{woken: true, rxReady: events&hostnet.ToReceive != 0, txReady: events&hostnet.ToSend != 0}, others)
	switch {
	case p.closed.Load():
		p.events.set(woken) // this end is for all who wait to see
		return 0, hostnet.ErrClosed
	case !open:
		return 0, hostnet.ErrClosed
	case err != nil:
		return 0, fmt.Errorf("net: %s: cannot wait: %w", p.name, err)
	}
	return p.wire.Ready(events), nil
}

// Wake implements net.Queue.
func (p *Port) Wake() { p.events.set(woken) }

// FD implements net.Queue. There is none.
func (p *Port) FD() int { return -1 }
