/* Boot: what the loader handed over. Linux/x86 boot protocol 2.15; PVH (Xen hvm_start_info). */
#include "kernel.h"

#define FNV_OFFSET 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull
#define SUMMED 512 /* bytes at either end of the initrd that go into its sum */
#define MIB (1ull << 20)

static uint64_t fnv1a(uint64_t sum, uint64_t from, uint64_t n)
{
	for (; n; n--, from++)
		sum = (sum ^ read8(from)) * FNV_PRIME;
	return sum;
}

/* The sum of guest.InitrdSum: FNV-1a over the first and the last bytes. */
static void initrd(void)
{
	if (!boot.initrd_size) {
		value("initrd", "none");
		return;
	}
	if (!check(boot.initrd + boot.initrd_size <= 1ull << 32, "initrd-below-4gib", "%lx+%lx", boot.initrd,
		   boot.initrd_size))
		return;
	uint64_t n = boot.initrd_size < SUMMED ? boot.initrd_size : SUMMED;
	uint64_t sum = fnv1a(FNV_OFFSET, boot.initrd, n);
	sum = fnv1a(sum, boot.initrd + boot.initrd_size - n, n);
	value("initrd", "%lu %016lx", boot.initrd_size, sum);
}

static void memory_map(void)
{
	uint64_t ram = 0;
	bool inside = false, overlap = false, sized = true;
	for (unsigned i = 0; i < boot.ranges; i++) {
		const struct range *r = &boot.range[i];
		sized &= r->size != 0 && r->start + r->size > r->start;
		for (unsigned j = 0; j < i; j++) {
			const struct range *o = &boot.range[j];
			overlap |= r->start < o->start + o->size && o->start < r->start + r->size;
		}
		if (r->type != 1)
			continue;
		ram += r->size;
		inside |= r->start <= 1 * MIB && r->start + r->size > 2 * MIB;
	}
	check(boot.ranges >= 2, "map-present", "%u ranges", boot.ranges);
	check(sized, "map-sizes", "an empty or wrapping range");
	check(!overlap, "map-disjoint", "ranges overlap");
	check(inside, "map-has-kernel", "1 MiB is not RAM");
	report("ram-kib", "%lu", ram >> 10);

	/* Firmware keeps some for itself, but never as much as 2 MiB. */
	uint64_t want = option_number("mem.mib", 0) * MIB;
	if (want)
		check(ram <= want && ram + 2 * MIB > want, "ram-size", "%lu KiB of %lu KiB", ram >> 10,
		      want >> 10);
}

static void zero_page(const uint8_t *p)
{
	check(!compare(p + 0x202, "HdrS", 4), "header-magic", "%02x %02x %02x %02x", p[0x202], p[0x203],
	      p[0x204], p[0x205]);
	check(p[0x1fe] == 0x55 && p[0x1ff] == 0xaa, "header-boot-flag", "%02x%02x", p[0x1ff], p[0x1fe]);
	check(read16((uint64_t)p + 0x206) == 0x20f, "header-version", "%x", read16((uint64_t)p + 0x206));
	check(p[0x210] != 0, "type-of-loader", "zero: a loader has to name itself, 0xff if it has no id");
	check(p[0x211] & 1, "loadflags-loaded-high", "%02x", p[0x211]);
	check(p[0x1ef] == 0, "sentinel", "%02x: the loader did not clear the zero page", p[0x1ef]);
	check(read32((uint64_t)p + 0x214) == 0x100000, "code32-start", "%x", read32((uint64_t)p + 0x214));
}

TEST(boot)
{
	static const char *const how[] = {"", "linux32", "linux64", "pvh"};
	report("entry", "%s", how[boot.how]);
	value("cmdline", "%s", boot.cmdline);
	if (boot.zero_page)
		zero_page(boot.zero_page);
	memory_map();
	initrd();
}
