/* Time: the TSC, calibrated once against channel 2 of the PIT, which every PC has (the PM timer is
   missing from a machine without ACPI), and the PIT's programming (Intel 8254 datasheet). */
#include "kernel.h"

#define PIT_CHANNEL0 0x40
#define PIT_CONTROL 0x43
#define PORT_B 0x61 /* bit 0 gate 2, bit 1 speaker data, bit 5 OUT 2 */
#define CALIBRATION_TICKS 1193 /* 1 ms */
#define CALIBRATIONS 3

uint64_t tsc_khz = 1000000;
static uint64_t tsc_start; /* counting from here, the product below does not overflow for weeks */

void pit_set(unsigned channel, unsigned mode, unsigned count)
{
	outb(PIT_CONTROL, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	outb((uint16_t)(PIT_CHANNEL0 + channel), (uint8_t)count);
	outb((uint16_t)(PIT_CHANNEL0 + channel), (uint8_t)(count >> 8));
}

unsigned pit_latch(unsigned channel)
{
	outb(PIT_CONTROL, (uint8_t)(channel << 6));
	unsigned low = inb((uint16_t)(PIT_CHANNEL0 + channel));
	return low | (unsigned)inb((uint16_t)(PIT_CHANNEL0 + channel)) << 8;
}

/* TSC cycles until channel 2 has counted down in mode 0; 0 if its output never rises. */
static uint64_t countdown(void)
{
	pit_set(2, 0, CALIBRATION_TICKS);
	uint64_t start = rdtsc();
	for (unsigned tries = 1000000; tries; tries--)
		if (inb(PORT_B) & 0x20)
			return rdtsc() - start;
	return 0;
}

/* The shortest countdown of all counts, since a host that takes the processor away makes one longer. */
static bool calibrate(void)
{
	static uint64_t least = ~0ull;
	outb(PORT_B, (uint8_t)((inb(PORT_B) & ~2) | 1));
	for (unsigned i = 0; i < CALIBRATIONS; i++) {
		uint64_t cycles = countdown();
		if (!cycles)
			return false;
		if (cycles < least)
			least = cycles;
	}
	tsc_khz = least * (PIT_HZ / 1000) / CALIBRATION_TICKS;
	return true;
}

void time_init(void)
{
	tsc_start = rdtsc();
	check(calibrate(), "calibration", "OUT of PIT channel 2 never rose; the TSC is taken for 1 GHz");
}

bool ticks_at(unsigned vector, unsigned hz)
{
	uint64_t ms = 0;
	uint32_t ticks = 0;
	for (unsigned i = 0; i < 100; i++) {
		uint64_t start = now_us();
		uint32_t first = irq_count[vector];
		delay_us(10000);
		ticks = irq_count[vector] - first;
		ms = (now_us() - start + 500) / 1000;
		uint64_t most = ms * hz / 1000;
		if (ticks * 3 >= most && ticks <= most + most / 8 + 2)
			return check(true, "tick-rate", "-");
		calibrate();
	}
	return check(false, "tick-rate", "%u interrupts in %lu ms at %u Hz", ticks, ms, hz);
}

uint64_t now_us(void) { return (rdtsc() - tsc_start) * 1000 / tsc_khz; }

void delay_us(uint64_t us) { WAIT_US(false, us); }

bool quiet(unsigned vector, uint64_t us)
{
	for (unsigned i = 0; i < 5; i++) {
		uint32_t before = irq_count[vector];
		delay_us(us);
		if (irq_count[vector] == before)
			return true;
	}
	return false;
}
