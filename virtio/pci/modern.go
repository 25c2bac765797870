package pci

import (
	"encoding/binary"

	"github.com/govmm/govmm/devices/pci"
)

// The BARs.
const (
	legacyBAR = 0
	msixBAR   = 1
	modernBAR = 4
)

// The regions of the modern BAR, and their capabilities' cfg_type (section
// 4.1.4).
const (
	regionSize = 0x1000 // bytes

	commonRegion = 0 * regionSize
	isrRegion    = 1 * regionSize
	deviceRegion = 2 * regionSize
	notifyRegion = 3 * regionSize
	modernSize   = 4 * regionSize

	typeCommon = 1
	typeNotify = 2
	typeISR    = 3
	typeDevice = 4
	typeWindow = 5
)

// notifyMultiplier is the distance in bytes of two queues' doorbells.
const notifyMultiplier = 4

// addModern adds the modern BAR and the capabilities that say what is in it:
//
//	+0   cap_vndr, cap_next, cap_len, cfg_type
//	+4   bar, id, padding
//	+8   offset in the BAR
//	+12  length
//	+16  notify: notify_off_multiplier; window: pci_cfg_data
func (f *Function) addModern() error {
	for _, c := range []struct {
		kind    uint8
		offset  uint32
		further []byte
	}{
		{typeCommon, commonRegion, nil},
		{typeISR, isrRegion, nil},
		{typeDevice, deviceRegion, nil},
		{typeNotify, notifyRegion, []byte{notifyMultiplier, 0, 0, 0}},
	} {
		body := []byte{uint8(16 + len(c.further)), c.kind, modernBAR, 0, 0, 0}
		body = binary.LittleEndian.AppendUint32(body, c.offset)
		body = binary.LittleEndian.AppendUint32(body, regionSize)
		if _, err := f.AddCapability(pci.CapVendor, append(body, c.further...), nil); err != nil {
			return err
		}
	}
	if err := f.addWindow(); err != nil {
		return err
	}
	return f.AddBAR(pci.BAR{
		Index: modernBAR, Kind: pci.Memory64, Prefetchable: true, Size: modernSize, Handler: modern{f},
		Moved: func(base uint64, mapped bool) { f.events.moved(modernInterface, base, mapped) },
	})
}

// modern is the modern BAR.
type modern struct{ *Function }

// Read answers the guest's read.
func (m modern) Read(offset uint64, data []byte) {
	within := offset % regionSize
	switch offset - within {
	case commonRegion:
		readRegisters(common(m), within, data)
	case deviceRegion:
		m.device.ReadConfig(within, data)
	case isrRegion:
		clear(data)
		if within == 0 {
			data[0] = m.signals.takeISR()
		}
	default:
		clear(data)
	}
}

// Write takes the guest's write.
func (m modern) Write(offset uint64, data []byte) {
	within := offset % regionSize
	switch offset - within {
	case commonRegion:
		writeRegisters(common(m), within, data)
	case deviceRegion:
		m.writeDeviceConfig(within, data)
	case notifyRegion:
		m.notify(within / notifyMultiplier)
	}
}

func (f *Function) writeDeviceConfig(offset uint64, data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.device.WriteConfig(offset, data)
}

// notify rings the doorbell of a queue, if the device serves it and does not do
// so here and now.
func (f *Function) notify(index uint64) {
	if index >= uint64(len(f.live)) {
		return
	}
	bell := f.live[index].Load()
	if bell == nil || f.attend != nil && f.attend.Attend(int(index)) {
		return
	}
	bell.Ring()
}
