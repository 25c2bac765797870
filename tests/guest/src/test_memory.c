/* Memory: RAM is where the map says, all of it and distinct, and nothing answers in the holes. */
#include "kernel.h"

#define PAGE 4096ull
#define GIB4 (1ull << 32)
#define RAM 1

extern const uint8_t kernel_end[];
static uint64_t seen[2 * 128];
static unsigned pages;

/* Is this page in use by the kernel or by the loader's tables? Then it is read, not written. */
static bool busy(uint64_t page)
{
	return page < 0x100000 || page < (uint64_t)kernel_end ||
	       (page + PAGE > boot.initrd && page < boot.initrd + boot.initrd_size);
}

/* Write and read back one word in a page. What was there is put back in the second pass only, so
   that two pages which are the same memory are found. */
static bool touch(uint64_t page)
{
	if (busy(page))
		return true;
	volatile uint64_t *word = map(page + 8);
	seen[pages++] = page;
	*word = page ^ 0x5aa5c33c96690ff0;
	return *word == (page ^ 0x5aa5c33c96690ff0);
}

static bool hole(uint64_t address)
{
	for (unsigned i = 0; i < boot.ranges; i++)
		if (address >= boot.range[i].start && address < boot.range[i].start + boot.range[i].size)
			return false;
	return true;
}

/* A PC reads all ones where nothing answers, QEMU zero; what is written there is gone in both. */
static void open_bus(const char *name, volatile uint32_t *at)
{
	uint32_t before = *at;
	*at = 0x12345678;
	if (check((before == 0xffffffff || before == 0) && *at == before, name, "%08x, then %08x", before, *at))
		report("open-bus", "%08x", before);
}

TEST(memory)
{
	bool held = true, distinct = true;
	uint64_t top = 0, above = 0;
	pages = 0;
	for (unsigned i = 0; i < boot.ranges; i++) {
		const struct range *r = &boot.range[i];
		if (r->type != RAM || r->size < PAGE)
			continue;
		uint64_t first = (r->start + PAGE - 1) & ~(PAGE - 1), end = (r->start + r->size) & ~(PAGE - 1);
		held &= touch(first) && (end <= first + PAGE || touch(end - PAGE));
		if (end > top)
			top = end;
		if (r->start >= GIB4)
			above += r->size;
	}
	for (unsigned i = 0; i < pages; i++)
		distinct &= *(volatile uint64_t *)map(seen[i] + 8) == (seen[i] ^ 0x5aa5c33c96690ff0);
	check(held, "first-and-last-pages", "a page did not hold what was written");
	check(distinct, "distinct", "two pages of RAM are the same memory");
	report("top", "%lx", top);
	if (option_number("mem.mib", 0) > 4096)
		check(above >= (option_number("mem.mib", 0) - 4096) << 20, "above-4gib", "%lu KiB", above >> 10);

	/* 0xF8000000 is in the PCI hole of every PC; nothing is decoded there unless a BAR is put there. */
	if (hole(0xf8000000))
		open_bus("pci-hole", map(0xf8000000));
	if (hole(top + (64 << 20)) && top >= GIB4)
		open_bus("above-ram", map(top + (64 << 20)));
}
