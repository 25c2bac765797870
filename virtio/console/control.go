package console

import (
	"encoding/binary"
	"math/bits"

	"github.com/govmm/govmm/virtio/queue"
)

// A control message (section 5.3.6.2), in both directions:
//
//	0  id     le32  port number
//	4  event  le16
//	6  value  le16
//	8         of PORT_NAME the name, of RESIZE the columns (le16) and rows (le16)
const messageSize = 8

// Events.
const (
	eventDeviceReady = iota // from the driver
	eventPortAdd
	eventPortRemove
	eventPortReady // from the driver
	eventConsolePort
	eventResize
	eventPortOpen // from both
	eventPortName
)

// messages are the control messages that a port has to send, in their order. As
// a set they need no more memory when the driver does not take them, and those
// that say the same are one.
type messages uint8

const (
	needAdd messages = 1 << iota
	needConsole
	needResize
	needName
	needClose
	needOpen
	needRemove
)

// events are those of the messages, by bit.
var events = [...]uint16{
	eventPortAdd, eventConsolePort, eventResize, eventPortName, eventPortOpen, eventPortOpen, eventPortRemove,
}

// startControl begins to serve the control queues. mu is held.
func (d *Device) startControl(r *run) {
	out, in := r.queues[controlReceive], r.queues[controlTransmit]
	r.toDriver = out
	r.serve(func() error {
		for out.Doorbell().Wait() && !r.stopped() {
			d.update(func() {})
		}
		return nil
	})
	r.serve(func() error {
		return queue.Serve(in, func(c *queue.Chain) error {
			d.receive(c.Reader())
			in.Push(c, 0)
			return nil
		})
	})
}

// receive takes a message of the driver.
func (d *Device) receive(m *queue.Reader) {
	var b [messageSize]byte
	if err := m.ReadFull(b[:]); err != nil {
		d.complain("sends a control message that is too short", 0, 0, uint16(m.Len()))
		return
	}
	id := binary.LittleEndian.Uint32(b[0:])
	event, value := binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:])
	if event == eventDeviceReady {
		d.deviceReady(value)
		return
	}
	p := d.portOrRemoved(id)
	switch {
	case p == nil:
		d.complain("sends a control message for a port that does not exist", id, event, value)
		return
	case p.removed.Load():
		return // our message and this one have crossed
	case !d.announced(p):
		d.complain("sends a control message for a port that it has not been told of", id, event, value)
		return
	}
	switch event {
	case eventPortReady:
		d.portReady(p, value)
	case eventPortOpen:
		d.setGuestOpen(p, value != 0)
	default:
		d.complain("sends an unknown control message", id, event, value)
	}
}

// deviceReady announces the ports. Those that were already are not again: it is
// an error to add a port that exists.
func (d *Device) deviceReady(value uint16) {
	if value == 0 {
		d.complain("could not start the device", 0, eventDeviceReady, value)
		return
	}
	d.update(func() {
		if d.run == nil {
			return
		}
		d.run.driverReady = true
		for _, p := range d.ports {
			if p != nil && !p.s.Announced && !p.removed.Load() {
				p.need |= needAdd
			}
		}
	})
}

// portReady tells the driver all there is to know of a port.
func (d *Device) portReady(p *port, value uint16) {
	if value == 0 {
		d.complain("could not add a port", p.ID, eventPortReady, value)
	}
	d.update(func() {
		p.s.Ready = value != 0
		if p.removed.Load() {
			return
		}
		p.need = 0
		if !p.s.Ready {
			return
		}
		if p.Console {
			p.need |= needConsole | d.needSize(p)
		}
		if p.Name != "" {
			p.need |= needName
		}
		if p.hostOpen {
			p.need |= needOpen
		}
	})
}

// needSize is the message about the size of a port's console, if it is to be
// sent. mu is held.
func (d *Device) needSize(p *port) messages {
	if p.Console && p.s.Ready && p.cols != 0 && d.run != nil && d.run.features.Has(FeatureSize) {
		return needResize
	}
	return 0
}

// announced reports whether the driver has been told of a port.
func (d *Device) announced(p *port) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return p.s.Announced
}

// setGuestOpen notes that the guest has opened or closed a port.
func (d *Device) setGuestOpen(p *port, open bool) {
	d.mu.Lock()
	changed := p.s.GuestOpen != open
	p.s.GuestOpen = open
	d.mu.Unlock()
	if changed {
		p.setOpen(open)
		d.guestOpen(p.ID, open)
	}
}

// GuestOpen reports whether the guest has a port open.
func (d *Device) GuestOpen(id uint32) bool {
	p := d.port(id)
	if p == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return p.s.GuestOpen
}

// Carrier implements chardev.CarrierReceiver. When the driver has not yet been
// told that the connection was lost, and there is a new one, it is told both.
// Console ports are always connected.
func (p *port) Carrier(up bool) {
	if p.Console {
		return
	}
	p.d.update(func() {
		if up == p.hostOpen {
			return
		}
		p.hostOpen = up
		switch {
		case !p.s.Ready || p.removed.Load():
		case up:
			p.need |= needOpen
		case p.need&needOpen != 0:
			p.need &^= needOpen
		default:
			p.need |= needClose
		}
	})
}

// update makes a change with mu held, and sends the messages that follow from it.
func (d *Device) update(change func()) {
	d.mu.Lock()
	change()
	r, sent := d.run, false
	var err error
	if r != nil && r.toDriver != nil {
		if sent, err = d.sendAll(r); err != nil {
			r.toDriver = nil
		}
	}
	d.mu.Unlock()
	if sent {
		r.queues[controlReceive].Flush()
	}
	if err != nil {
		r.interrupts.NeedsReset(err)
	}
}

// sendAll sends what the driver has buffers for. mu is held.
func (d *Device) sendAll(r *run) (sent bool, err error) {
	for _, p := range d.ports {
		for p != nil && p.need != 0 {
			c, err := r.controlBuffer()
			if c == nil {
				return sent, err
			}
			m := p.need & -p.need // the first
			text := d.encode(p, m)
			if err := c.Writer().WriteFull(text); err != nil {
				return sent, errMessageTooLong
			}
			r.toDriver.Push(c, uint32(len(text)))
			sent = true
			p.need &^= m
			if m == needAdd {
				p.s.Announced = true
			}
		}
	}
	return sent, nil
}

// controlBuffer returns a buffer for a message, or nil when there is none.
func (r *run) controlBuffer() (*queue.Chain, error) {
	for {
		c, err := r.toDriver.Pop()
		if c != nil || err != nil || !r.toDriver.EnableNotify() {
			return c, err
		}
	}
}

// encode writes a message of a port. mu is held.
func (d *Device) encode(p *port, m messages) []byte {
	value := uint16(1)
	if m == needClose {
		value = 0
	}
	b := binary.LittleEndian.AppendUint32(d.message[:0], p.ID)
	b = binary.LittleEndian.AppendUint16(b, events[bits.TrailingZeros8(uint8(m))])
	b = binary.LittleEndian.AppendUint16(b, value)
	switch m {
	case needName:
		b = append(b, p.Name...)
	case needResize:
		b = binary.LittleEndian.AppendUint16(b, p.cols)
		b = binary.LittleEndian.AppendUint16(b, p.rows)
	}
	return b
}

// complain logs what the driver should not have done.
func (d *Device) complain(what string, port uint32, event, value uint16) {
	if d.log.Allow() {
		d.log.Warn("the console's driver "+what, "port", port, "event", event, "value", value)
	}
}
