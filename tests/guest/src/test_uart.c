/* The 16550A on COM1 (National PC16550D datasheet), probed as Linux's 8250 driver does and then
   exercised in loopback, where what is sent comes back and the modem outputs are the inputs. */
#include "kernel.h"

#define COM1 0x3f8
#define RBR (COM1 + 0)
#define THR (COM1 + 0)
#define IER (COM1 + 1) /* 0 received data, 1 THR empty, 2 line status, 3 modem status */
#define IIR (COM1 + 2)
#define FCR (COM1 + 2)
#define LCR (COM1 + 3)
#define MCR (COM1 + 4) /* 0 DTR, 1 RTS, 2 OUT1, 3 OUT2, 4 loopback */
#define LSR (COM1 + 5)
#define MSR (COM1 + 6)
#define SCR (COM1 + 7)
#define LOOP 0x10
#define TIMEOUT 0x08 /* IIR: received data for a time-out, as it is when the reader is slow */
#define IRQ4 (VECTOR_PIC + 4)

static void registers(void)
{
	unsigned good = 0;
	for (unsigned i = 0; i < 4; i++) {
		static const uint8_t pattern[] = {0x00, 0x55, 0xaa, 0xff};
		outb(SCR, pattern[i]);
		good += inb(SCR) == pattern[i];
	}
	check(good == 4, "scratch", "%u of 4 patterns held", good);

	outb(IER, 0);
	uint8_t none = inb(IER);
	outb(IER, 0xff);
	value("ier", "%02x %02x", none, inb(IER));
	outb(IER, 0);

	outb(LCR, 0x80); /* the divisor latch behind DLAB */
	outb(COM1, 0x34);
	outb(COM1 + 1, 0x12);
	value("divisor", "%02x%02x", inb(COM1 + 1), inb(COM1));
	outb(COM1, 1);
	outb(COM1 + 1, 0);
	outb(LCR, 0x03);
	value("lcr", "%02x", inb(LCR));
	value("ier-kept", "%02x", inb(IER));

	/* IIR bits 7 and 6: 16450, 16550 with a broken FIFO, 16550A. */
	outb(FCR, 0);
	uint8_t off = inb(IIR) & 0xc0;
	outb(FCR, 1);
	uint8_t on = inb(IIR) & 0xc0;
	outb(FCR, 0x07);
	value("fifo-bits", "%02x %02x", off, on);
	outb(MCR, 0xef);
	value("mcr", "%02x", inb(MCR) & 0x1f);
}

static void modem_loopback(void)
{
	char text[64];
	int n = 0;
	for (unsigned m = 0; m < 16; m++) {
		outb(MCR, (uint8_t)(LOOP | m));
		n += format(text + n, sizeof text - (size_t)n, " %02x", inb(MSR) & 0xf0);
	}
	value("loopback-msr", "%s", text + 1);
}

/* The line status and interrupt identification as bytes pass the FIFO. */
static void data_loopback(void)
{
	outb(MCR, LOOP);
	outb(FCR, 0x07);
	inb(RBR);
	inb(LSR);
	value("lsr-empty", "%02x", inb(LSR));
	outb(THR, 'A');
	WAIT_US(inb(LSR) & 1, SOON);
	value("lsr-one", "%02x", inb(LSR));
	value("rbr", "%02x", inb(RBR));
	value("lsr-read", "%02x", inb(LSR));

	unsigned good = 0;
	for (unsigned i = 0; i < 16; i++)
		outb(THR, (uint8_t)(0x30 + i));
	WAIT_US((inb(LSR) & 0x61) == 0x61, SOON);
	for (unsigned i = 0; i < 16 && inb(LSR) & 1; i++)
		good += inb(RBR) == 0x30 + i;
	check(good == 16, "fifo-16", "%u of 16 bytes came back in order", good);
	value("lsr-drained", "%02x", inb(LSR));

	for (unsigned i = 0; i < 18; i++) { /* more than the FIFO holds: overrun */
		WAIT_US(inb(LSR) & 0x40, SOON);
		outb(THR, (uint8_t)i);
	}
	bool overrun = false;
	WAIT_US((overrun |= inb(LSR) & 2), SOON);
	check(overrun, "overrun", "no overrun error after 18 bytes");
	outb(FCR, 0x03); /* clear the receive FIFO */
	value("lsr-cleared", "%02x", inb(LSR) & 0x61);
}

/* IIR priorities: receiver line status, received data, transmitter empty, modem status. */
static void identification(void)
{
	outb(MCR, LOOP);
	outb(FCR, 0x07);
	inb(LSR);
	inb(RBR);
	inb(MSR);
	outb(IER, 0);
	uint8_t idle = inb(IIR);
	outb(IER, 0x02); /* enabling it while the THR is empty raises it */
	uint8_t thre = inb(IIR), taken = inb(IIR);
	outb(THR, 'B');
	WAIT_US(inb(LSR) & 1, SOON);
	outb(IER, 0x03);
	uint8_t data = inb(IIR) & ~TIMEOUT;
	inb(RBR);
	uint8_t then = inb(IIR), last = inb(IIR);
	outb(IER, 0);
	value("iir", "%02x %02x %02x %02x %02x %02x", idle, thre, taken, data, then, last);

	outb(FCR, 0xc7); /* trigger level 14: one byte waits for the time-out of four characters */
	outb(IER, 0x01);
	outb(THR, 'C');
	check(WAIT_US(inb(IIR) == 0xcc, SOON), "fifo-timeout", "IIR %02x, no character time-out", inb(IIR));
	inb(RBR);
	value("iir-after-timeout", "%02x", inb(IIR));
	outb(IER, 0);
	outb(FCR, 0x07);
}

static volatile uint8_t irq_iir;
static void hook(void) { irq_iir = inb(IIR); }

/* Outside loopback, which turns off OUT2 as a pin, and that gates the interrupt on a PC. */
static void interrupts(void)
{
	uint32_t before = irq_count[IRQ4];
	irq_hook[IRQ4] = hook;
	outb(MCR, 0x0b);
	pic_init(); /* forgets the edges of the tests before */
	pic_route(true);
	pic_unmask(4);
	sti();
	outb(IER, 0x02);
	bool came = WAIT_US(irq_count[IRQ4] > before, SOON);
	check(came && irq_iir == 0xc2, "thre-irq4", "%u interrupts, IIR %02x", irq_count[IRQ4] - before, irq_iir);
	delay_us(500);
	check(irq_count[IRQ4] == before + 1, "thre-once", "%u interrupts", irq_count[IRQ4] - before);

	before = irq_count[IRQ4];
	outb(IER, 0);
	outb(IER, 0x02); /* enabling it again raises it again */
	came = WAIT_US(irq_count[IRQ4] > before, SOON);
	check(came && irq_iir == 0xc2, "thre-again", "%u interrupts, IIR %02x", irq_count[IRQ4] - before, irq_iir);
	cli();
	outb(IER, 0);
	pic_mask_all();
	pic_route(false);
	irq_hook[IRQ4] = NULL;
}

TEST(uart)
{
	/* What was printed has to be out before the line is turned back on itself. */
	WAIT_US(inb(LSR) & 0x40, SOON);
	console_hold();
	registers();
	modem_loopback();
	data_loopback();
	identification();
	interrupts();
	console_release();
}
