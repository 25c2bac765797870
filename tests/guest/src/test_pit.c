/* The 8254 (Intel 8254 datasheet): channel 2 by its gate and output in port 61h, channel 0 by IRQ 0. */
#include "kernel.h"

#define CHANNEL2 0x42
#define CONTROL 0x43
#define PORT_B 0x61
#define GATE 1
#define OUT 0x20
#define READ_BACK_STATUS2 0xe8 /* latch the status of channel 2, not its count */
#define IRQ0 VECTOR_PIC

static unsigned out2(void) { return !!(inb(PORT_B) & OUT); }

static unsigned status2(void)
{
	outb(CONTROL, READ_BACK_STATUS2);
	return inb(CHANNEL2);
}

static void port_b(void)
{
	char text[32];
	int n = 0;
	for (unsigned v = 0; v < 4; v++) {
		outb(PORT_B, (uint8_t)v);
		n += format(text + n, sizeof text - (size_t)n, " %u", inb(PORT_B) & 3);
	}
	value("port61", "%s", text + 1);
	outb(PORT_B, GATE);
}

static void mode0(void)
{
	pit_set(2, 0, 0x1000); /* 3.4 ms */
	unsigned before = out2();
	check(WAIT_US(out2(), SOON), "mode0-terminal-count", "OUT stays low");
	delay_us(500);
	value("mode0-out", "%u %u", before, out2());
	unsigned after = pit_latch(2);
	check(after > 0x1000, "mode0-goes-on", "%04x after the terminal count", after);
	pit_set(2, 0, 0x8000);
	value("mode0-reload", "%u", out2());
}

/* Bits 5-0 of the status byte are what was programmed; bit 7 is OUT, where all agree on it. */
static void read_back(void)
{
	char text[64];
	int n = 0;
	for (unsigned mode = 0; mode < 6; mode++) {
		pit_set(2, mode, 0x8000);
		n += format(text + n, sizeof text - (size_t)n, " %02x", status2() & 0x3f);
	}
	value("status", "%s", text + 1);
	pit_set(2, 0, 0xffff);
	unsigned low = status2() >> 7;
	pit_set(2, 3, 0xffff);
	value("status-out", "%u %u", low, status2() >> 7);

	/* Status and count of one read-back command come out in that order. */
	pit_set(2, 2, 0x4000);
	outb(CONTROL, 0xc8);
	unsigned status = inb(CHANNEL2) & 0x3f, count = inb(CHANNEL2);
	count |= (unsigned)inb(CHANNEL2) << 8;
	value("read-back-both", "%02x", status);
	check(count > 0x2000 && count <= 0x4000, "read-back-count", "%04x", count);
}

static void latch(void)
{
	pit_set(2, 2, 0x8000);
	outb(CONTROL, 0x80);
	delay_us(300);
	outb(CONTROL, 0x80); /* a second latch before the first is read is ignored */
	unsigned held = inb(CHANNEL2);
	held |= (unsigned)inb(CHANNEL2) << 8;
	unsigned now = pit_latch(2);
	check(held <= 0x8000 && held > now + 100, "latch-holds", "latched %04x, then %04x", held, now);

	outb(CONTROL, 0x94); /* channel 2, low byte only, mode 2: the high byte is zero */
	outb(CHANNEL2, 0x80);
	outb(CONTROL, 0x80);
	unsigned low = inb(CHANNEL2);
	check(low <= 0x80, "low-byte-only", "%02x of 80", low);
	value("low-byte-status", "%02x", status2() & 0x3f);
	outb(CONTROL, 0xa4); /* high byte only */
	outb(CHANNEL2, 0x80);
	outb(CONTROL, 0x80);
	unsigned high = inb(CHANNEL2);
	check(high == 0x80 || high == 0x7f || high == 0x7e, "high-byte-only", "%02x of 80", high);
}

static void periodic_modes(void)
{
	bool low = false, high = false, even = true;
	pit_set(2, 3, 0x100); /* a square wave of 0.2 ms, counted down by twos */
	WAIT_US((out2() ? (high = true) : (low = true), low && high), SOON);
	check(low && high, "mode3-square-wave", "OUT low %u, high %u", low, high);
	for (unsigned i = 0; i < 8; i++)
		even &= !(pit_latch(2) & 1);
	check(even, "mode3-by-twos", "an odd count");

	pit_set(2, 2, 0x8000);
	delay_us(5000);
	unsigned before = pit_latch(2);
	outb(PORT_B, 0);
	outb(PORT_B, GATE); /* the rising edge reloads */
	unsigned after = pit_latch(2);
	check(before < 0x7f00 && after > before, "mode2-gate-reloads", "%04x, then %04x", before, after);
	pit_set(2, 2, 0x1000);
	delay_us(5000);
	check(pit_latch(2) <= 0x1000, "mode2-wraps", "a count above the initial one");
}

static void channel0(void)
{
	pic_init();
	pic_route(true);
	pit_set(0, 2, PIT_HZ / 1000);
	pic_unmask(0);
	sti();
	ticks_at(IRQ0, 1000);
	cli();

	/* Mode 0 interrupts once. */
	pit_set(0, 0, 0xffff); /* no more ticks, and only then forget one on its way */
	delay_us(500);
	pic_init();
	uint32_t first = irq_count[IRQ0];
	pic_unmask(0);
	sti();
	pit_set(0, 0, 1193);
	bool came = WAIT_US(irq_count[IRQ0] > first, SOON);
	delay_us(3000);
	cli();
	check(came && irq_count[IRQ0] == first + 1, "mode0-irq0-once", "%u interrupts", irq_count[IRQ0] - first);
	pic_init();
	pic_route(false);
}

TEST(pit)
{
	port_b();
	mode0();
	read_back();
	latch();
	periodic_modes();
	channel0();
}
