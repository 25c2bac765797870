package domcfg

// virtioSerialPorts is how many ports a virtio-serial controller has when nothing is written.
const virtioSerialPorts = 31

// A portPlace is a port of a virtio-serial controller.
type portPlace struct{ controller, port uint }

// portCounts tells how many ports those virtio-serial controllers have, by index, that say so.
type portCounts map[uint]uint

// of returns how many ports a controller has.
func (p portCounts) of(controller uint) uint {
	if n, said := p[controller]; said {
		return n
	}
	return virtioSerialPorts
}

// serialPorts counts the ports of the virtio-serial controllers, also of those whose index is still
// to be given.
func (v *Devices) serialPorts() portCounts {
	list := only(v.Controllers, func(t *Controller) bool { return t.Type == ControllerVirtioSerial })
	indices := make([]*uint, len(list))
	slots := make([]**uint, len(list))
	for i, t := range list {
		indices[i] = t.Index
		slots[i] = &indices[i]
	}
	numberFree(slots)
	counts := make(portCounts)
	for i, t := range list {
		if t.Ports != 0 {
			counts[*indices[i]] = t.Ports
		}
	}
	return counts
}

// serialPlaces gives out the ports of virtio-serial controllers.
type serialPlaces struct {
	reports
	ports portCounts
	taken map[portPlace]bool
	from  uint // controllers below have no free port
}

// assignVirtioSerial gives virtio consoles and channels their ports. Port 0 is for a console only.
func (v *Devices) assignVirtioSerial() error {
	s := &serialPlaces{ports: v.serialPorts(), taken: make(map[portPlace]bool)}
	v.all(func(dev device) {
		if a := dev.info().Address; a != nil && a.Type == AddressVirtioSerial && a.Serial.Port != nil {
			s.taken[portPlace{a.Serial.Controller, *a.Serial.Port}] = true
		}
	})
	for _, c := range v.Consoles {
		if c.TargetType == "virtio" {
			s.give(&c.DeviceInfo, 0)
		}
	}
	s.from = 0
	for _, c := range v.Channels {
		if c.TargetType == "virtio" {
			s.give(&c.DeviceInfo, 1)
		}
	}
	return s.err()
}

// give gives a device a port that is not below first, on the controller that its address may name.
func (s *serialPlaces) give(info *DeviceInfo, first uint) {
	a := info.Address
	switch {
	case a == nil:
		port, free := s.take(s.from, first)
		for !free {
			s.from++
			port, free = s.take(s.from, first)
		}
		info.Address = &Address{Type: AddressVirtioSerial, Serial: SerialAddress{Controller: s.from, Port: &port}}
	case a.Type == AddressVirtioSerial && a.Serial.Port == nil:
		port, free := s.take(a.Serial.Controller, first)
		if !free {
			s.errorf(a.Pos(), a.Path(), "no port of virtio-serial controller %d is left: it has the ports 0 to %d",
				a.Serial.Controller, s.ports.of(a.Serial.Controller)-1)
			return
		}
		a.Serial.Port = &port
	}
}

// take takes the next free port of a controller.
func (s *serialPlaces) take(controller, first uint) (port uint, free bool) {
	for port := first; port < s.ports.of(controller); port++ {
		if p := (portPlace{controller, port}); !s.taken[p] {
			s.taken[p] = true
			return port, true
		}
	}
	return 0, false
}
