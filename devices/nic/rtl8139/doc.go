// Package rtl8139 is the Realtek RTL8139C+ Fast Ethernet controller, the card
// that libvirt means when a network interface names no model.
//
// Sources: RTL8139C(L) data sheet (revision 1.4) and RTL8139C(L)+ data sheet
// (revision 1.6). Section names in this package are theirs.
//
// Modelled are both ways to drive it: C mode, with four transmit descriptors in
// registers and a ring buffer of packets, and C+ mode, with rings of descriptors,
// two of them to transmit, checksums in both directions, VLAN tags and the
// segmentation of TCP over IPv4. Further the address filters, loopback, the 93C46
// EEPROM behind 9346CR, the PHY's registers, the timer interrupt and the tally
// counters. The registers are the same through I/O and memory space.
//
// Left out: wake-up and power management, CardBus, the boot ROM's flash
// interface, early interrupts (an interrupt comes when a frame is whole), flow
// control frames, and the line tests of the PHY.
package rtl8139
