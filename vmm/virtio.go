package vmm

import (
	"errors"
	"fmt"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/virtio"
	virtiopci "github.com/govmm/govmm/virtio/pci"
)

// virtioOptions are what a domain may say of a virtio device's transport.
type virtioOptions struct {
	// vectors is the size of the MSI-X table; 0 is as many as the device can
	// use, and a negative number leaves it out.
	vectors int
	// withhold are features that the driver is not offered.
	withhold virtio.Features
	// rom is its option ROM, or nil.
	rom []byte
}

// addVirtio puts a virtio device on the PCI bus, at the address that the domain
// gives it.
func (m *Machine) addVirtio(name string, at *domcfg.Address, d virtio.Device, o virtioOptions) error {
	place, err := pciAddress(at)
	if err != nil {
		return err
	}
	f, err := virtiopci.New(virtiopci.Options{
		Name:        name,
		Device:      d,
		Memory:      m.ram,
		MSI:         m.board.messages,
		Vectors:     m.board.messages,
		IOEvents:    m.board.ioEvents,
		MSIXVectors: o.vectors,
		Withhold:    o.withhold,
		Log:         m.named(name),
	})
	if err != nil {
		return err
	}
	m.closer.add(f.Close)
	if o.rom != nil {
		if err := f.AddROM(o.rom); err != nil {
			return err
		}
	}
	return m.board.pci.Add(f, int(place.Slot), int(place.Function))
}

// pciAddress is a device's place on the bus.
func pciAddress(at *domcfg.Address) (*domcfg.PCIAddress, error) {
	if at == nil || at.PCI == nil {
		return nil, errors.New("it has no PCI address")
	}
	if at.PCI.Domain != 0 || at.PCI.Bus != 0 {
		return nil, fmt.Errorf("its PCI address %v is not on bus 0000:00, the only one", at.PCI)
	}
	return at.PCI, nil
}
