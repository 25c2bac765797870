// Package e1000 is the Intel 82540EM Gigabit Ethernet controller, the card that
// QEMU calls e1000.
//
// Source: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's
// Manual (Intel 317453, revision 4.0); chapter numbers in this package are its
// own. The PHY is a Marvell 88E1011.
//
// Modelled are the descriptor rings with legacy, context and data descriptors,
// checksums, VLAN tags and TCP segmentation in both directions, the address
// filters, the EEPROM behind its serial interface and EERD, the PHY behind MDIC,
// interrupts with throttling (ITR), the statistics that drivers read, and the
// registers through I/O space.
//
// Left out: wake-up and management, flow control frames, the delay timers of
// descriptors (RDTR, RADV, TIDV, TADV: an interrupt comes at once, as often as
// ITR lets it), the flash memory, and the LEDs.
package e1000
