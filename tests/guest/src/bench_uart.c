/* What a serial port does in a second: test=uart-bench op=send n=10000 prints nanoseconds of a byte on
   COM2, whose other end takes what comes and speaks as package chars of the benchmark says.

   op= send (by interrupts, sixteen bytes each, as operating systems do), poll (byte by byte, as their
       early messages), receive (by interrupts), or echo (a byte there and back)
   n=  bytes */
#include "kernel.h"

#define COM2 0x2f8
#define IER (COM2 + 1)
#define IIR (COM2 + 2)
#define FCR (COM2 + 2)
#define LCR (COM2 + 3)
#define MCR (COM2 + 4)
#define LSR (COM2 + 5)
#define RECEIVED 1 /* of IER */
#define EMPTY 2
#define DATA_READY 1 /* of LSR */
#define THR_EMPTY 0x20
#define IRQ3 (VECTOR_PIC + 3)
#define FIFO 16

/* What the other end is told, and what it answers the last. */
enum { FLOOD = 'r', QUIET = 'q', STOPPED = 0xff, ECHOED = 0x80 };

static volatile uint64_t sent, got, wanted;
static volatile uint8_t last;

static void on_interrupt(void)
{
	for (uint8_t id; !((id = inb(IIR)) & 1);) {
		if ((id & 0x0f) != EMPTY) {
			while (inb(LSR) & DATA_READY) {
				last = inb(COM2);
				got++;
			}
			continue;
		}
		for (unsigned i = 0; i < FIFO && sent < wanted; i++, sent++)
			outb(COM2, 0);
		if (sent == wanted)
			outb(IER, RECEIVED);
	}
}

/* Sleeps until interrupts have made it so. */
#define AWAIT(condition)                                                                       \
	do {                                                                                   \
		cli();                                                                         \
		while (!(condition))                                                           \
			asm volatile("sti; hlt; cli" : : : "memory");                          \
		sti();                                                                         \
	} while (0)

static void put(uint8_t c)
{
	while (!(inb(LSR) & THR_EMPTY))
		continue;
	outb(COM2, c);
}

static void send(uint64_t n)
{
	wanted = n;
	outb(IER, RECEIVED | EMPTY);
	AWAIT(sent == n);
	while (!(inb(LSR) & THR_EMPTY))
		continue;
}

static void receive(uint64_t n, uint64_t *start)
{
	put(FLOOD);
	AWAIT(got);
	*start = rdtsc();
	uint64_t end = got + n;
	AWAIT(got >= end);
}

static void echo(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t before = got;
		put(ECHOED);
		AWAIT(got > before);
	}
}

TEST_SLOW(uart_bench, "uart-bench")
{
	uint64_t n = option_number("n", 1000);
	outb(LCR, 0x80);
	outb(COM2, 1); /* 115200 */
	outb(COM2 + 1, 0);
	outb(LCR, 3);
	outb(FCR, 0x87); /* on, cleared, announced at 8 */
	outb(MCR, 0x0b);
	irq_hook[IRQ3] = on_interrupt;
	pic_init();
	pic_route(true);
	pic_unmask(3);
	sti();
	outb(IER, RECEIVED);
	uint64_t start = rdtsc();
	if (option_has("op", "receive"))
		receive(n, &start);
	else if (option_has("op", "echo"))
		echo(n);
	else if (option_has("op", "poll"))
		for (uint64_t i = 0; i < n; i++)
			put(0);
	else
		send(n);
	uint64_t cycles = rdtsc() - start;
	if (option_has("op", "receive")) {
		put(QUIET);
		AWAIT(last == STOPPED);
	}
	cli();
	outb(IER, 0);
	pic_mask_all();
	pic_route(false);
	irq_hook[IRQ3] = NULL;
	report("count", "%lu", n);
	report("ns-each", "%lu", cycles * 1000000 / tsc_khz / n);
}
