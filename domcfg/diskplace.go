package domcfg

import "strings"

// splitTarget splits a disk's target dev into its prefix and the index of its letters: hda is 0,
// hdz 25, hdaa 26. A partition's number after the letters, as in xvda1, is cut off.
func splitTarget(dev string) (prefix string, index uint, ok bool) {
	for _, p := range []string{"xvd", "ubd", "hd", "sd", "vd", "fd"} {
		letters, found := strings.CutPrefix(dev, p)
		if !found {
			continue
		}
		letters = strings.TrimRight(letters, "0123456789")
		if letters == "" || len(letters) > 4 {
			return "", 0, false
		}
		n := uint(0)
		for i := range len(letters) {
			if letters[i] < 'a' || letters[i] > 'z' {
				return "", 0, false
			}
			n = n*26 + uint(letters[i]-'a') + 1
		}
		return p, n - 1, true
	}
	return "", 0, false
}

// Bus returns the bus that the disk is on: what is written, or else what the style of its name says.
func (d *Disk) Bus() Bus {
	if d.Target.Bus != "" {
		return d.Target.Bus
	}
	if d.Device == DeviceFloppy {
		return BusFDC
	}
	switch prefix, _, _ := splitTarget(d.Target.Dev); prefix {
	case "sd":
		return BusSCSI
	case "vd":
		return BusVirtio
	case "xvd":
		return BusXen
	case "ubd":
		return BusUML
	case "fd":
		return BusFDC
	}
	return BusIDE
}

// driveAddress returns the disk's place on its controller: what is written, or else what its name
// says. It is false for a disk that is not on such a controller.
func (d *Disk) driveAddress() (a DriveAddress, ok bool) {
	if d.Address != nil {
		return d.Address.Drive, d.Address.Type == AddressDrive
	}
	_, i, ok := splitTarget(d.Target.Dev)
	if !ok {
		return a, false
	}
	switch d.Bus() {
	case BusIDE:
		return DriveAddress{Controller: i / 4, Bus: i % 4 / 2, Unit: i % 2}, true
	case BusFDC:
		return DriveAddress{Controller: i / 2, Unit: i % 2}, true
	case BusSCSI:
		return DriveAddress{Controller: i / 7, Unit: i % 7}, true
	case BusSATA:
		return DriveAddress{Controller: i / 6, Unit: i % 6}, true
	}
	return a, false
}

// reservedIfName reports whether a name of a host's interface is of those that libvirt gives out:
// written ones are ignored.
func reservedIfName(dev string) bool {
	return strings.HasPrefix(dev, "vnet") || strings.HasPrefix(dev, "vif")
}
