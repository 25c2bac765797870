package vmm

import (
	"fmt"
	"strings"

	"github.com/govmm/govmm/devices/nic/e1000"
	"github.com/govmm/govmm/devices/nic/rtl8139"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/domcfg"
	hostnet "github.com/govmm/govmm/net"
)

// emulatedNIC is a network card that exists as hardware.
type emulatedNIC interface {
	pci.Function
	nicDevice
	AddROM(image []byte) error
	Pause()
	Resume()
	Close() error
}

// addEmulatedNIC adds a network card of another model than virtio.
func (m *Machine) addEmulatedNIC(i *domcfg.Interface, name string, host hostnet.Backend, rom []byte) (nicDevice, error) {
	place, err := pciAddress(i.Address)
	if err != nil {
		return nil, err
	}
	card, err := m.newEmulatedNIC(i, name, host)
	if err != nil {
		return nil, err
	}
	m.closer.add(card.Close)
	m.board.pausers = append(m.board.pausers, pauser{pause: card.Pause, resume: card.Resume})
	if rom != nil {
		if err := card.AddROM(rom); err != nil {
			return nil, err
		}
	}
	return card, m.board.pci.Add(card, int(place.Slot), int(place.Function))
}

func (m *Machine) newEmulatedNIC(i *domcfg.Interface, name string, host hostnet.Backend) (emulatedNIC, error) {
	switch strings.ToLower(i.Model) {
	case "e1000":
		return e1000.New(e1000.Options{Name: name, MAC: i.MAC, Backend: host, Memory: m.ram, Clock: m.clock, Log: m.named(name)})
	case "rtl8139":
		return rtl8139.New(rtl8139.Options{Name: name, MAC: i.MAC, Backend: host, Memory: m.ram, Clock: m.clock, Log: m.named(name)})
	}
	return nil, fmt.Errorf("model %s is not in this version", i.Model)
}
