/* What a virtio disk does between reset and work: the status (section 2.1), queues, interrupts
   (4.1.4.5, 4.1.5.1) and their masks (PCI 3.0, 6.8.2.9), the reset of one queue (2.6.1). The disk is
   only asked for its serial. */
#include "virtio.h"

#define STATUS_INTERRUPT 8 /* of the PCI status */
#define COMMAND_NO_INTX (1 << 10)
#define MSIX_MASK 0x4000

/* A request that touches nothing. */
static bool ask(struct queue *q)
{
	uint32_t *header = (uint32_t *)virtio_buffer;
	memset(header, 0, 16);
	header[0] = 8; /* get id */
	virtio_buffer[64] = 0xee;
	struct buffer b[] = {{header, 16, false}, {virtio_buffer + 32, 20, true}, {virtio_buffer + 64, 1, true}};
	return queue_run(q, b, 3) == 21 && !virtio_buffer[64];
}

static const char *settle(struct virtio *v, uint64_t features)
{
	virtio_reset(v);
	virtio_set_status(v, S_ACKNOWLEDGE | S_DRIVER);
	virtio_accept(v, features);
	virtio_set_status(v, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
	return virtio_status(v) & S_FEATURES_OK ? "accepted" : "refused";
}

static void modern_status(struct virtio *v)
{
	uint64_t offered = virtio_offered(v);
	value("status-settled", "%s", settle(v, F_VERSION_1));
	virtio_accept(v, F_VERSION_1 | F_INDIRECT); /* too late */
	common_write(v, C_DRIVER_FEATURE_SELECT, 0);
	report("features-late", "%08x", common_read(v, C_DRIVER_FEATURE));
	report("unsupported-feature", "%s", settle(v, F_VERSION_1 | BIT(50)));
	check(!(offered & BIT(50)), "feature-50", "offered, and nobody knows it");
	report("no-version-1", "%s", settle(v, offered & 0xffffff));
	virtio_reset(v);
	common_write(v, C_CONFIG_VECTOR, 0x7ff);
	value("vector-too-large", "%04x", common_read(v, C_CONFIG_VECTOR));
	common_write(v, C_CONFIG_VECTOR, 0);
	value("vector-good", "%04x", common_read(v, C_CONFIG_VECTOR));
	virtio_select(v, 0);
	unsigned most = common_read(v, C_QUEUE_SIZE);
	common_write(v, C_QUEUE_SIZE, 16);
	value("queue-size-kept", "%u", common_read(v, C_QUEUE_SIZE));
	common_write(v, C_QUEUE_DESC, 0x12345000);
	common_write(v, C_QUEUE_DESC + 4, 1);
	value("queue-desc-kept", "%08x %08x", common_read(v, C_QUEUE_DESC + 4), common_read(v, C_QUEUE_DESC));
	virtio_reset(v);
	virtio_select(v, 0);
	check(common_read(v, C_QUEUE_SIZE) == most && !common_read(v, C_QUEUE_DESC), "queue-reset", "%u entries at %x",
	      common_read(v, C_QUEUE_SIZE), common_read(v, C_QUEUE_DESC));
	value("vector-reset", "%04x", common_read(v, C_CONFIG_VECTOR));
}

/* The ISR status and the INTx pin it drives, with the processor not looking. */
static void isr(struct virtio *v, struct queue *q)
{
	cli();
	virtio_isr(v);
	value("isr-idle", "%02x", virtio_isr(v));
	value("asked", "%u", ask(q));
	bool pin = WAIT_US(pci_read16(v->fn, 6) & STATUS_INTERRUPT, SOON);
	value("isr-pin", "%u", pin);
	value("isr-used", "%02x", virtio_isr(v));
	value("isr-cleared", "%02x pin %u", virtio_isr(v), !!(pci_read16(v->fn, 6) & STATUS_INTERRUPT));
	sti();
	uint16_t command = pci_read16(v->fn, 4);
	uint32_t before = queue_irqs(q);
	pci_write16(v->fn, 4, command | COMMAND_NO_INTX);
	ask(q);
	delay_us(500);
	check(queue_irqs(q) == before, "intx-disabled", "%u interrupts", queue_irqs(q) - before);
	pci_write16(v->fn, 4, command);
	check(WAIT_US(queue_irqs(q) > before, SOON), "intx-enabled", "no interrupt");
	value("isr-seen", "%02x", v->isr_seen);
}

static uint32_t pending(struct virtio *v, unsigned entry) { return read32(v->pending) >> entry & 1; }

/* A masked message is pending, and comes when the mask goes. */
static void masks(struct virtio *v, struct queue *q)
{
	unsigned entry = msix_entry(v, 0);
	for (unsigned whole = 0; whole <= 1; whole++) {
		const char *names[2][3] = {{"entry-masked", "entry-pending", "entry-unmasked"},
					   {"function-masked", "function-pending", "function-unmasked"}};
		uint16_t control = pci_read16(v->fn, v->msix_cap + 2u);
		quiet(q->vector, 100);
		uint32_t before = queue_irqs(q);
		if (whole)
			pci_write16(v->fn, v->msix_cap + 2u, control | MSIX_MASK);
		else
			msix_mask(v, entry, true);
		ask(q);
		check(WAIT_US(pending(v, entry), SOON), names[whole][1], "%08x", read32(v->pending));
		check(queue_irqs(q) == before, names[whole][0], "%u interrupts", queue_irqs(q) - before);
		if (whole)
			pci_write16(v->fn, v->msix_cap + 2u, control);
		else
			msix_mask(v, entry, false);
		check(WAIT_US(queue_irqs(q) > before, SOON) && !pending(v, entry), names[whole][2],
		      "%u interrupts, pending %u", queue_irqs(q) - before, pending(v, entry));
	}
	value("entry", "%08x %08x %08x", read32(v->table + 16 * entry + 4), read32(v->table + 16 * entry + 8),
	      read32(v->table + 16 * entry + 12));
	check(!(pci_read16(v->fn, 6) & STATUS_INTERRUPT), "no-intx", "the pin is asserted");
}

/* The queue is taken away, and comes back where the driver says. */
static void queue_resets(struct virtio *v, struct queue *q)
{
	for (unsigned i = 0; i < 3; i++) {
		virtio_select(v, 0);
		common_write(v, C_QUEUE_RESET, 1);
		bool done = WAIT_US(!common_read(v, C_QUEUE_RESET), SOON);
		value("queue-resets", "%u enabled %u", done, common_read(v, C_QUEUE_ENABLE));
		if (!queue_setup(v, 0))
			return;
		value("queue-again", "%u", ask(q));
	}
	value("status-after", "%02x", virtio_status(v));
}

TEST_SLOW(virtio_states, "virtio-states")
{
	struct virtio *v = virtio_find(VIRTIO_BLK, 0);
	if (!check(v, "present", "there is no virtio disk"))
		return;
	struct queue *q = &v->queue[0];
	value("status-first", "%u", virtio_reset(v));
	virtio_set_status(v, S_ACKNOWLEDGE);
	value("status-acknowledged", "%02x", virtio_status(v));
	virtio_set_status(v, S_ACKNOWLEDGE | S_DRIVER);
	value("status-driver", "%02x", virtio_status(v));
	if (!v->legacy)
		modern_status(v);
	if (!virtio_open(v, F_RING_RESET))
		return;
	if (v->msix)
		masks(v, q);
	else
		isr(v, q);
	if (v->features & F_RING_RESET)
		queue_resets(v, q);
	unsigned good = 0;
	for (unsigned i = 0; i < 4; i++) { /* a reset in the middle of everything */
		good += virtio_start(v, 0) && ask(q);
		queue_notify(q);
	}
	value("restarts", "%u", good);
	virtio_stop(v);
	value("isr-after-reset", "%02x", virtio_isr(v));
}
