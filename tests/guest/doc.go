// Package guest is a tiny operating system kernel that tests the machine it
// runs on, with what it takes to build it and to run it under QEMU.
//
// The kernel (src/) is freestanding C and assembler. One image boots by the
// Linux/x86 boot protocol (a bzImage with 16-, 32- and 64-bit entries), the
// other by PVH (an ELF file with a XEN_ELFNOTE_PHYS32_ENTRY note). It drives
// the devices of a PC at their registers and prints what it finds on COM1, a
// line a result:
//
//	ok <test> <name>[ = <value>]     held; the value may differ between machines
//	not ok <test> <name>: <detail>   did not hold
//	= <test> <key> <value>           every correct machine answers this value
//	done <n> ok, <m> not ok          the end
//
// [ParseOutput] reads these lines and [Compare] finds the answers in which two
// machines differ. QEMU is the second opinion: an expectation that is wrong
// fails there, and a device of ours that is wrong differs from it.
//
// The kernel uses no x87, SSE or XSAVE state, no INT3, CLAC/STAC or CMPXCHG16B,
// and few instructions, since there are KVMs which interpret kernel code at
// a million instructions a second and cannot interpret those.
//
// # Command line
//
//	test=a,b      run these tests; all runs the slow ones too; default: all that are not slow
//	exit=how      debug (port F4h, value 10h or 11h for a failure; S5 or a reset where there is no
//	              such port), poweroff (S5), reboot (the FADT's reset register, then kbd), kbd
//	              (i8042), reset92, cf9, triple (fault), panic (pvpanic), watchdog (of
//	              an IB700), button (S5 when the power button is pressed), halt (HLT, interrupts off), hang (a loop, interrupts off)
//	mem.mib=n     the RAM the machine should have, in MiB, to be checked
//	cpus=n        the number of processors it should have, to be checked
//	n=n           rounds of pio-bench, mmio-bench, spin-bench, irq-bench and uart-bench
//	port=n        the port that pio-bench writes
//	address=n     the address that mmio-bench writes
//	virtio=how    legacy, modern (also if absent), or packed, which is modern with packed rings
//	irq=how       of virtio: intx, or msix where the device has it
//	pic=how       of missed ticks: on, or off for the I/O APIC
//	windows=n     quarters of a second that those are counted
//	seconds=n     of ticks-long: for how long ticks are counted
//	timer=name    of ticks-long: pit, rtc or hpet
//	hz=n          the rate of ticks that are missed or counted
//	date=n        of rtc-date: YYYYMMDDhhmmss, to which the clock is set
//
// The tests are acpi, boot, cpuid, hpet, i8042, ioapic, lapic, memory, pci, pic, pit,
// pmtimer, port92, pvpanic, rtc, smp and uart, and the slow ones rtc-update,
// rtc-rollover, rtc-formats, rtc-alarm, hpet-route (not with the interrupt controllers of KVM under QEMU, which have no such
// input), i6300esb, ib700, parallel, pio-bench, mmio-bench, spin-bench, irq-bench, uart-bench, and those of missed
// ticks, ticks-pit, ticks-rtc and ticks-hpet, whose numbers are for who knows the tick policy.
// So are those of ticks-long, timers (which of them there are) and rtc-date (what the clock shows).
//
// Those of virtio devices (Virtual I/O Device specification 1.3) are slow tests,
// too, since a machine need not have any: virtio-pci (what each function shows),
// virtio-states (reset, status, interrupts and their masks, on a disk),
// virtio-hostile (a disk whose driver breaks the rules), virtio-blk, virtio-rng,
// virtio-console, virtio-balloon and virtio-net. They write to the first disk,
// and expect the host to echo Ethernet frames of type 88B5h. src/virtio.h is
// their driver.
//
// # Adding a test
//
// Add a file src/test_x.c with
//
//	#include "kernel.h"
//
//	TEST(x)
//	{
//		outb(0x80, 0x5a);
//		value("latch", "%02x", inb(0x80));
//		check(inb(0x81) != 0, "other", "read %02x", inb(0x81));
//	}
//
// and nothing else: the linker gathers the tests. Name the specification in
// the file's first comment. Use value for what a device's specification
// determines and QEMU answers likewise; check for what must hold but is not
// the same number everywhere (a rate, an address that firmware chose); report
// for facts worth reading. A test sets up what it needs, since firmware may
// or may not have run, does not depend on another test, waits with WAIT_US
// rather than for ever, and leaves its device quiet. A test that needs more
// than some 10 ms is defined by TEST_SLOW and runs only when it is named.
package guest
