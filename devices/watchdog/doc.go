// Package watchdog models two watchdog timers: the one in Intel's 6300ESB I/O
// controller hub, a PCI function, and the one on iBASE's IB700 boards, two ports.
//
// Sources: Intel 6300ESB I/O Controller Hub data sheet (300641), chapter 16; iBASE
// IB700 manual, watchdog timer configuration.
//
// A timer tells its owner, by Options.Fired, that the guest has not reloaded it in
// time. What follows, a reset most often, is the owner's to decide. It counts by the
// machine's clock, so that a paused machine does not run out of time.
//
// Left out: the first stage of the 6300ESB ends in an interrupt of an I/O APIC that
// a pc does not have, or in system management mode. Here it only sets a bit of the
// interrupt status register, which a driver can read.
package watchdog
