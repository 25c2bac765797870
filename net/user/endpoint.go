package user

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/net/internal/soft"
)

// Limits of what waits for the guest to receive it.
const (
	maxQueued      = 1024    // packets
	maxQueuedBytes = 4 << 20 // of them
)

// maxSegment is the longest IP packet of a segmentation offload, in bytes.
const maxSegment = 60 << 10

// endpoint is where the stack and the port meet: a stack.LinkEndpoint below
// one, and the queue of packets of the other.
type endpoint struct {
	port     *soft.Port
	mtu      uint32
	offloads atomic.Uint32 // hostnet.Offload that the guest takes

	dispatcher atomic.Pointer[stack.NetworkDispatcher]

	mu     sync.Mutex
	queue  []*stack.PacketBuffer // a ring
	first  int
	count  int
	bytes  int
	closed bool

	// Of the packet that is being received.
	current *stack.PacketBuffer
	slices  [][]byte
}

var (
	_ stack.LinkEndpoint = (*endpoint)(nil)
	_ stack.GSOEndpoint  = (*endpoint)(nil)
)

func newEndpoint(mtu int) *endpoint { return &endpoint{mtu: uint32(mtu)} }

// configure notes what the guest takes.
func (e *endpoint) configure(o hostnet.Offload) { e.offloads.Store(uint32(o)) }

// segments reports whether the guest takes segments to be cut up.
func (e *endpoint) segments() bool {
	const need = hostnet.Csum | hostnet.TSO4
	return hostnet.Offload(e.offloads.Load())&need == need
}

// inject gives the stack a frame of the guest's. Its payload is copied once.
func (e *endpoint) inject(frame [][]byte, n int) {
	d := e.dispatcher.Load()
	if d == nil {
		return
	}
	view := buffer.NewViewSize(n)
	data := view.AsSlice()
	for _, b := range frame {
		data = data[copy(data, b):]
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(view)})
	defer pkt.DecRef()
	eth, ok := pkt.LinkHeader().Consume(header.EthernetMinimumSize)
	if !ok {
		return
	}
	switch to := tcpip.LinkAddress(eth[:6]); {
	case to == routerMAC:
		pkt.PktType = tcpip.PacketHost
	case to == header.EthernetBroadcastAddress:
		pkt.PktType = tcpip.PacketBroadcast
	case eth[0]&1 != 0:
		pkt.PktType = tcpip.PacketMulticast
	default:
		return // somebody else's
	}
	(*d).DeliverNetworkPacket(tcpip.NetworkProtocolNumber(binary.BigEndian.Uint16(eth[12:])), pkt)
}

// WritePackets implements stack.LinkWriter. Packets that do not fit are lost, as
// in any network.
func (e *endpoint) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, pkt := range list.AsSlice() {
		if !e.push(pkt) {
			e.port.Dropped()
			continue
		}
		n++
	}
	e.port.Notify(hostnet.ToReceive)
	return n, nil
}

func (e *endpoint) push(pkt *stack.PacketBuffer) bool {
	size := pkt.Size()
	if !e.port.Plugged() {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.count == maxQueued || e.bytes+size > maxQueuedBytes {
		return false
	}
	if e.queue == nil {
		e.queue = make([]*stack.PacketBuffer, maxQueued)
	}
	// A clone: the stack goes on with its packet.
	e.queue[(e.first+e.count)%maxQueued] = pkt.Clone()
	e.count++
	e.bytes += size
	return true
}

// pop takes the next packet, nil when there is none.
func (e *endpoint) pop() *stack.PacketBuffer {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.count == 0 {
		return nil
	}
	pkt := e.queue[e.first]
	e.queue[e.first] = nil
	e.first = (e.first + 1) % maxQueued
	e.count--
	e.bytes -= pkt.Size()
	return pkt
}

func (e *endpoint) empty() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count == 0
}

// shut lets nothing more in.
func (e *endpoint) shut() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
}

// drain forgets all packets.
func (e *endpoint) drain() {
	for pkt := e.pop(); pkt != nil; pkt = e.pop() {
		pkt.DecRef()
	}
}

// vnetHeader is the header of a packet that the stack left to us to complete.
func vnetHeader(pkt *stack.PacketBuffer) (h hostnet.Header) {
	g := pkt.GSOOptions
	if g.Type != stack.GSOTCPv4 || !g.NeedsCsum {
		return h
	}
	h.Flags = hostnet.HeaderNeedsCsum
	h.CsumStart = header.EthernetMinimumSize + g.L3HdrLen
	h.CsumOffset = g.CsumOffset
	if data := pkt.Data().Size(); data > int(g.MSS) {
		h.GSOType = hostnet.GSOTCPv4
		h.GSOSize = g.MSS
		h.HdrLen = uint16(pkt.Size() - data)
	}
	return h
}

// Send implements soft.Wire.
func (w *world) Send(_ hostnet.Header, frame [][]byte, n int) error {
	w.end.inject(frame, n)
	return nil
}

// Receive implements soft.Wire.
func (w *world) Receive() (h hostnet.Header, frame [][]byte, err error) {
	e := w.end
	for {
		pkt := e.pop()
		if pkt == nil {
			return h, nil, hostnet.ErrAgain
		}
		h = vnetHeader(pkt)
		if h.Flags != 0 && !e.segments() {
			// For a driver that was there before.
			pkt.DecRef()
			e.port.Dropped()
			continue
		}
		e.current = pkt
		e.slices = e.slices[:0]
		views, skip := pkt.AsViewList()
		for v := views.Front(); v != nil; v = v.Next() {
			b := v.AsSlice()
			k := min(skip, len(b))
			skip -= k
			if len(b) > k {
				e.slices = append(e.slices, b[k:])
			}
		}
		return h, e.slices, nil
	}
}

// Done implements soft.Wire.
func (w *world) Done() {
	clear(w.end.slices)
	w.end.current.DecRef()
	w.end.current = nil
}

// Ready implements soft.Wire. The stack takes everything.
func (w *world) Ready(e hostnet.Events) hostnet.Events {
	if w.end.empty() {
		e &^= hostnet.ToReceive
	}
	return e
}

// MTU implements stack.LinkEndpoint.
func (e *endpoint) MTU() uint32 { return e.mtu }

// SetMTU implements stack.LinkEndpoint. It stays as it is.
func (e *endpoint) SetMTU(uint32) {}

// MaxHeaderLength implements stack.LinkEndpoint.
func (e *endpoint) MaxHeaderLength() uint16 { return header.EthernetMinimumSize }

// LinkAddress implements stack.LinkEndpoint.
func (e *endpoint) LinkAddress() tcpip.LinkAddress { return routerMAC }

// SetLinkAddress implements stack.LinkEndpoint. It stays as it is.
func (e *endpoint) SetLinkAddress(tcpip.LinkAddress) {}

// Capabilities implements stack.LinkEndpoint. The checksums of what the guest
// sends need not be there, and nothing is damaged on its way out of its memory.
func (e *endpoint) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityResolutionRequired | stack.CapabilityRXChecksumOffload
}

// GSOMaxSize implements stack.GSOEndpoint.
func (e *endpoint) GSOMaxSize() uint32 { return maxSegment }

// SupportedGSO implements stack.GSOEndpoint.
func (e *endpoint) SupportedGSO() stack.SupportedGSO {
	if e.segments() {
		return stack.HostGSOSupported
	}
	return stack.GVisorGSOSupported
}

// Attach implements stack.LinkEndpoint.
func (e *endpoint) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		e.dispatcher.Store(nil)
		return
	}
	e.dispatcher.Store(&d)
}

// IsAttached implements stack.LinkEndpoint.
func (e *endpoint) IsAttached() bool { return e.dispatcher.Load() != nil }

// Wait implements stack.LinkEndpoint.
func (e *endpoint) Wait() {}

// ARPHardwareType implements stack.LinkEndpoint.
func (e *endpoint) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }

// AddHeader implements stack.LinkEndpoint.
func (e *endpoint) AddHeader(pkt *stack.PacketBuffer) {
	header.Ethernet(pkt.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{
		SrcAddr: routerMAC,
		DstAddr: pkt.EgressRoute.RemoteLinkAddress,
		Type:    pkt.NetworkProtocolNumber,
	})
}

// ParseHeader implements stack.LinkEndpoint.
func (e *endpoint) ParseHeader(pkt *stack.PacketBuffer) bool {
	_, ok := pkt.LinkHeader().Consume(header.EthernetMinimumSize)
	return ok
}

// Close implements stack.LinkEndpoint.
func (e *endpoint) Close() {}

// SetOnCloseAction implements stack.LinkEndpoint.
func (e *endpoint) SetOnCloseAction(func()) {}
