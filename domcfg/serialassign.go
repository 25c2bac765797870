package domcfg

// virtioSerialPorts is how many ports a virtio-serial controller has when nothing is written.
const virtioSerialPorts = 31

// A portPlace is a port of a virtio-serial controller.
type portPlace struct{ controller, port uint }

// serialPlaces gives out the ports of virtio-serial controllers.
type serialPlaces struct {
	ports map[uint]uint // of controllers that say how many they have
	taken map[portPlace]bool
	from  uint // controllers below have no free port
}

// assignVirtioSerial gives virtio consoles and channels their ports. Port 0 is for a console only.
func (v *Devices) assignVirtioSerial() {
	s := &serialPlaces{ports: make(map[uint]uint), taken: make(map[portPlace]bool)}
	for _, t := range v.Controllers {
		if t.Type == ControllerVirtioSerial && t.Index != nil && t.Ports != 0 {
			s.ports[*t.Index] = t.Ports
		}
	}
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
}

// give gives a device a port that is not below first, on the controller that its address may name.
func (s *serialPlaces) give(info *DeviceInfo, first uint) {
	a := info.Address
	switch {
	case a == nil:
		p := s.take(s.from, first)
		s.from = p.controller
		info.Address = &Address{Type: AddressVirtioSerial, Serial: SerialAddress{Controller: p.controller, Port: &p.port}}
	case a.Type == AddressVirtioSerial && a.Serial.Port == nil:
		p := s.take(a.Serial.Controller, first)
		a.Serial.Controller, a.Serial.Port = p.controller, &p.port
	}
}

// take takes the next free port, on that controller or on one behind it.
func (s *serialPlaces) take(controller, first uint) portPlace {
	for p := (portPlace{controller, first}); ; p.controller++ {
		most, said := s.ports[p.controller]
		if !said {
			most = virtioSerialPorts
		}
		for p.port = first; p.port < most; p.port++ {
			if !s.taken[p] {
				s.taken[p] = true
				return p
			}
		}
	}
}
