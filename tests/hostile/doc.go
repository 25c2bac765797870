// Package hostile attacks a machine's virtio devices as a malicious guest
// kernel can: through their rings, registers and PCI functions.
//
// Every case runs against a board with all five devices on one PCI bus, and
// breaks one rule. Afterwards nothing outside the guest's RAM may have changed,
// the other devices serve their drivers as before, the attacked device works on
// or says DEVICE_NEEDS_RESET as the case expects, and after a reset it works
// again. Each step has a deadline.
package hostile
