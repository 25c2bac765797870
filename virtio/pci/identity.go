package pci

import (
	"fmt"

	"github.com/govmm/govmm/virtio"
)

const (
	vendorRedHat = 0x1AF4

	// A modern device's ID is its type plus modernIDs (section 4.1.2.1).
	modernIDs = 0x1040
	// modernSubsystem is the subsystem ID of a function that is only modern. A
	// legacy driver reads the device's type there.
	modernSubsystem = 0x1100

	classOther = 0x00FF00
)

// identity is how PCI names a device type.
type identity struct {
	legacyID   uint16 // transitional device ID, or 0
	class      uint32
	legacySize uint64 // of BAR0, in bytes: a header of 24, then the configuration
}

func identify(t virtio.Type) identity {
	switch t {
	case virtio.Network:
		return identity{0x1000, 0x020000, 64}
	case virtio.Block:
		return identity{0x1001, 0x010000, 128}
	case virtio.Balloon:
		return identity{0x1002, classOther, 64}
	case virtio.Console:
		return identity{0x1003, 0x078000, 64}
	case virtio.Entropy:
		return identity{0x1005, classOther, 32}
	}
	return identity{0, classOther, 0}
}

// ids returns the numbers that a driver finds the function by.
func (o *Options) ids(id identity) (device, subsystem uint16, revision uint8, err error) {
	t := o.Device.Type()
	switch {
	case o.NoLegacy && o.NoModern:
		return 0, 0, 0, fmt.Errorf("neither the legacy nor the modern interface is wanted")
	case o.NoLegacy:
		return modernIDs + uint16(t), modernSubsystem, 1, nil
	case id.legacyID == 0:
		return 0, 0, 0, fmt.Errorf("device type %d has no legacy interface: set NoLegacy", t)
	}
	return id.legacyID, uint16(t), 0, nil
}
