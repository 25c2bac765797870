package domcfg

import "slices"

// AssignAddresses gives each device without an address the one that libvirt would give it, and
// adds the controllers that addresses need. SetDefaults must have been called before.
//
// Written addresses come first. Disks then get the unit that their target's name says; virtio
// consoles and channels the next free port; and PCI devices, each in a slot of its own from 00:02.0
// on, go in the order filesystems, interfaces, sound cards, controllers, virtio disks, host devices,
// balloon, entropy devices, watchdog, further video cards. The first video card gets slot 2. The
// same domain always gets the same addresses.
//
// The error is of type Errors: a device is left over when all 32 slots are taken, or all ports of
// the virtio-serial controller that its address names. A domain that passed Validate has no other
// reason to fail.
func (d *Domain) AssignAddresses() error {
	v := &d.Devices
	for _, k := range v.Disks {
		if a, ok := k.driveAddress(); ok && k.Address == nil {
			k.Address = &Address{Type: AddressDrive, Drive: a}
		}
	}
	if err := v.assignVirtioSerial(); err != nil {
		return err
	}
	for _, s := range v.Smartcards {
		if s.Address == nil {
			s.Address = &Address{Type: AddressCCID}
		}
	}
	v.addControllers()
	if d.OS != nil && !isPC(d.OS.Machine) {
		return nil // another board has other slots
	}
	return v.assignPCI()
}

// addControllers adds each controller that an address names and that is not there. It carries the
// position of the device that called for it.
func (v *Devices) addControllers() {
	type key struct {
		kind  ControllerType
		index uint
	}
	have := make(map[key]bool)
	for _, t := range v.Controllers {
		if t.Index != nil {
			have[key{t.Type, *t.Index}] = true
		}
	}
	need := func(e *Elem, kind ControllerType, index uint) {
		k := key{kind, index}
		if !have[k] {
			have[k] = true
			v.Controllers = append(v.Controllers, &Controller{
				DeviceInfo: DeviceInfo{Elem: Elem{src: e.src}}, Type: kind, Index: &index,
			})
		}
	}
	for _, k := range v.Disks {
		if k.Address != nil && k.Address.Type == AddressDrive {
			need(&k.Elem, ControllerType(k.Bus()), k.Address.Drive.Controller)
		}
	}
	for _, s := range v.Smartcards {
		if s.Address.Type == AddressCCID {
			need(&s.Elem, ControllerCCID, s.Address.CCID.Controller)
		}
	}
	for _, s := range v.Consoles {
		if a := s.Address; a != nil && a.Type == AddressVirtioSerial {
			need(&s.Elem, ControllerVirtioSerial, a.Serial.Controller)
		}
	}
	for _, s := range v.Channels {
		if a := s.Address; a != nil && a.Type == AddressVirtioSerial {
			need(&s.Elem, ControllerVirtioSerial, a.Serial.Controller)
		}
	}
}

// assignPCI gives every PCI device a slot.
func (v *Devices) assignPCI() error {
	s := slots{}
	s.taken[0], s.taken[1] = true, true // the host bridge and the PIIX3
	v.all(func(dev device) {
		if a := dev.info().Address; a != nil && a.Type == AddressPCI && a.PCI != nil && a.PCI.Domain == 0 && a.PCI.Bus == 0 {
			s.taken[a.PCI.Slot&31] = true
		}
	})
	for _, t := range v.Controllers {
		if function, ok := boardFunction(t); ok && t.Address == nil {
			t.Address = &Address{Type: AddressPCI, PCI: &PCIAddress{Slot: 1, Function: function}}
		}
	}
	var cards []*Video
	for _, c := range v.Videos {
		if c.Model.Type != "none" {
			cards = append(cards, c)
		}
	}
	if len(cards) > 0 {
		s.give(cards[0])
		cards = cards[1:]
	}
	give := func(dev device) { s.give(dev) }
	each(v.Filesystems, give)
	each(only(v.Interfaces, func(i *Interface) bool { return i.Model != "ne2k_isa" }), give)
	each(only(v.Sounds, func(c *Sound) bool { return c.Model != "sb16" && c.Model != "pcspk" && c.Model != "usb" }), give)
	each(only(v.Controllers, onPCI), give)
	each(only(v.Disks, func(k *Disk) bool { return k.Bus() == BusVirtio }), give)
	each(only(v.Hostdevs, func(h *Hostdev) bool { return h.Type == "pci" }), give)
	each(only(v.MemBalloons, func(b *MemBalloon) bool { return b.Model != "none" && b.Model != "xen" }), give)
	each(v.Rngs, give)
	each(only(v.Watchdogs, func(w *Watchdog) bool { return w.Model == WatchdogI6300ESB }), give)
	each(cards, give)
	return s.err()
}

// boardFunction returns the function of slot 1 that a controller of the board itself has.
func boardFunction(t *Controller) (uint8, bool) {
	switch {
	case t.Type == ControllerIDE && t.Index != nil && *t.Index == 0:
		return 1, true
	case t.Type == ControllerUSB && t.Index != nil && *t.Index == 0 && (t.Model == "" || t.Model == "piix3-uhci"):
		return 2, true
	}
	return 0, false
}

// onPCI reports whether a controller is a PCI device.
func onPCI(t *Controller) bool {
	switch t.Type {
	case ControllerSCSI, ControllerSATA, ControllerVirtioSerial:
		return true
	case ControllerUSB:
		return t.Model != "none"
	case ControllerPCI:
		return t.Model == "pci-bridge"
	}
	return false
}

func only[D any](list []D, keep func(D) bool) []D {
	return slices.DeleteFunc(slices.Clone(list), func(d D) bool { return !keep(d) })
}

// slots are those of PCI bus 0.
type slots struct {
	taken [32]bool
	reports
}

// give gives a device the next free slot if it has no address.
func (s *slots) give(dev device) {
	info := dev.info()
	if a := info.Address; a != nil && (a.Type != AddressPCI || a.PCI != nil) {
		return
	}
	for slot := range s.taken {
		if !s.taken[slot] {
			s.taken[slot] = true
			if info.Address == nil {
				info.Address = &Address{Type: AddressPCI}
			}
			info.Address.PCI = &PCIAddress{Slot: uint8(slot)}
			return
		}
	}
	s.errorf(info.Pos(), info.Path(), "no PCI slot is left: a pc has 30 for devices")
}
