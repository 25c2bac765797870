/* The PCI side of every virtio function: what a driver finds before it does anything (section 4.1.2 to
   4.1.4). The keys start with the device's name. */
#include "virtio.h"

#define CAPABILITIES 0x34
#define CAP_MSIX 0x11
#define CAP_VENDOR 9
/* Features that belong to hosts: rings they know, and legacy ones. All others are a device's. */
#define HOSTS_OWN (F_NOTIFY_ON_EMPTY | F_ANY_LAYOUT | F_BAD_FEATURE | F_IN_ORDER | F_PACKED | F_RING_RESET)

static const char *key(struct virtio *v, const char *what)
{
	static char name[48];
	format(name, sizeof name, "%s-%s", virtio_name(v->type), what);
	return name;
}

static void identity(struct virtio *v)
{
	uint32_t id = pci_read32(v->fn, 0), class = pci_read32(v->fn, 8), subsystem = pci_read32(v->fn, 0x2c);
	value(key(v, "id"), "%04x:%04x class %06x rev %02x subsystem %04x:%04x pin %u", id & 0xffff, id >> 16,
	      class >> 8, class & 0xff, subsystem & 0xffff, subsystem >> 16, pci_read8(v->fn, 0x3d));
	value(key(v, "status"), "%04x", pci_read16(v->fn, 6) & 0xfff7); /* without the interrupt's */
	for (unsigned i = 0; i < 6; i++)
		if (v->bar_size[i])
			value(key(v, "bar"), "%u: %s flags %x, %lu bytes", i, v->bar_flags[i] & 1 ? "I/O" : "memory",
			      v->bar_flags[i], v->bar_size[i]);
}

static void capability(struct virtio *v, unsigned cap)
{
	uint8_t id = pci_read8(v->fn, cap), bytes = pci_read8(v->fn, cap + 2u);
	if (id == CAP_MSIX)
		value(key(v, "msix"), "at %02x: %u entries at %08x, pending %08x", cap, v->entries,
		      pci_read32(v->fn, cap + 4u), pci_read32(v->fn, cap + 8u));
	else if (id == CAP_VENDOR)
		value(key(v, "cap"), "at %02x: length %u type %u bar %u offset %x length %x more %x", cap, bytes,
		      pci_read8(v->fn, cap + 3u), pci_read8(v->fn, cap + 4u), pci_read32(v->fn, cap + 8u),
		      pci_read32(v->fn, cap + 12u), bytes > 16 ? pci_read32(v->fn, cap + 16u) : 0);
	else
		value(key(v, "cap"), "at %02x: %02x", cap, id);
}

/* In the order of their places; how they are linked is the host's choice. */
static void capabilities(struct virtio *v)
{
	uint64_t at = 0;
	uint8_t cap = pci_read8(v->fn, CAPABILITIES);
	for (unsigned n = 0; cap && n < 48; n++, cap = pci_read8(v->fn, cap + 1u))
		at |= BIT(cap / 4);
	for (unsigned n = 0; n < 64; n++)
		if (at & BIT(n))
			capability(v, 4 * n);
}

static void modern(struct virtio *v)
{
	uint64_t offered = virtio_offered(v);
	value(key(v, "features"), "%016lx", offered & ~HOSTS_OWN);
	report(key(v, "ring-features"), "%016lx", offered & HOSTS_OWN);
	check(!(offered & (F_NOTIFY_ON_EMPTY | F_ANY_LAYOUT | F_BAD_FEATURE)), key(v, "no-legacy-features"), "%016lx",
	      offered);
	unsigned queues = common_read(v, C_NUM_QUEUES);
	value(key(v, "queues"), "%u", queues);
	for (unsigned i = 0; i < queues && i < MAX_QUEUES; i++) {
		virtio_select(v, i);
		value(key(v, "queue"), "%u: size %u, doorbell %u, enabled %u", i, common_read(v, C_QUEUE_SIZE),
		      common_read(v, C_QUEUE_NOTIFY_OFF), common_read(v, C_QUEUE_ENABLE));
	}
	virtio_select(v, queues);
	value(key(v, "queue-beyond"), "%u", common_read(v, C_QUEUE_SIZE));
	common_write(v, C_DEVICE_FEATURE_SELECT, 2);
	value(key(v, "features-beyond"), "%08x", common_read(v, C_DEVICE_FEATURE));
}

static void legacy(struct virtio *v)
{
	v->legacy = true;
	value(key(v, "legacy-features"), "%08lx", virtio_offered(v) & ~HOSTS_OWN);
	for (unsigned i = 0; i < 3; i++) {
		virtio_select(v, i);
		value(key(v, "legacy-queue"), "%u: size %u, address %x", i, inw(v->io + L_QUEUE_SIZE),
		      inl(v->io + L_QUEUE_ADDRESS));
	}
	value(key(v, "legacy-status"), "%02x", virtio_status(v));
	v->legacy = false;
}

/* The configuration, and that it reads alike by all widths and by both interfaces. */
static void configuration(struct virtio *v)
{
	static const uint8_t bytes[] = {[VIRTIO_NET] = 8, [VIRTIO_BLK] = 56, [VIRTIO_CONSOLE] = 8, [VIRTIO_BALLOON] = 8};
	unsigned n = v->type < sizeof bytes ? bytes[v->type] : 0;
	uint8_t by1[64], by2[64], by4[64];
	uint32_t generation = common_read(v, C_GENERATION);
	for (unsigned i = 0; i < n; i++)
		by1[i] = (uint8_t)config_read(v, i, 1);
	for (unsigned i = 0; i < n; i += 2)
		*(uint16_t *)(by2 + i) = (uint16_t)config_read(v, i, 2);
	for (unsigned i = 0; i < n; i += 4)
		*(uint32_t *)(by4 + i) = config_read(v, i, 4);
	/* The topology and the limits of discarding are the host's choice: 24-31 and from 36 on. */
	if (v->type == VIRTIO_BLK) {
		report(key(v, "config-choices"), "%s", hex(by4 + 24, n - 24));
		value(key(v, "config-cache"), "%s", hex(by4 + 32, 4));
	}
	if (n)
		value(key(v, "config"), "%s", hex(by4, v->type == VIRTIO_BLK ? 24 : n));
	check(!compare(by1, by4, n) && !compare(by2, by4, n), key(v, "config-widths"), "%s", hex(by1, n));
	v->legacy = true;
	for (unsigned i = 0; i < n; i++)
		by2[i] = (uint8_t)config_read(v, i, 1);
	v->legacy = false;
	check(!compare(by1, by2, n), key(v, "config-legacy"), "%s", hex(by2, n));
	check(common_read(v, C_GENERATION) == generation, key(v, "generation"), "it changes by itself");
}

/* The window in configuration space for those who reach no BAR (section 4.1.4.9). */
static uint32_t through_window(struct virtio *v, uint32_t offset, uint32_t bytes)
{
	pci_write8(v->fn, v->window_cap + 4u, 4);
	pci_write32(v->fn, v->window_cap + 8u, offset);
	pci_write32(v->fn, v->window_cap + 12u, bytes);
	uint32_t got = pci_read32(v->fn, v->window_cap + 16u);
	return bytes == 4 ? got : got & ((1u << 8 * bytes) - 1);
}

static void window(struct virtio *v)
{
	common_write(v, C_DEVICE_FEATURE_SELECT, 0);
	check(through_window(v, C_NUM_QUEUES, 2) == common_read(v, C_NUM_QUEUES) &&
		      through_window(v, C_DEVICE_FEATURE, 4) == common_read(v, C_DEVICE_FEATURE),
	      key(v, "window"), "num_queues %u, features %08x", through_window(v, C_NUM_QUEUES, 2),
	      through_window(v, C_DEVICE_FEATURE, 4));
	pci_write32(v->fn, v->window_cap + 8u, C_STATUS);
	pci_write32(v->fn, v->window_cap + 12u, 1);
	pci_write8(v->fn, v->window_cap + 16u, S_ACKNOWLEDGE);
	check(virtio_status(v) == S_ACKNOWLEDGE, key(v, "window-write"), "status %02x", virtio_status(v));
	virtio_reset(v);
}

TEST_SLOW(virtio_pci, "virtio-pci")
{
	unsigned found = 0;
	for (unsigned type = VIRTIO_NET; type <= VIRTIO_BALLOON; type++) {
		struct virtio *v = virtio_find(type, 0);
		if (!v)
			continue;
		found++;
		v->legacy = false;
		identity(v);
		capabilities(v);
		if (!check(v->io && v->common && v->window_cap, key(v, "interfaces"), "one is missing") || !virtio_reset(v))
			continue;
		modern(v);
		legacy(v);
		configuration(v);
		window(v);
	}
	check(found, "functions", "there is no virtio function");
}
