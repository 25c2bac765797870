package net

import (
	"encoding/binary"

	"github.com/govmm/govmm/virtio"
)

// The configuration space (section 5.1.4):
//
//	0 mac  6 status(16)  8 max_virtqueue_pairs(16)  10 mtu(16)
//	12 speed(32)  16 duplex(8)  17 and on: RSS, all 0
const (
	configMAC    = 0
	configStatus = 6
	configPairs  = 8
	configMTU    = 10
	configSpeed  = 12
	configDuplex = 16
	configSize   = 24
)

// Bits of the status.
const (
	statusLinkUp   = 1 << 0
	statusAnnounce = 1 << 1
)

// Values of speed and duplex.
const (
	maxSpeed     = 1<<31 - 1
	unknownSpeed = 1<<32 - 1
	duplexFull   = 1
	duplexNone   = 0xFF
)

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint64, data []byte) {
	clear(data)
	if offset >= configSize {
		return
	}
	var b [configSize]byte
	mac := d.mac.Load().bytes()
	copy(b[configMAC:], mac[:])
	binary.LittleEndian.PutUint16(b[configStatus:], d.status())
	binary.LittleEndian.PutUint16(b[configPairs:], uint16(d.pairs))
	binary.LittleEndian.PutUint16(b[configMTU:], uint16(d.mtu))
	speed, duplex := d.speed, uint8(duplexFull)
	if speed == 0 {
		speed, duplex = unknownSpeed, duplexNone
	}
	binary.LittleEndian.PutUint32(b[configSpeed:], speed)
	b[configDuplex] = duplex
	copy(data, b[offset:])
}

// WriteConfig implements virtio.Device. Only the MAC address can be written,
// and only by a legacy driver that cannot set it by a command.
func (d *Device) WriteConfig(offset uint64, data []byte) {
	if r := d.active.Load(); r != nil && r.features&(virtio.FeatureVersion1|FeatureCtrlMACAddr) != 0 {
		return
	}
	mac := d.mac.Load().bytes()
	if offset >= uint64(len(mac)) {
		return
	}
	copy(mac[offset:], data)
	d.setMAC(addressOf(mac[:]))
}

// status is what the driver reads as such.
func (d *Device) status() uint16 {
	s := uint16(0)
	if d.linkUp() {
		s |= statusLinkUp
	}
	if d.announcing.Load() {
		s |= statusAnnounce
	}
	return s
}
