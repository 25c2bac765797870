/* The ACPI power management timer (ACPI 6.5, 4.8.3.3) of the PIIX4, against the PIT. */
#include "kernel.h"

#define MASK 0xffffff
#define PORT_B 0x61
#define OUT 0x20
#define PIT_TICKS 2386 /* 2 ms */

TEST(pmtimer)
{
	uint16_t base = pm_base();
	if (!base) {
		value("present", "no");
		return;
	}
	uint16_t port = (uint16_t)(base + 8);
	value("present", "yes");
	value("high-byte", "%02x", inl(port) >> 24);

	/* A host that takes the processor away lengthens one try, not all of them. */
	uint32_t want = (uint32_t)((uint64_t)PIT_TICKS * PM_TIMER_HZ / PIT_HZ), got = 0;
	bool near = false;
	for (unsigned i = 0; i < 20 && !near; i++) {
		outb(PORT_B, 1);
		pit_set(2, 0, PIT_TICKS);
		uint32_t start = inl(port);
		WAIT_US(inb(PORT_B) & OUT, SOON);
		got = (inl(port) - start) & MASK;
		near = got > want - want / 10 && got < want + want / 10;
	}
	check(near, "rate", "%u ticks in 2 ms of the PIT, not %u", got, want);
	bool forward = true;
	uint32_t last = inl(port), now = last;
	for (unsigned i = 0; i < 100 && forward; i++) {
		last = now;
		now = inl(port);
		forward = ((now - last) & MASK) < MASK / 2;
	}
	check(forward, "monotonic", "%06x, then %06x", last, now);
}
