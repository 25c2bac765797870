package vmm

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/virtio/console"
)

// addVirtioSerial adds the virtio-serial controllers of the domain, with the
// consoles and channels that are ports of them.
func (m *Machine) addVirtioSerial(context.Context) error {
	ports, err := m.virtioPorts()
	if err != nil {
		return err
	}
	for i, c := range m.domain.Devices.Controllers {
		if c.Type != domcfg.ControllerVirtioSerial {
			continue
		}
		if err := m.addVirtioSerialController(c, ports[*c.Index]); err != nil {
			return fmt.Errorf("devices/controller[%d]: %w", i+1, err)
		}
	}
	return nil
}

func (m *Machine) addVirtioSerialController(c *domcfg.Controller, ports []console.Port) error {
	name := fmt.Sprintf("virtio-serial%d", *c.Index)
	slices.SortFunc(ports, func(a, b console.Port) int { return cmp.Compare(a.ID, b.ID) })
	device, err := console.New(console.Options{
		Name:     name,
		Ports:    ports,
		MaxPorts: uint32(c.Ports),
		Log:      m.named(name),
	})
	if err != nil {
		return err
	}
	var transport virtioOptions
	switch {
	case c.Vectors == nil:
	case *c.Vectors == 0:
		transport.vectors = -1 // INTx only
	default:
		transport.vectors = int(*c.Vectors)
	}
	m.board.virtioSerials = append(m.board.virtioSerials, device)
	return m.addVirtio(name, c.Address, device, transport)
}

// virtioPorts opens the host ends of all virtio consoles and channels, by the
// index of their controller.
func (m *Machine) virtioPorts() (map[uint][]console.Port, error) {
	ports := make(map[uint][]console.Port)
	add := func(name string, b *domcfg.CharBackend, at *domcfg.Address, p console.Port) error {
		if at == nil || at.Serial.Port == nil {
			return fmt.Errorf("it has no port of a virtio-serial controller")
		}
		backend, path, err := m.openChardev(b, chardev.Options{Name: name, Log: m.named(name)})
		if err != nil {
			return err
		}
		m.closer.add(backend.Close)
		m.board.chardevs = append(m.board.chardevs, Chardev{Alias: name, Type: string(b.Type), Path: path})
		p.ID, p.Backend = uint32(*at.Serial.Port), backend
		ports[at.Serial.Controller] = append(ports[at.Serial.Controller], p)
		return nil
	}
	for i, c := range m.domain.Devices.Consoles {
		if c.IsSerial() {
			continue
		}
		if err := add(fmt.Sprintf("console%d", i), &c.CharBackend, c.Address, console.Port{Console: true}); err != nil {
			return nil, fmt.Errorf("devices/console[%d]: %w", i+1, err)
		}
	}
	for i, c := range m.domain.Devices.Channels {
		if err := add(fmt.Sprintf("channel%d", i), &c.CharBackend, c.Address, console.Port{Name: c.TargetName}); err != nil {
			return nil, fmt.Errorf("devices/channel[%d]: %w", i+1, err)
		}
	}
	return ports, nil
}
