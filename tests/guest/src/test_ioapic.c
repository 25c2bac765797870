/* The I/O APIC (Intel 82093AA datasheet): its registers, and IRQ 0 as pin 2 to the local APIC. */
#include "kernel.h"

#define IOAPIC 0xfec00000ull
#define IOREGSEL (IOAPIC + 0x00)
#define IOWIN (IOAPIC + 0x10)
#define IOAPICVER 1
#define IOREDTBL(pin) (0x10 + 2 * (pin))
#define MASKED (1 << 16)
#define LEVEL (1 << 15)
#define READ_ONLY (1 << 14 | 1 << 12) /* remote IRR, delivery status */
#define TIMER_PIN 2
#define VECTOR_TIMER (VECTOR_APIC + 3)

static uint32_t get(unsigned reg)
{
	write32(IOREGSEL, reg);
	return read32(IOWIN);
}

static void set(unsigned reg, uint32_t v)
{
	write32(IOREGSEL, reg);
	write32(IOWIN, v);
}

TEST(ioapic)
{
	uint32_t version = get(IOAPICVER);
	report("version", "%02x", version & 0xff);
	value("pins", "%u", (version >> 16 & 0xff) + 1);

	/* What a redirection entry keeps. */
	set(IOREDTBL(5), MASKED | LEVEL | 1 << 13 | 1 << 11 | 0x600 | READ_ONLY | 0x35);
	set(IOREDTBL(5) + 1, 0xab000000);
	value("entry", "%08x %08x", get(IOREDTBL(5) + 1), get(IOREDTBL(5)));
	set(IOREDTBL(5), MASKED);
	set(IOREDTBL(5) + 1, 0);
	value("entry-masked", "%08x", get(IOREDTBL(5)));

	/* The timer's IRQ 0 arrives at pin 2 on every PC. */
	uint32_t before = irq_count[VECTOR_TIMER];
	pic_mask_all();
	set(IOREDTBL(TIMER_PIN) + 1, lapic_read(LAPIC_ID));
	set(IOREDTBL(TIMER_PIN), VECTOR_TIMER); /* fixed, physical, edge, active high */
	sti();
	pit_set(0, 2, PIT_HZ / 1000);
	check(WAIT_US(irq_count[VECTOR_TIMER] >= before + 3, SOON), "irq0-pin2", "%u interrupts of 3",
	      irq_count[VECTOR_TIMER] - before);
	set(IOREDTBL(TIMER_PIN), MASKED | VECTOR_TIMER);
	check(quiet(VECTOR_TIMER, 3000), "masked", "interrupts still come");
	cli();
	pit_set(0, 0, 0);
	set(IOREDTBL(TIMER_PIN), MASKED);
}
