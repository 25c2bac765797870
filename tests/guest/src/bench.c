/* What an exit costs: test=pio-bench,mmio-bench n=10000 prints cycles and nanoseconds of one. And how long
   interrupts take: test=irq-bench prints the medians of n. */
#include "kernel.h"

#define UNUSED_PORT 0x81f	     /* no device of the PC decodes it; port= chooses another */
#define UNUSED_ADDRESS 0xf8000000ull /* in the PCI hole; address= chooses another */

static void result(uint64_t cycles, uint64_t n)
{
	report("count", "%lu", n);
	report("cycles-each", "%lu", cycles / n);
	report("ns-each", "%lu", cycles * 1000000 / tsc_khz / n);
}

static uint64_t rounds(void)
{
	uint64_t n = option_number("n", 1000);
	return n ? n : 1;
}

TEST_SLOW(pio_bench, "pio-bench")
{
	uint16_t port = (uint16_t)option_number("port", UNUSED_PORT);
	uint64_t n = rounds(), start = rdtsc();
	for (uint64_t i = 0; i < n; i++)
		outb(port, 0);
	result(rdtsc() - start, n);
}

TEST_SLOW(mmio_bench, "mmio-bench")
{
	uint64_t address = option_number("address", UNUSED_ADDRESS), n = rounds(), start = rdtsc();
	for (uint64_t i = 0; i < n; i++)
		write32(address, 0);
	result(rdtsc() - start, n);
}

TEST_SLOW(spin_bench, "spin-bench")
{
	uint64_t n = rounds(), start = rdtsc();
	for (uint64_t i = 0; i < n; i++)
		asm volatile("");
	result(rdtsc() - start, n);
}

/* ---- Interrupts ---- */

#define COM1_IER 0x3f9
#define COM1_IIR 0x3fa
#define COM1_MCR 0x3fc
#define TRANSMITTER_EMPTY 2 /* of IER: raised at once when nothing is being sent */
#define OUT2 8		    /* of MCR: lets the line through */
#define SAMPLES 1000

static volatile uint64_t arrived; /* when the last interrupt came, 0 if none has */
static uint64_t samples[SAMPLES];

static void arrive(void) { arrived = rdtsc(); }

static void arrive_uart(void)
{
	arrived = rdtsc();
	inb(COM1_IIR);
}

static void report_median(const char *name, uint64_t n)
{
	for (uint64_t i = 1; i < n; i++)
		for (uint64_t j = i; j && samples[j - 1] > samples[j]; j--) {
			uint64_t swap = samples[j];
			samples[j] = samples[j - 1];
			samples[j - 1] = swap;
		}
	report(name, "%lu", samples[n / 2] * 1000000 / tsc_khz);
}

/* A write to IER that raises IRQ 4. */
static bool raised(void)
{
	outb(COM1_IER, 0);
	arrived = 0;
	uint64_t start = rdtsc();
	outb(COM1_IER, TRANSMITTER_EMPTY);
	bool came = WAIT_US(arrived, SOON);
	samples[0] = arrived - start;
	return came;
}

/* The PIT's channel 0 after a millisecond, while the processor is halted. */
static bool woken(void)
{
	unsigned ticks = PIT_HZ / 1000;
	arrived = 0;
	cli();
	pit_set(0, 0, ticks);
	uint64_t start = rdtsc();
	while (!arrived)
		asm volatile("sti; hlt; cli" : : : "memory");
	sti();
	uint64_t due = start + ticks * tsc_khz / (PIT_HZ / 1000);
	samples[0] = arrived > due ? arrived - due : 0;
	return true;
}

static bool repeat(bool (*once)(void), uint64_t n)
{
	for (uint64_t i = n; i--;) { /* the sample of each comes into its place from the first */
		if (!once())
			return false;
		samples[i] = samples[0];
	}
	return true;
}

TEST_SLOW(irq_bench, "irq-bench")
{
	uint64_t n = rounds();
	if (!check(n <= SAMPLES, "n", "%lu, of at most %u", n, SAMPLES))
		return;
	console_hold();
	irq_hook[VECTOR_PIC] = arrive;
	irq_hook[VECTOR_PIC + 4] = arrive_uart;
	outb(COM1_MCR, OUT2 | 3);
	pic_route(true);
	pic_unmask(4);
	sti();
	if (check(repeat(raised, n), "raised", "no interrupt of COM1"))
		report_median("ns-raised", n);
	pic_mask_all();
	outb(COM1_IER, 0);
	pic_unmask(0);
	repeat(woken, n);
	report_median("ns-late", n);
	cli();
	pic_mask_all();
	pic_route(false);
	irq_hook[VECTOR_PIC] = irq_hook[VECTOR_PIC + 4] = NULL;
	console_release();
}
