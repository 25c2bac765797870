/* Bringing a virtio device up (section 3.1) by either interface. */
#include "virtio.h"

uint8_t virtio_status(struct virtio *v)
{
	return (uint8_t)(v->legacy ? inb(v->io + L_STATUS) : common_read(v, C_STATUS));
}

void virtio_set_status(struct virtio *v, uint8_t status)
{
	if (v->legacy)
		outb(v->io + L_STATUS, status);
	else
		common_write(v, C_STATUS, status);
}

uint8_t virtio_isr(struct virtio *v) { return v->legacy ? inb(v->io + L_ISR) : read8(v->isr); }

bool virtio_reset(struct virtio *v)
{
	virtio_set_status(v, 0);
	return WAIT_US(virtio_status(v) == 0, SOON);
}

uint64_t virtio_offered(struct virtio *v)
{
	if (v->legacy)
		return inl(v->io + L_DEVICE_FEATURES);
	common_write(v, C_DEVICE_FEATURE_SELECT, 0);
	uint64_t low = common_read(v, C_DEVICE_FEATURE);
	common_write(v, C_DEVICE_FEATURE_SELECT, 1);
	return low | (uint64_t)common_read(v, C_DEVICE_FEATURE) << 32;
}

void virtio_accept(struct virtio *v, uint64_t features)
{
	if (v->legacy) {
		outl(v->io + L_DRIVER_FEATURES, (uint32_t)features);
		return;
	}
	for (uint32_t half = 0; half < 2; half++) {
		common_write(v, C_DRIVER_FEATURE_SELECT, half);
		common_write(v, C_DRIVER_FEATURE, (uint32_t)(features >> 32 * half));
	}
}

void virtio_select(struct virtio *v, unsigned queue)
{
	if (v->legacy)
		outw(v->io + L_QUEUE_SELECT, (uint16_t)queue);
	else
		common_write(v, C_QUEUE_SELECT, queue);
}

bool virtio_negotiate(struct virtio *v, uint64_t features)
{
	if (!virtio_reset(v))
		return check(false, "reset", "status %02x", virtio_status(v));
	virtio_set_status(v, S_ACKNOWLEDGE);
	virtio_set_status(v, S_ACKNOWLEDGE | S_DRIVER);
	features |= F_INDIRECT | F_EVENT_INDEX | F_VERSION_1 | (v->packed ? F_PACKED : 0);
	if (v->legacy)
		features = (features | F_ANY_LAYOUT) & 0xffffffff;
	v->offered = virtio_offered(v);
	v->features = v->offered & features;
	virtio_accept(v, v->features);
	if (v->packed && !(v->features & F_PACKED))
		return check(false, "packed", "packed rings are not offered: %016lx", v->offered);
	if (v->legacy)
		return true;
	virtio_set_status(v, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK);
	return virtio_status(v) & S_FEATURES_OK ||
	       check(false, "features-ok", "%016lx of %016lx refused", v->features, v->offered);
}

static unsigned count_queues(struct virtio *v)
{
	if (!v->legacy)
		return common_read(v, C_NUM_QUEUES);
	for (unsigned n = 0;; n++) {
		virtio_select(v, n);
		if (n == 1024 || !inw(v->io + L_QUEUE_SIZE))
			return n;
	}
}

bool virtio_start(struct virtio *v, uint64_t features)
{
	if (!virtio_negotiate(v, features))
		return false;
	if (!v->queues)
		v->queues = count_queues(v);
	for (unsigned i = 0; i < v->queues && i < MAX_QUEUES; i++)
		if (!queue_setup(v, i))
			return false;
	virtio_set_status(v, (uint8_t)(S_ACKNOWLEDGE | S_DRIVER | S_DRIVER_OK | (v->legacy ? 0 : S_FEATURES_OK)));
	return true;
}

bool virtio_open(struct virtio *v, uint64_t features)
{
	if (!check(v->legacy ? v->io : v->common && v->notify && v->isr, "interface",
		   "the function has not got it"))
		return false;
	virtio_irq_on(v);
	if (!virtio_start(v, features)) {
		virtio_stop(v);
		return false;
	}
	value("driver-features", "%016lx", v->features);
	value("status", "%02x", virtio_status(v));
	return true;
}

void virtio_stop(struct virtio *v)
{
	unsigned unknown = 0;
	for (unsigned i = 0; i < MAX_QUEUES; i++)
		unknown += v->queue[i].unknown;
	check(!unknown, "used-ids", "%u used chains were not in use", unknown);
	virtio_reset(v);
	virtio_irq_off(v);
}
