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
}

// addVirtio puts a virtio device on the PCI bus, at the address that the domain
// gives it.
func (m *Machine) addVirtio(name string, at *domcfg.Address, d virtio.Device, o virtioOptions) error {
	if at == nil || at.PCI == nil {
		return errors.New("it has no PCI address")
	}
	if at.PCI.Domain != 0 || at.PCI.Bus != 0 {
		return fmt.Errorf("its PCI address %v is not on bus 0000:00, the only one", at.PCI)
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
	return m.board.pci.Add(f, int(at.PCI.Slot), int(at.PCI.Function))
}
