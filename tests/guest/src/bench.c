/* What an exit costs. test=pio-bench,mmio-bench n=10000 prints cycles and nanoseconds of one. */
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
