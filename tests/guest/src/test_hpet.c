/* The high precision event timer (IA-PC HPET specification 1.0a): its registers, and interrupts in
   legacy replacement. Of hpet-route, those that come by the I/O APIC alone. */
#include "kernel.h"

#define HPET 0xfed00000ull
#define CAPABILITIES 0x000
#define CONFIG 0x010
#define ENABLE 1
#define LEGACY 2
#define STATUS 0x020
#define COUNTER 0x0f0
#define TIMER(n) (0x100 + 0x20 * (n))
#define COMPARATOR(n) (TIMER(n) + 8)
#define TN_LEVEL (1 << 1)
#define TN_ENABLE (1 << 2)
#define TN_PERIODIC (1 << 3)
#define TN_VALUE_SET (1 << 6)
#define TN_32BIT (1 << 8)
#define TN_ROUTE(pin) ((pin) << 9)

#define ID 0x8086a201
#define COUNTS_PER_MS 100000
#define PORT_B 0x61
#define OUT 0x20
#define PIT_TICKS 2386 /* 2 ms */
#define TIMER_PIN 2
#define VECTOR_HPET (VECTOR_APIC + 5)

static uint32_t get(unsigned reg) { return read32(HPET + reg); }
static uint64_t get64(unsigned reg) { return read64(HPET + reg); }
static void set(unsigned reg, uint32_t v) { write32(HPET + reg, v); }
static void set64(unsigned reg, uint64_t v) { *(volatile uint64_t *)(HPET + reg) = v; }

static bool present(void) { return get(CAPABILITIES) == ID; }

/* Everything off, the counter at 0. */
static void quieten(void)
{
	set(CONFIG, 0);
	for (unsigned n = 0; n < 3; n++) {
		set(TIMER(n), 0);
		set64(COMPARATOR(n), ~0ull);
	}
	set(STATUS, 7);
	set64(COUNTER, 0);
}

static void table(void)
{
	const struct acpi_header *t = acpi_table("HPET", 0);
	if (t)
		value("table", "%u bytes, id %08x at %lx", t->length, read32((uint64_t)t + 36), read64((uint64_t)t + 44));
	else
		value("table", "none");
}

static void registers(void)
{
	value("capabilities", "%016lx", get64(CAPABILITIES));
	value("capabilities-high", "%08x", get(CAPABILITIES + 4));
	for (unsigned n = 0; n < 3; n++)
		value("timer", "%u %016lx %016lx", n, get64(TIMER(n)), get64(COMPARATOR(n)));
	value("config", "%08x", get(CONFIG));
	set(CAPABILITIES, 0);
	value("read-only", "%016lx", get64(CAPABILITIES));
	set64(COUNTER, 0x123456789abcdef0);
	value("counter", "%016lx", get64(COUNTER));
	set(COUNTER + 4, 0xfedcba98);
	value("counter-half", "%016lx", get64(COUNTER));
	set64(COUNTER, 0);

	set(TIMER(2), TN_PERIODIC | TN_LEVEL | TN_32BIT | TN_ROUTE(TIMER_PIN));
	value("timer-set", "%08x", get(TIMER(2)));
	set(TIMER(2), 0);
	value("timer-cleared", "%08x", get(TIMER(2)));
	set64(COMPARATOR(2), 0x123456789abcdef0);
	value("comparator", "%016lx", get64(COMPARATOR(2)));
	set(TIMER(2), TN_32BIT);
	value("comparator-32", "%016lx", get64(COMPARATOR(2)));
	set(TIMER(2), 0);
}

static void rate(void)
{
	set(CONFIG, ENABLE);
	uint32_t want = (uint32_t)((uint64_t)PIT_TICKS * 1000 * COUNTS_PER_MS / PIT_HZ), got = 0;
	bool near = false;
	for (unsigned i = 0; i < 20 && !near; i++) {
		outb(PORT_B, 1);
		pit_set(2, 0, PIT_TICKS);
		uint32_t start = get(COUNTER);
		WAIT_US(inb(PORT_B) & OUT, SOON);
		got = get(COUNTER) - start;
		near = got > want - want / 10 && got < want + want / 10;
	}
	check(near, "rate", "%u counts in 2 ms of the PIT, not %u", got, want);
	set(CONFIG, 0);
	uint64_t stopped = get64(COUNTER);
	WAIT_US(false, 1000);
	check(get64(COUNTER) == stopped, "halted", "%lx, then %lx", stopped, get64(COUNTER));
}

/* The status of a level-triggered comparator; the controllers ignore it. */
static void level(void)
{
	quieten();
	set(TIMER(2), TN_LEVEL | TN_ENABLE | TN_ROUTE(TIMER_PIN));
	set64(COMPARATOR(2), COUNTS_PER_MS);
	value("status-before", "%x", get(STATUS));
	set(CONFIG, ENABLE);
	check(WAIT_US(get(STATUS), SOON), "match", "no status");
	value("status", "%x", get(STATUS));
	set(STATUS, 3);
	value("status-others", "%x", get(STATUS));
	set(STATUS, 4);
	value("status-cleared", "%x", get(STATUS));
	quieten();
}

/* periodic programs comparator n for so many counts, in 32 bits as old kernels do. */
static void periodic(unsigned n, uint32_t config, uint32_t counts)
{
	set(TIMER(n), TN_ENABLE | TN_PERIODIC | TN_VALUE_SET | TN_32BIT | config);
	set(COMPARATOR(n), get(COUNTER) + counts);
	set(COMPARATOR(n), counts);
}

static void legacy(void)
{
	const unsigned irq0 = VECTOR_PIC, irq8 = VECTOR_PIC + 8;
	quieten();
	pic_init();
	pic_route(true);
	pic_unmask(0);
	pic_unmask(8);
	sti();
	pit_set(0, 2, PIT_HZ / 1000);
	uint32_t before = irq_count[irq0];
	check(WAIT_US(irq_count[irq0] >= before + 3, SOON), "pit", "no interrupts");
	set(CONFIG, ENABLE | LEGACY);
	value("legacy", "%x", get(CONFIG));
	check(quiet(irq0, 3000), "pit-replaced", "its interrupts still come");

	periodic(0, 0, COUNTS_PER_MS);
	ticks_at(irq0, 1000);
	uint64_t next = get64(COMPARATOR(0));
	check(WAIT_US(get64(COMPARATOR(0)) != next, SOON), "accumulator", "stays at %lx", next);
	value("steps", "%u", (uint32_t)(get64(COMPARATOR(0)) - next) % COUNTS_PER_MS);
	set(TIMER(0), 0);
	check(quiet(irq0, 3000), "off", "interrupts still come");

	before = irq_count[irq8];
	set(TIMER(1), TN_ENABLE);
	set64(COMPARATOR(1), get64(COUNTER) + 20 * COUNTS_PER_MS);
	check(WAIT_US(irq_count[irq8] != before, SOON), "one-shot", "no interrupt");
	check(quiet(irq8, 3000), "one-shot-once", "%u interrupts", irq_count[irq8] - before);

	before = irq_count[irq0];
	quieten();
	check(WAIT_US(irq_count[irq0] >= before + 3, SOON), "pit-again", "no interrupts");
	cli();
	pit_set(0, 0, 0xffff);
	pic_init();
	pic_route(false);
}

TEST(hpet)
{
	value("present", present() ? "yes" : "no");
	table();
	if (!present())
		return;
	quieten();
	registers();
	rate();
	level();
	legacy();
}

static void ioapic_set(uint32_t low)
{
	const uint64_t ioapic = 0xfec00000;
	write32(ioapic, 0x11 + 2 * TIMER_PIN);
	write32(ioapic + 0x10, lapic_read(LAPIC_ID));
	write32(ioapic, 0x10 + 2 * TIMER_PIN);
	write32(ioapic + 0x10, low);
}

static void acknowledge(void) { set(STATUS, 7); }

TEST_SLOW(hpet_route, "hpet-route")
{
	if (!check(present(), "present", "there is none"))
		return;
	quieten();
	pic_mask_all();
	ioapic_set(VECTOR_HPET); /* fixed, physical, edge, active high */
	sti();
	set(CONFIG, ENABLE);
	periodic(0, TN_ROUTE(TIMER_PIN), COUNTS_PER_MS);
	ticks_at(VECTOR_HPET, 1000);
	set(TIMER(0), 0);
	check(quiet(VECTOR_HPET, 3000), "off", "interrupts still come");

	uint32_t before = irq_count[VECTOR_HPET];
	set(TIMER(2), TN_ENABLE | TN_ROUTE(TIMER_PIN));
	set64(COMPARATOR(2), get64(COUNTER) + 20 * COUNTS_PER_MS);
	check(WAIT_US(irq_count[VECTOR_HPET] != before, SOON), "one-shot", "no interrupt");
	check(quiet(VECTOR_HPET, 3000), "one-shot-once", "%u interrupts", irq_count[VECTOR_HPET] - before);

	irq_hook[VECTOR_HPET] = acknowledge;
	ioapic_set(VECTOR_HPET | 1 << 15); /* level */
	periodic(1, TN_LEVEL | TN_ROUTE(TIMER_PIN), COUNTS_PER_MS);
	before = irq_count[VECTOR_HPET];
	check(WAIT_US(irq_count[VECTOR_HPET] >= before + 10, SOON), "level", "%u interrupts of 10",
	      irq_count[VECTOR_HPET] - before);
	cli();
	quieten();
	ioapic_set(1 << 16);
	irq_hook[VECTOR_HPET] = NULL;
}
