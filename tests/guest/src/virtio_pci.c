/* virtio over PCI (section 4.1): functions, their BARs and their capabilities (PCI 3.0, 6.2.5 and 6.7),
   and the registers they lead to. */
#include "virtio.h"

#define COMMAND 0x04
#define COMMAND_IO 1
#define COMMAND_MEMORY 2
#define COMMAND_MASTER 4
#define BAR0 0x10
#define CAPABILITIES 0x34
#define BAR_IO 1
#define BAR_64 4
#define CAP_MSIX 0x11
#define CAP_VENDOR 0x09

/* Where firmware did not place BARs, we do. */
#define FREE_IO 0xc000
#define FREE_MEMORY 0xe0000000

const char *virtio_name(unsigned type)
{
	static const char *const names[] = {"none", "net", "blk", "console", "rng", "balloon"};
	return names[type <= VIRTIO_BALLOON ? type : 0];
}

static unsigned type_of(uint32_t fn)
{
	static const uint8_t legacy[] = {VIRTIO_NET, VIRTIO_BLK, VIRTIO_BALLOON, VIRTIO_CONSOLE, 0, VIRTIO_RNG};
	uint32_t id = pci_read32(fn, 0);
	unsigned device = id >> 16;
	if ((id & 0xffff) != 0x1af4)
		return 0;
	if (device >= 0x1040 && device <= 0x107f)
		return device - 0x1040;
	return device >= 0x1000 && device < 0x1000 + sizeof legacy ? legacy[device - 0x1000] : 0;
}

/* The size of a BAR is what it does not keep of all ones. */
static void size_bar(struct virtio *v, unsigned i)
{
	unsigned reg = BAR0 + 4 * i;
	uint32_t was = pci_read32(v->fn, reg);
	pci_write32(v->fn, reg, 0xffffffff);
	uint32_t mask = pci_read32(v->fn, reg);
	pci_write32(v->fn, reg, was);
	if (!mask)
		return;
	uint32_t flags = mask & BAR_IO ? 3 : 15;
	v->bar_flags[i] = (uint8_t)(mask & flags);
	v->bar_size[i] = -(mask & ~flags) & (mask & BAR_IO ? 0xffff : 0xffffffff);
	v->bar[i] = was & ~flags;
}

static void place_bar(struct virtio *v, unsigned i)
{
	static uint64_t free_io = FREE_IO, free_memory = FREE_MEMORY;
	bool io = v->bar_flags[i] & BAR_IO, wide = !io && v->bar_flags[i] & BAR_64;
	uint64_t size = v->bar_size[i], *from = io ? &free_io : &free_memory;
	if (v->bar[i] && !(wide && pci_read32(v->fn, BAR0 + 4 * i + 4)))
		return;
	v->bar[i] = (*from + size - 1) & -size;
	*from = v->bar[i] + size;
	pci_write32(v->fn, BAR0 + 4 * i, (uint32_t)v->bar[i]);
	if (wide)
		pci_write32(v->fn, BAR0 + 4 * i + 4, 0);
}

static void open_bars(struct virtio *v)
{
	pci_write16(v->fn, COMMAND, 0);
	for (unsigned i = 0; i < 6; i++) {
		size_bar(v, i);
		if (!v->bar_size[i])
			continue;
		place_bar(v, i);
		if (!(v->bar_flags[i] & BAR_IO) && v->bar_flags[i] & BAR_64)
			i++; /* the upper half */
	}
	pci_write16(v->fn, COMMAND, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER);
	if (v->bar_size[0] && v->bar_flags[0] & BAR_IO)
		v->io = (uint16_t)v->bar[0];
}

static void open_capability(struct virtio *v, uint8_t cap)
{
	uint8_t id = pci_read8(v->fn, cap);
	if (id == CAP_MSIX) {
		uint32_t table = pci_read32(v->fn, cap + 4u), pending = pci_read32(v->fn, cap + 8u);
		v->msix_cap = cap;
		v->entries = (pci_read16(v->fn, cap + 2u) & 0x7ffu) + 1;
		v->table = v->bar[table & 7] + (table & ~7u);
		v->pending = v->bar[pending & 7] + (pending & ~7u);
		return;
	}
	if (id != CAP_VENDOR)
		return;
	uint8_t kind = pci_read8(v->fn, cap + 3u), bar = pci_read8(v->fn, cap + 4u);
	uint64_t at = (bar < 6 ? v->bar[bar] : 0) + pci_read32(v->fn, cap + 8u);
	switch (kind) {
	case 1:
		v->common = at;
		break;
	case 2:
		v->notify = at;
		v->notify_multiplier = pci_read32(v->fn, cap + 16u);
		break;
	case 3:
		v->isr = at;
		break;
	case 4:
		v->config = at;
		break;
	case 5:
		v->window_cap = cap;
	}
}

struct virtio *virtio_find(unsigned type, unsigned nth)
{
	static struct virtio found;
	struct virtio *v = &found;
	const char *how = option("virtio"), *irq = option("irq");
	for (unsigned dev = 0; dev < 32; dev++) {
		uint32_t fn = PCI_FN(0, dev, 0);
		if (type_of(fn) != type || nth--)
			continue;
		zero(v, sizeof *v);
		v->fn = fn;
		v->type = type;
		v->legacy = how && !compare(how, "legacy", 6);
		v->packed = how && !compare(how, "packed", 6);
		open_bars(v);
		uint8_t cap = pci_read8(fn, CAPABILITIES);
		for (unsigned n = 0; cap && n < 48; n++, cap = pci_read8(fn, cap + 1u))
			open_capability(v, cap);
		v->msix = irq && !compare(irq, "msix", 4) && v->entries;
		return v;
	}
	return NULL;
}

uint32_t bar_read(uint64_t at, unsigned width)
{
	if (at < 0x10000)
		return width == 1 ? inb((uint16_t)at) : width == 2 ? inw((uint16_t)at) : inl((uint16_t)at);
	return width == 1 ? read8(at) : width == 2 ? read16(at) : read32(at);
}

void bar_write(uint64_t at, unsigned width, uint32_t value)
{
	if (at < 0x10000) {
		if (width == 1)
			outb((uint16_t)at, (uint8_t)value);
		else if (width == 2)
			outw((uint16_t)at, (uint16_t)value);
		else
			outl((uint16_t)at, value);
	} else if (width == 1) {
		*(volatile uint8_t *)at = (uint8_t)value;
	} else if (width == 2) {
		*(volatile uint16_t *)at = (uint16_t)value;
	} else {
		write32(at, value);
	}
}

static unsigned common_width(unsigned reg)
{
	if (reg == C_STATUS || reg == C_GENERATION)
		return 1;
	return reg < C_CONFIG_VECTOR || (reg >= C_QUEUE_DESC && reg < C_QUEUE_DEVICE + 8) ? 4 : 2;
}

uint32_t common_read(struct virtio *v, unsigned reg) { return bar_read(v->common + reg, common_width(reg)); }

void common_write(struct virtio *v, unsigned reg, uint32_t value)
{
	bar_write(v->common + reg, common_width(reg), value);
}

/* The legacy header is longer while MSI-X is enabled. */
static uint64_t config_at(struct virtio *v, unsigned offset)
{
	if (v->legacy)
		return v->io + (v->msix_cap && pci_read16(v->fn, v->msix_cap + 2u) & 0x8000 ? 0x18 : 0x14) + offset;
	return v->config + offset;
}

uint32_t config_read(struct virtio *v, unsigned offset, unsigned width)
{
	return bar_read(config_at(v, offset), width);
}

void config_write(struct virtio *v, unsigned offset, unsigned width, uint32_t value)
{
	bar_write(config_at(v, offset), width, value);
}
