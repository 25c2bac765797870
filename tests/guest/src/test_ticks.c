/* Ticks that the guest misses: interrupts are off for a quarter of a second, then on again, and what
   comes is counted. The time is the PM timer's, to a microsecond, as that of the TSC is only calibrated
   in a millisecond. The numbers are the machine's own: whoever runs the kernel knows the tick policy.
   Options: pic=off lets IRQ 0 and 8 come through the I/O APIC; windows=n counts for n quarters of a
   second, up to 16; hz=n is the rate, of the RTC a power of two (default 1000, of the RTC 1024). */
#include "kernel.h"

#define OFF_US 250000
#define MAX_WINDOWS 16 /* in the 4.7 s that the PM timer can tell */
#define WINDOW_US 250000

#define IOAPIC 0xfec00000ull
#define IOAPIC_MASKED (1 << 16)
#define VECTOR_TICK (VECTOR_APIC + 4)

static uint16_t pm_timer;

static uint32_t pm_ticks(void) { return inl(pm_timer) & 0xffffff; }

/* Microseconds of a difference below the 4.7 s in which 24 bits wrap. */
static uint64_t pm_us(uint32_t from, uint32_t to) { return (uint64_t)((to - from) & 0xffffff) * 1000000 / PM_TIMER_HZ; }

static void ioapic_set(unsigned pin, uint32_t low)
{
	write32(IOAPIC, 0x11 + 2 * pin);
	write32(IOAPIC + 0x10, lapic_read(LAPIC_ID));
	write32(IOAPIC, 0x10 + 2 * pin);
	write32(IOAPIC + 0x10, low);
}

/* Lets the interrupts of an input come, by the way the command line says, and returns their vector. */
static unsigned route(unsigned irq, void (*hook)(void))
{
	bool pic = !option_has("pic", "off");
	unsigned vector = pic ? VECTOR_PIC + irq : VECTOR_TICK;
	irq_hook[vector] = hook;
	pic_init();
	pic_route(pic);
	if (pic)
		pic_unmask(irq);
	else
		ioapic_set(irq ? irq : 2, vector);
	return vector;
}

static void unroute(unsigned irq, unsigned vector)
{
	pic_init();
	pic_route(false);
	ioapic_set(irq ? irq : 2, IOAPIC_MASKED | VECTOR_TICK);
	irq_hook[vector] = NULL;
}

/* count reports, for each window after the interruption, its end and the ticks until then. */
static void count(unsigned vector)
{
	uint32_t first = irq_count[vector];
	sti();
	bool ticks = WAIT_US(irq_count[vector] > first + 20, SOON);
	cli();
	if (!check(ticks, "ticks", "%u of 20", irq_count[vector] - first))
		return;
	uint32_t start = pm_ticks();
	first = irq_count[vector];
	WAIT_US(false, OFF_US);
	uint32_t on = pm_ticks();
	report("off-us", "%lu", pm_us(start, on));
	uint64_t us[MAX_WINDOWS];
	uint32_t n[MAX_WINDOWS];
	uint64_t windows = option_number("windows", 2);
	if (windows > MAX_WINDOWS)
		windows = MAX_WINDOWS;
	sti();
	for (unsigned i = 0; i < windows; i++) {
		WAIT_US(false, WINDOW_US);
		n[i] = irq_count[vector] - first;
		us[i] = pm_us(on, pm_ticks());
	}
	cli();
	for (unsigned i = 0; i < windows; i++)
		report("window", "%lu %u", us[i], n[i]);
}

static bool has_pm_timer(void)
{
	uint16_t base = pm_base();
	pm_timer = (uint16_t)(base + 8);
	return check(base != 0, "pm-timer", "there is none");
}

/* The timers. start programs the rate that is next to hz, and returns it in ticks in a million seconds. */
struct ticker {
	const char *name;
	unsigned irq;
	uint64_t hz; /* unasked */
	void (*hook)(void);
	uint64_t (*start)(uint64_t hz);
	void (*stop)(void);
};

static uint64_t start_pit(uint64_t hz)
{
	pit_set(0, 2, (unsigned)(PIT_HZ / hz));
	return PIT_HZ * 1000000ull / (PIT_HZ / hz);
}

static void stop_pit(void) { pit_set(0, 0, 0xffff); }

static void rtc_set(uint8_t reg, uint8_t v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

static void rtc_acknowledge(void)
{
	outb(0x70, 0x0c);
	inb(0x71);
}

static uint64_t start_rtc(uint64_t hz)
{
	uint8_t select = 3; /* 8192 Hz, and half with each step */
	while (select < 15 && 32768ull >> (select - 1) > hz)
		select++;
	rtc_set(0x0a, 0x20 | select);
	rtc_acknowledge();
	rtc_set(0x0b, 0x42); /* 24 hours, periodic interrupt */
	return (32768ull >> (select - 1)) * 1000000;
}

static void stop_rtc(void)
{
	rtc_set(0x0b, 0x02);
	rtc_acknowledge();
}

static void hpet_write(unsigned reg, uint32_t v) { write32(0xfed00000ull + reg, v); }

static uint64_t start_hpet(uint64_t hz)
{
	uint32_t counts = (uint32_t)(100000000 / hz);
	hpet_write(0x010, 0);
	hpet_write(0x0f0, 0);
	hpet_write(0x100, 0x14c); /* comparator 0: interrupts, periodic, both values, 32 bits */
	hpet_write(0x108, counts);
	hpet_write(0x010, 3); /* go, in legacy replacement */
	return 100000000ull * 1000000 / counts;
}

static void stop_hpet(void)
{
	hpet_write(0x100, 0);
	hpet_write(0x010, 0);
}

static const struct ticker pit = {"pit", 0, 1000, NULL, start_pit, stop_pit},
			   rtc = {"rtc", 8, 1024, rtc_acknowledge, start_rtc, stop_rtc},
			   hpet = {"hpet", 0, 1000, NULL, start_hpet, stop_hpet};

static void missed(const struct ticker *t)
{
	if (!has_pm_timer())
		return;
	unsigned vector = route(t->irq, t->hook);
	t->start(option_number("hz", t->hz));
	count(vector);
	t->stop();
	unroute(t->irq, vector);
}

TEST_SLOW(ticks_pit, "ticks-pit") { missed(&pit); }
TEST_SLOW(ticks_rtc, "ticks-rtc") { missed(&rtc); }
TEST_SLOW(ticks_hpet, "ticks-hpet") { missed(&hpet); }

/* Counts for seconds=n (10), and then until what is late has come, at most twice as long again. */
static void count_long(unsigned vector, uint64_t rate)
{
	const uint64_t enough = option_number("seconds", 10) * PM_TIMER_HZ;
	uint32_t first = irq_count[vector];
	sti();
	bool ticks = WAIT_US(irq_count[vector] > first, SOON);
	cli();
	if (!check(ticks, "ticks", "there are none"))
		return;
	uint32_t last = pm_ticks();
	uint64_t elapsed = 0, us = 0, due = 0;
	first = irq_count[vector];
	sti();
	do {
		uint32_t now = pm_ticks();
		elapsed += (now - last) & 0xffffff;
		last = now;
		us = elapsed * 1000000 / PM_TIMER_HZ;
		due = us / 1000 * rate / 1000000000;
	} while (elapsed < enough || (irq_count[vector] - first + 1 < due && elapsed < 3 * enough));
	cli();
	report("long", "%lu %u %lu", us, irq_count[vector] - first, due);
}

TEST_SLOW(ticks_long, "ticks-long")
{
	const struct ticker *t = option_has("timer", "rtc") ? &rtc : option_has("timer", "hpet") ? &hpet : &pit;
	if (!has_pm_timer())
		return;
	unsigned vector = route(t->irq, t->hook);
	count_long(vector, t->start(option_number("hz", t->hz)));
	t->stop();
	unroute(t->irq, vector);
}
