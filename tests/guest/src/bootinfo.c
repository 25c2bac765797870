/* What the loader told us, from the zero page of the Linux/x86 boot protocol
   (Documentation/arch/x86/zero-page.rst) or from PVH's hvm_start_info (Xen, start_info.h). */
#include "kernel.h"

struct bootinfo boot;

/* hvm_start_info, version 1 */
struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, cmdline, rsdp;
	uint64_t memory_map;
	uint32_t memory_map_entries, reserved;
};
#define START_INFO_MAGIC 0x336ec578

struct module {
	uint64_t address, size, cmdline, reserved;
};

struct memory_map_entry {
	uint64_t address, size;
	uint32_t type, reserved;
};

static void copy_cmdline(uint64_t from)
{
	if (!from)
		return;
	for (unsigned i = 0; i < sizeof boot.cmdline - 1; i++) {
		boot.cmdline[i] = (char)read8(from + i);
		if (!boot.cmdline[i])
			break;
	}
}

static void add_range(uint64_t start, uint64_t size, uint32_t type)
{
	if (boot.ranges < sizeof boot.range / sizeof boot.range[0])
		boot.range[boot.ranges++] = (struct range){start, size, type};
}

static void from_zero_page(uint64_t p)
{
	boot.zero_page = (const uint8_t *)p;
	boot.rsdp = read64(p + 0x070);
	boot.initrd = read32(p + 0x218) | (uint64_t)read32(p + 0x0c0) << 32;
	boot.initrd_size = read32(p + 0x21c) | (uint64_t)read32(p + 0x0c4) << 32;
	copy_cmdline(read32(p + 0x228) | (uint64_t)read32(p + 0x0c8) << 32);
	for (unsigned i = 0; i < read8(p + 0x1e8) && i < 128; i++) {
		uint64_t e = p + 0x2d0 + i * 20;
		add_range(read64(e), read64(e + 8), read32(e + 16));
	}
}

static void from_start_info(uint64_t p)
{
	const struct start_info *si = (const struct start_info *)p;
	if (si->magic != START_INFO_MAGIC)
		return; /* and the boot test finds no memory map */
	boot.rsdp = si->rsdp;
	copy_cmdline(si->cmdline);
	if (si->modules) {
		const struct module *m = (const struct module *)si->module_list;
		boot.initrd = m->address;
		boot.initrd_size = m->size;
	}
	if (si->version < 1)
		return;
	const struct memory_map_entry *e = (const struct memory_map_entry *)si->memory_map;
	for (unsigned i = 0; i < si->memory_map_entries; i++)
		add_range(e[i].address, e[i].size, e[i].type);
}

void bootinfo_init(unsigned how, uint64_t info)
{
	boot.how = how;
	if (how == BOOTED_PVH)
		from_start_info(info);
	else
		from_zero_page(info);
}

const char *option(const char *name)
{
	size_t n = length(name);
	for (const char *p = boot.cmdline; *p; p++) {
		if (p != boot.cmdline && p[-1] != ' ')
			continue;
		if (!compare(p, name, n) && p[n] == '=')
			return p + n + 1;
	}
	return NULL;
}

uint64_t option_number(const char *name, uint64_t otherwise)
{
	const char *p = option(name);
	if (!p)
		return otherwise;
	unsigned base = 10;
	if (p[0] == '0' && p[1] == 'x') {
		base = 16;
		p += 2;
	}
	uint64_t v = 0;
	for (; *p; p++) {
		unsigned digit;
		if (*p >= '0' && *p <= '9')
			digit = (unsigned)(*p - '0');
		else if (base == 16 && *p >= 'a' && *p <= 'f')
			digit = (unsigned)(*p - 'a') + 10;
		else
			break;
		v = v * base + digit;
	}
	return v;
}

bool option_has(const char *name, const char *word)
{
	const char *p = option(name);
	size_t n = length(word);
	if (!p)
		return false;
	for (;;) {
		if (!compare(p, word, n) && (!p[n] || p[n] == ' ' || p[n] == ','))
			return true;
		while (*p && *p != ' ' && *p != ',')
			p++;
		if (*p != ',')
			return false;
		p++;
	}
}
