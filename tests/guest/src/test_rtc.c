/* The MC146818 real-time clock (Motorola MC146818A datasheet; PIIX4 for the extended bank). */
#include "kernel.h"

#define INDEX 0x70
#define DATA_PORT 0x71
#define SECONDS 0x00
#define MINUTES 0x02
#define HOURS 0x04
#define DAY 0x07
#define MONTH 0x08
#define YEAR 0x09
#define CENTURY 0x32 /* where the PC keeps it, and what the FADT says */
#define REG_A 0x0a   /* 7 UIP, 6-4 divider, 3-0 rate */
#define REG_B 0x0b   /* 7 SET, 6 PIE, 5 AIE, 4 UIE, 2 binary, 1 24 hours */
#define REG_C 0x0c   /* 7 IRQF, 6 PF, 5 AF, 4 UF: cleared by reading */
#define REG_D 0x0d   /* 7 VRT */
#define UIP 0x80
#define SET 0x80
#define PIE 0x40
#define AIE 0x20
#define UIE 0x10
#define BINARY 0x04
#define HOURS24 0x02
#define RATE_1024HZ 0x26
#define IRQ8 (VECTOR_PIC + 8)

static uint8_t get(uint8_t reg)
{
	outb(INDEX, reg);
	return inb(DATA_PORT);
}

static void set(uint8_t reg, uint8_t v)
{
	outb(INDEX, reg);
	outb(DATA_PORT, v);
}

static unsigned decoded(uint8_t reg)
{
	uint8_t v = get(reg);
	return get(REG_B) & BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static void put_decimal(uint8_t reg, unsigned v)
{
	set(reg, get(REG_B) & BINARY ? (uint8_t)v : (uint8_t)(v / 10 << 4 | v % 10));
}

static void date(void)
{
	WAIT_US(!(get(REG_A) & UIP), SOON);
	unsigned century = decoded(CENTURY), year = decoded(YEAR), month = decoded(MONTH), day = decoded(DAY);
	unsigned hours = decoded(HOURS), minutes = decoded(MINUTES), seconds = decoded(SECONDS);
	check(century >= 19 && century <= 21 && year < 100, "year", "%u%02u", century, year);
	check(month >= 1 && month <= 12 && day >= 1 && day <= 31, "date", "month %u, day %u", month, day);
	check(hours < 24 && minutes < 60 && seconds < 60, "time", "%u:%u:%u", hours, minutes, seconds);
	report("now", "%02u%02u-%02u-%02u %02u:%02u:%02u", century, year, month, day, hours, minutes, seconds);
}

static void memory(void)
{
	static const uint8_t at[] = {0x50, 0x51, 0x7f};
	unsigned good = 0;
	for (unsigned i = 0; i < sizeof at; i++) {
		uint8_t old = get(at[i]);
		set(at[i], (uint8_t)(0xa5 ^ at[i]));
		good += get(at[i]) == (0xa5 ^ at[i]);
		set(at[i], old);
	}
	check(good == sizeof at, "cmos-ram", "%u of %lu bytes held", good, sizeof at);
	outb(INDEX, 0x80 | REG_D); /* bit 7 of the index is the NMI mask, not an address */
	value("nmi-bit", "%02x", inb(DATA_PORT));
}

static void hook(void) { get(REG_C); }

static void periodic(void)
{
	irq_hook[IRQ8] = hook;
	pic_init();
	pic_route(true);
	set(REG_A, RATE_1024HZ);
	get(REG_C);
	set(REG_B, HOURS24 | PIE);
	pic_unmask(8);
	sti();
	ticks_at(IRQ8, 1024);
	cli();
	set(REG_B, HOURS24);
	set(REG_A, 0x20); /* no tick between the two reads */
	get(REG_C);
	value("c-read", "%02x", get(REG_C));
	set(REG_A, RATE_1024HZ);

	/* The datasheet sets the flag without the interrupt enabled too; QEMU does not. */
	report("pf-without-pie", "%s", WAIT_US(get(REG_C) & 0x40, 3000) ? "set" : "clear");
	set(REG_A, 0x20); /* rate 0: no periodic ticks */
	get(REG_C);
	delay_us(3000);
	value("rate-none", "%02x", get(REG_C) & 0x40);
	set(REG_A, RATE_1024HZ);
	pic_init();
	pic_route(false);
	irq_hook[IRQ8] = NULL;
}

TEST(rtc)
{
	set(REG_B, HOURS24);
	set(REG_A, RATE_1024HZ);
	value("a", "%02x", get(REG_A) & 0x7f);
	value("b", "%02x", get(REG_B));
	value("d", "%02x", get(REG_D));
	set(REG_D, 0);
	value("d-read-only", "%02x", get(REG_D));
	set(REG_C, 0xff);
	value("c-read-only", "%02x", get(REG_C) & 0x0f);
	set(0x01, 0x59); /* the alarm registers are storage until AIE */
	set(0x03, 0xc0);
	set(0x05, 0xff);
	value("alarm", "%02x %02x %02x", get(0x01), get(0x03), get(0x05));
	date();
	memory();
	periodic();
}

/* One second of the clock: UIP before the update, the update-ended interrupt, one second more. */
TEST_SLOW(rtc_update, "rtc-update")
{
	irq_hook[IRQ8] = hook;
	pic_init();
	pic_route(true);
	set(REG_A, RATE_1024HZ);
	get(REG_C);
	set(REG_B, HOURS24 | UIE);
	pic_unmask(8);
	sti();
	uint32_t first = irq_count[IRQ8];
	check(WAIT_US(irq_count[IRQ8] > first, 2000000), "update-ended", "no interrupt in two seconds");
	unsigned before = decoded(SECONDS);
	uint64_t start = now_us();
	/* UIP is set at least 244 us before the update. */
	bool uip = WAIT_US(get(REG_A) & UIP, 1500000);
	check(uip, "uip", "never seen");
	check(WAIT_US(irq_count[IRQ8] > first + 1, 2000000), "update-again", "no second interrupt");
	uint64_t us = now_us() - start;
	check(us > 800000 && us < 1500000, "one-second", "%lu us", us);
	unsigned after = decoded(SECONDS);
	check(after == (before + 1) % 60, "seconds", "%u, then %u", before, after);
	cli();
	set(REG_B, HOURS24);
	get(REG_C);
	pic_init();
	irq_hook[IRQ8] = NULL;
}

/* Setting the clock: SET stops it, and the last second of the century carries through. */
TEST_SLOW(rtc_rollover, "rtc-rollover")
{
	static const struct {
		uint8_t reg, set;
	} to[] = {{CENTURY, 19}, {YEAR, 99}, {MONTH, 12}, {DAY, 31}, {HOURS, 23}, {MINUTES, 59}, {SECONDS, 59}};
	set(REG_A, RATE_1024HZ);
	set(REG_B, HOURS24 | SET);
	for (unsigned i = 0; i < sizeof to / sizeof to[0]; i++)
		put_decimal(to[i].reg, to[i].set);
	set(REG_B, HOURS24);
	WAIT_US(decoded(SECONDS) != 59, 3000000);
	WAIT_US(!(get(REG_A) & UIP), SOON);
	value("rollover", "%02u%02u-%02u-%02u %02u:%02u", decoded(CENTURY), decoded(YEAR), decoded(MONTH), decoded(DAY),
	      decoded(HOURS), decoded(MINUTES));
}

/* sets the time of day and what the registers are written in. */
static void set_time(uint8_t mode, uint8_t hours, uint8_t minutes, uint8_t seconds)
{
	set(REG_B, SET | mode);
	set(HOURS, hours);
	set(MINUTES, minutes);
	set(SECONDS, seconds);
	set(REG_B, mode);
}

/* The hours in BCD and binary, of 12 and 24, with bit 7 for p.m., and how they carry. (QEMU loses its way
   when the format changes.) */
TEST_SLOW(rtc_formats, "rtc-formats")
{
	static const struct {
		uint8_t mode, hours, minutes, seconds, next;
	} times[] = {
		{HOURS24, 0x23, 0x59, 0x59, 0x00}, {HOURS24 | BINARY, 9, 59, 59, 10},	     {0, 0x11, 0x59, 0x59, 0x92},
		{0, 0x91, 0x59, 0x59, 0x12},	   {BINARY, 0x80 | 11, 59, 59, 12},
	};
	set(REG_A, RATE_1024HZ);
	for (unsigned i = 0; i < sizeof times / sizeof times[0]; i++) {
		set_time(times[i].mode, times[i].hours, times[i].minutes, times[i].seconds);
		WAIT_US(get(SECONDS) == 0, 3000000);
		WAIT_US(!(get(REG_A) & UIP), SOON);
		uint8_t hours = get(HOURS), minutes = get(MINUTES), seconds = get(SECONDS);
		check(hours == times[i].next && !minutes && !seconds, "carries", "mode %02x: after %02x:%02x:%02x comes %02x:%02x:%02x",
		      times[i].mode, times[i].hours, times[i].minutes, times[i].seconds, hours, minutes, seconds);
	}
	set(REG_B, HOURS24);
}

static volatile uint8_t alarm_flags;
static void alarm_hook(void) { alarm_flags = get(REG_C); }

/* The alarm at a time, and with "don't care" in all registers in each second. */
TEST_SLOW(rtc_alarm, "rtc-alarm")
{
	irq_hook[IRQ8] = alarm_hook;
	pic_init();
	pic_route(true);
	set(REG_A, 0x20); /* no periodic ticks */
	set_time(HOURS24, 0x12, 0x34, 0x57);
	set(0x05, 0x12);
	set(0x03, 0x34);
	set(0x01, 0x59);
	get(REG_C);
	set(REG_B, HOURS24 | AIE);
	pic_unmask(8);
	sti();
	uint32_t first = irq_count[IRQ8];
	check(WAIT_US(irq_count[IRQ8] > first, 5000000), "alarm", "no interrupt in five seconds");
	value("flags", "%02x", alarm_flags & 0xa0);
	value("seconds", "%02x", get(SECONDS));
	set(0x05, 0xff);
	set(0x03, 0xc0);
	set(0x01, 0xff);
	first = irq_count[IRQ8];
	check(WAIT_US(irq_count[IRQ8] > first + 1, 5000000), "each-second", "%u interrupts in five seconds", irq_count[IRQ8] - first);
	cli();
	set(REG_B, HOURS24);
	value("c-read", "%02x", (get(REG_C), get(REG_C)) & 0xa0);
	pic_init();
	pic_route(false);
	irq_hook[IRQ8] = NULL;
}
