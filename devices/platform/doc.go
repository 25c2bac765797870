// Package platform models the small ISA devices of a PC: the i8042 keyboard
// controller with a PS/2 keyboard and mouse, the system control port 0x92, the
// POST code port 0x80; and those of virtual machines: the debug console port
// 0x402, the pvpanic device and a port to end a test with.
//
// Sources: IBM PS/2 Hardware Interface Technical Reference (keyboard
// controller, keyboard, mouse, system control port A), Intel 8042 data sheet,
// Microsoft's description of the IntelliMouse, the pvpanic specification in
// QEMU's documentation.
//
// Left out: A20 masking, which KVM cannot do. Both gates are registers, and a
// guest that closes one is logged.
package platform

import "github.com/govmm/govmm/devices/bus"

// resetter asks the machine for a reset on behalf of a device.
type resetter struct {
	reset  func(reason string)
	source string
}

func (r resetter) ask(log *bus.GuestLog) {
	if r.reset != nil {
		r.reset(r.source)
		return
	}
	if log.Allow() {
		log.Warn("the guest asks for a reset, which this machine does not have", "by", r.source)
	}
}

// closeA20 tells that a guest's wish is not granted.
func closeA20(log *bus.GuestLog) {
	if log.Allow() {
		log.Warn("the guest closes the A20 gate: addresses are not masked")
	}
}
