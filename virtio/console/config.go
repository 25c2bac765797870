package console

import (
	"encoding/binary"
	"fmt"
)

// The configuration space (section 5.3.4):
//
//	0  cols          le16  of port 0
//	2  rows          le16
//	4  max_nr_ports  le32
//	8  emerg_wr      le32  a character for port 0, write-only
const (
	configSize = 12
	emergency  = 8
)

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint64, data []byte) {
	var c [configSize]byte
	d.mu.Lock()
	if p := d.ports[0]; p != nil {
		binary.LittleEndian.PutUint16(c[0:], p.cols)
		binary.LittleEndian.PutUint16(c[2:], p.rows)
	}
	d.mu.Unlock()
	binary.LittleEndian.PutUint32(c[4:], d.maxPorts)
	clear(data)
	if offset < configSize {
		copy(data, c[offset:])
	}
}

// WriteConfig implements virtio.Device: an emergency write is a character for
// port 0, also from a driver that has set up nothing. A legacy driver writes
// byte by byte, and the character is the first.
func (d *Device) WriteConfig(offset uint64, data []byte) {
	if offset > emergency || emergency-offset >= uint64(len(data)) {
		return
	}
	at := emergency - offset
	p := d.port(0)
	if p == nil {
		return // as on a machine without a console
	}
	if p.Backend.Write(data[at:at+1]) == 0 && d.log.Allow() {
		d.log.Warn("an emergency write is lost: the host takes no output of port 0")
	}
}

// Resize tells the guest the size of a port's console in characters, at any
// time. The size of port 0 is also in the configuration space, for drivers that
// know of one port only.
func (d *Device) Resize(port uint32, cols, rows uint16) error {
	p := d.port(port)
	if p == nil {
		return fmt.Errorf("%s: there is no port %d", d.name, port)
	}
	var r *run
	d.update(func() {
		if p.cols == cols && p.rows == rows {
			return
		}
		p.cols, p.rows = cols, rows
		p.need |= d.needSize(p)
		if port == 0 && d.run != nil && d.run.features.Has(FeatureSize) {
			r = d.run
		}
	})
	if r != nil {
		r.interrupts.ConfigChanged()
	}
	return nil
}
