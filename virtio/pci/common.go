package pci

import (
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// The common configuration (section 4.1.4.3). The registers from queue_size on
// are those of the queue that queue_select names.
//
//	      0           1           2           3
//	0x00  device_feature_select
//	0x04  device_feature
//	0x08  driver_feature_select
//	0x0C  driver_feature
//	0x10  config_msix_vector      num_queues
//	0x14  status      generation  queue_select
//	0x18  queue_size              queue_msix_vector
//	0x1C  queue_enable            queue_notify_off
//	0x20  queue_desc (64 bits)
//	0x28  queue_driver (64 bits)
//	0x30  queue_device (64 bits)
//	0x38  queue_notif_config_data queue_reset
//	0x3C  admin_queue_index       admin_queue_num
const (
	regDeviceFeatureSelect = 0x00
	regDeviceFeature       = 0x04
	regDriverFeatureSelect = 0x08
	regDriverFeature       = 0x0C
	regConfigVector        = 0x10
	regNumQueues           = 0x12
	regStatus              = 0x14
	regGeneration          = 0x15
	regQueueSelect         = 0x16
	regQueueSize           = 0x18
	regQueueVector         = 0x1A
	regQueueEnable         = 0x1C
	regQueueNotifyOff      = 0x1E
	regQueueDesc           = 0x20
	regQueueDriver         = 0x28
	regQueueDevice         = 0x30
	regQueueReset          = 0x3A
	commonSize             = 0x40
)

// legacyFeatures are offered to legacy drivers alone.
const legacyFeatures = virtio.FeatureNotifyOnEmpty | virtio.FeatureAnyLayout

// common is the common configuration.
type common struct{ *Function }

func (common) register(offset uint64) (start, size uint64) {
	switch {
	case offset < regConfigVector, offset >= regQueueDesc && offset < regQueueDevice+8:
		return offset &^ 3, 4
	case offset == regStatus, offset == regGeneration, offset >= commonSize:
		return offset, 1
	}
	return offset &^ 1, 2
}

func (c common) get(reg uint64) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch reg {
	case regDeviceFeatureSelect:
		return c.s.DeviceFeatureSelect
	case regDeviceFeature:
		return half(c.offered&^legacyFeatures, c.s.DeviceFeatureSelect)
	case regDriverFeatureSelect:
		return c.s.DriverFeatureSelect
	case regDriverFeature:
		return half(c.s.DriverFeatures, c.s.DriverFeatureSelect)
	case regConfigVector:
		return uint32(c.signals.configVector())
	case regNumQueues:
		return uint32(len(c.queues))
	case regStatus:
		return uint32(c.status())
	case regGeneration:
		return uint32(c.signals.generation())
	case regQueueSelect:
		return uint32(c.s.QueueSelect)
	case regQueueVector:
		return uint32(c.signals.queueVector(c.s.QueueSelect))
	case regQueueNotifyOff:
		if q := c.selected(); q != nil {
			return uint32(q.Index)
		}
		return 0
	}
	if q := c.selected(); q != nil {
		return getQueue(q, reg)
	}
	return 0
}

// half returns 32 of the feature bits.
func half(f virtio.Features, selector uint32) uint32 {
	if selector > 1 {
		return 0
	}
	return uint32(f >> (32 * selector))
}

func getQueue(q *queue.Config, reg uint64) uint32 {
	switch reg {
	case regQueueSize:
		return uint32(q.Size)
	case regQueueEnable:
		if q.Ready {
			return 1
		}
	case regQueueDesc:
		return uint32(q.Desc)
	case regQueueDesc + 4:
		return uint32(q.Desc >> 32)
	case regQueueDriver:
		return uint32(q.Driver)
	case regQueueDriver + 4:
		return uint32(q.Driver >> 32)
	case regQueueDevice:
		return uint32(q.Device)
	case regQueueDevice + 4:
		return uint32(q.Device >> 32)
	}
	return 0
}

func (c common) set(reg uint64, v uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch reg {
	case regDeviceFeatureSelect:
		c.s.DeviceFeatureSelect = v
	case regDriverFeatureSelect:
		c.s.DriverFeatureSelect = v
	case regDriverFeature:
		c.setFeatures(c.s.DriverFeatureSelect, v)
	case regConfigVector:
		c.signals.setConfigVector(uint16(v))
	case regStatus:
		c.setStatus(uint8(v), modernInterface)
	case regQueueSelect:
		c.s.QueueSelect = uint16(v)
	default:
		if q := c.selected(); q != nil {
			c.setQueue(q, reg, v)
		}
	}
}

// setFeatures takes 32 bits of what the driver wants. mu is held.
func (f *Function) setFeatures(selector, v uint32) {
	if f.s.Status&(statusFeaturesOK|statusDriverOK) != 0 || f.s.Active {
		f.complain("changes its features after it has settled them", -1, uint64(v))
		return
	}
	switch selector {
	case 0, 1:
		shift := 32 * selector
		f.s.DriverFeatures = f.s.DriverFeatures&^(0xFFFFFFFF<<shift) | virtio.Features(v)<<shift
	default:
		f.s.FeaturesBeyond = f.s.FeaturesBeyond || v != 0
	}
}

// setQueue takes a write to a register of the selected queue. mu is held.
func (f *Function) setQueue(q *queue.Config, reg uint64, v uint32) {
	switch {
	case reg == regQueueVector:
		f.setQueueVector(uint16(v))
	case reg == regQueueEnable:
		f.enableQueue(q, uint16(v))
	case reg == regQueueReset:
		f.resetQueue(q, uint16(v))
	case q.Ready:
		f.complain("changes a queue that is enabled", q.Index, uint64(v))
	case reg == regQueueSize:
		if v == 0 || v > uint32(q.MaxSize) {
			f.complain("chooses a queue size that is not possible", q.Index, uint64(v))
			return
		}
		q.Size = uint16(v)
	case reg == regQueueDesc:
		setLow(&q.Desc, v)
	case reg == regQueueDesc+4:
		setHigh(&q.Desc, v)
	case reg == regQueueDriver:
		setLow(&q.Driver, v)
	case reg == regQueueDriver+4:
		setHigh(&q.Driver, v)
	case reg == regQueueDevice:
		setLow(&q.Device, v)
	case reg == regQueueDevice+4:
		setHigh(&q.Device, v)
	}
}

func setLow(p *uint64, v uint32)  { *p = *p&^0xFFFFFFFF | uint64(v) }
func setHigh(p *uint64, v uint32) { *p = *p&0xFFFFFFFF | uint64(v)<<32 }
