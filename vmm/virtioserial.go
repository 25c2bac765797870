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

// virtioPort is a port of a virtio-serial controller.
type virtioPort struct {
	console.Port
	char *charDevice
}

func (m *Machine) addVirtioSerialController(c *domcfg.Controller, list []virtioPort) error {
	name := fmt.Sprintf("virtio-serial%d", *c.Index)
	slices.SortFunc(list, func(a, b virtioPort) int { return cmp.Compare(a.ID, b.ID) })
	ports := make([]console.Port, len(list))
	for i, p := range list {
		ports[i] = p.Port
	}
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
	for _, p := range list {
		if p.char.Resizable {
			p.char.resize = func(columns, rows uint16) error { return device.Resize(p.ID, columns, rows) }
		}
	}
	return m.addVirtio(name, c.Address, device, transport)
}

// virtioPorts opens the host ends of all virtio consoles and channels, by the
// index of their controller.
func (m *Machine) virtioPorts() (map[uint][]virtioPort, error) {
	ports := make(map[uint][]virtioPort)
	add := func(name string, b *domcfg.CharBackend, at *domcfg.Address, p console.Port) error {
		if at == nil || at.Serial.Port == nil {
			return fmt.Errorf("it has no port of a virtio-serial controller")
		}
		// A driver may spin until its console has taken what it sends. Of a channel,
		// a program of the guest waits, for a host program that needs every byte.
		patience := chardev.Endless
		if p.Console {
			patience = chardev.DefaultPatience
		}
		char, err := m.openChardev(name, b, patience)
		if err != nil {
			return err
		}
		char.Resizable = p.Console
		p.ID, p.Backend = uint32(*at.Serial.Port), char.backend
		ports[at.Serial.Controller] = append(ports[at.Serial.Controller], virtioPort{p, char})
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
		if c.TargetType != domcfg.ChannelVirtio {
			continue
		}
		if err := add(fmt.Sprintf("channel%d", i), &c.CharBackend, c.Address, console.Port{Name: c.TargetName}); err != nil {
			return nil, fmt.Errorf("devices/channel[%d]: %w", i+1, err)
		}
	}
	return ports, nil
}
