/* The parallel port LPT1 with a printer at it: the standard parallel port (IEEE 1284, compatibility
   mode), whose bytes go to the host. */
#include "kernel.h"

#define LPT_DATA 0x378
#define LPT_STATUS (LPT_DATA + 1)  /* 7 not busy, 6 not ACK, 5 paper end, 4 selected, 3 no error */
#define LPT_CONTROL (LPT_DATA + 2) /* 5 reverse, 4 interrupts, 3 select, 2 not initialise, 0 strobe */
#define STROBE 0x01
#define READY 0x0c /* selected, and not initialising */
#define INTERRUPTS 0x10
#define REVERSE 0x20
#define NOT_BUSY 0x80
#define IRQ7 (VECTOR_PIC + 7)

static void send(uint8_t c, uint8_t control)
{
	outb(LPT_DATA, c);
	outb(LPT_CONTROL, control | STROBE);
	outb(LPT_CONTROL, control);
}

static void registers(void)
{
	/* Firmware may have looked for the port, and written its data. */
	value("power-on", "status %02x control %02x", inb(LPT_STATUS), inb(LPT_CONTROL));
	static const uint8_t pattern[] = {0x00, 0x55, 0xaa, 0xff};
	for (unsigned i = 0; i < sizeof pattern; i++) {
		outb(LPT_DATA, pattern[i]);
		value("data", "%02x", inb(LPT_DATA));
	}
	outb(LPT_CONTROL, 0);
	value("initialised", "status %02x control %02x", inb(LPT_STATUS), inb(LPT_CONTROL));
	for (unsigned i = 0; i < 8; i++) { /* without a select nothing is sent */
		outb(LPT_CONTROL, (uint8_t)(1u << i & ~0x08u));
		value("control", "%02x", inb(LPT_CONTROL));
	}
	outb(LPT_CONTROL, READY);
	outb(LPT_DATA, 0x5a);
	outb(LPT_CONTROL, READY | REVERSE);
	value("reverse", "%02x", inb(LPT_DATA));
	outb(LPT_CONTROL, READY);
	value("forward", "%02x", inb(LPT_DATA));
	value("word", "%04x", inw(LPT_DATA));
	outb(LPT_STATUS, 0xff);
	value("status-kept", "%02x", inb(LPT_STATUS));
}

/* The handshake of a byte: busy from the strobe on, then a pulse of ACK as the status is read. */
static void handshake(void)
{
	outb(LPT_DATA, 'a');
	outb(LPT_CONTROL, READY | STROBE);
	value("strobed", "%02x %02x", inb(LPT_STATUS), inb(LPT_STATUS));
	outb(LPT_CONTROL, READY);
	uint8_t first = inb(LPT_STATUS), second = inb(LPT_STATUS), third = inb(LPT_STATUS), fourth = inb(LPT_STATUS);
	value("acknowledged", "%02x %02x %02x %02x", first, second, third, fourth);
	for (const char *s = "ll is well\n"; *s; s++) {
		check(WAIT_US(inb(LPT_STATUS) & NOT_BUSY, SOON), "not-busy", "status %02x", inb(LPT_STATUS));
		send((uint8_t)*s, READY);
	}
	value("control-after", "%02x", inb(LPT_CONTROL));
}

static volatile uint8_t seen;
static void hook(void) { seen = inb(LPT_STATUS); }

static bool interrupted(uint8_t c)
{
	uint32_t before = irq_count[IRQ7];
	send(c, READY | INTERRUPTS);
	return WAIT_US(irq_count[IRQ7] > before, SOON);
}

static void interrupts(void)
{
	irq_hook[IRQ7] = hook;
	pic_init();
	pic_route(true);
	pic_unmask(7);
	sti();
	uint32_t before = irq_count[IRQ7];
	send('-', READY); /* asks for none */
	check(quiet(IRQ7, 1000), "disabled", "%u interrupts", irq_count[IRQ7] - before);
	unsigned came = 0;
	for (const char *s = " by interrupt\n"; *s; s++)
		came += interrupted((uint8_t)*s);
	value("interrupts", "%u, status %02x", came, seen);
	check(irq_count[IRQ7] == before + came, "one-each", "%u interrupts", irq_count[IRQ7] - before);
	outb(LPT_CONTROL, READY);
	cli();
	pic_mask_all();
	pic_route(false);
	irq_hook[IRQ7] = NULL;
}

TEST_SLOW(parallel, "parallel")
{
	registers();
	handshake();
	interrupts();
}
