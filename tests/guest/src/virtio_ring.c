/* Virtqueues, split (section 2.7) and packed (section 2.8), from the driver's side. */
#include "virtio.h"

/* Outside the image, since nothing here has to be zero at the start. */
#define NOINIT __attribute__((noinit, aligned(4096)))
#define RING_BYTES 0x3000 /* of 256 split entries in the legacy layout */

static uint8_t rings[MAX_QUEUES][RING_BYTES] NOINIT;
static struct descriptor tables[MAX_QUEUES][SMALL_SPLIT][MAX_CHAIN] NOINIT;
uint8_t virtio_buffer[BUFFER_BYTES] NOINIT;

#define barrier() __sync_synchronize()

static volatile uint16_t *cell(uint64_t at) { return (volatile uint16_t *)at; }
static volatile struct descriptor *entry(struct queue *q, unsigned i)
{
	return (volatile struct descriptor *)q->desc + i;
}

/* The areas: in the legacy layout of section 2.7.2, which serves all. */
static void place(struct queue *q)
{
	q->desc = (uint64_t)rings[q->index];
	if (q->packed) {
		q->driver = q->desc + 16 * SMALL_PACKED;
		q->device = q->driver + 16;
		zero((void *)q->desc, 16 * SMALL_PACKED + 32);
		return;
	}
	q->driver = q->desc + 16 * q->size;
	q->device = (q->driver + 6 + 2 * q->size + 4095) & ~4095ull;
	zero((void *)q->driver, (6 + 2 * q->size + 7) & ~7u);
	zero((void *)q->device, (6 + 8 * q->size + 7) & ~7u);
}

void queue_clear(struct queue *q)
{
	q->next = q->taken = q->unkicked = 0;
	q->in_use = q->kicks = q->kicks_saved = 0;
	q->wrap = q->taken_wrap = true;
	q->quiet = q->indirect = false;
	memset(q->entries, 0, sizeof q->entries);
	/* Descriptors of the split table belong to ids: id n has the four from 4 * n on. */
	q->free_ids = 0;
	unsigned ids = q->packed ? q->size : q->size / 4;
	while (ids)
		q->free_id[q->free_ids++] = --ids;
	place(q);
	queue_interrupts(q, true);
}

static void set_area(struct virtio *v, unsigned reg, uint64_t at)
{
	common_write(v, reg, (uint32_t)at);
	common_write(v, reg + 4, (uint32_t)(at >> 32));
}

static bool setup_legacy(struct virtio *v, struct queue *q)
{
	q->size = inw(v->io + L_QUEUE_SIZE);
	if (!q->size || q->size > MAX_RING)
		return check(false, "queue-size", "queue %u has %u entries", q->index, q->size);
	queue_clear(q);
	outl(v->io + L_QUEUE_ADDRESS, (uint32_t)(q->desc >> 12));
	if (v->msix)
		outw(v->io + L_QUEUE_VECTOR, (uint16_t)msix_entry(v, q->index));
	return !v->msix || inw(v->io + L_QUEUE_VECTOR) == msix_entry(v, q->index) ||
	       check(false, "queue-vector", "queue %u has got none", q->index);
}

bool queue_setup(struct virtio *v, unsigned index)
{
	struct queue *q = &v->queue[index];
	q->v = v;
	q->index = index;
	q->packed = v->packed;
	q->event_index = v->features & F_EVENT_INDEX;
	virtio_select(v, index);
	if (v->legacy)
		return setup_legacy(v, q);
	unsigned most = common_read(v, C_QUEUE_SIZE);
	q->size = v->packed ? SMALL_PACKED : SMALL_SPLIT;
	if (q->size > most)
		q->size = most;
	if (!q->size)
		return check(false, "queue-size", "queue %u has none", index);
	common_write(v, C_QUEUE_SIZE, q->size);
	queue_clear(q);
	set_area(v, C_QUEUE_DESC, q->desc);
	set_area(v, C_QUEUE_DRIVER, q->driver);
	set_area(v, C_QUEUE_DEVICE, q->device);
	if (v->msix)
		common_write(v, C_QUEUE_VECTOR, msix_entry(v, index));
	if (v->msix && common_read(v, C_QUEUE_VECTOR) != msix_entry(v, index))
		return check(false, "queue-vector", "queue %u has got none", index);
	common_write(v, C_QUEUE_ENABLE, 1);
	return true;
}

static void advance(struct queue *q, uint16_t *at, bool *wrap, unsigned n)
{
	*at = (uint16_t)(*at + n);
	if (*at >= q->size) {
		*at = (uint16_t)(*at - q->size);
		*wrap = !*wrap;
	}
}

/* A list of descriptors; the first one's flags, which make it available, are written last. */
static void add_packed(struct queue *q, const struct buffer *b, unsigned n, unsigned id, uint16_t extra)
{
	volatile struct descriptor *first = entry(q, q->next);
	uint16_t first_flags = 0, at = q->next;
	bool wrap = q->wrap;
	for (unsigned i = 0; i < n; i++) {
		volatile struct descriptor *d = entry(q, at);
		uint16_t flags = (uint16_t)((wrap ? D_AVAIL : D_USED) | extra | (b[i].write ? D_WRITE : 0) |
					    (i + 1 < n ? D_NEXT : 0));
		d->address = (uint64_t)b[i].at;
		d->length = b[i].size;
		d->id = (uint16_t)id;
		if (i)
			d->flags = flags;
		else
			first_flags = flags;
		advance(q, &at, &wrap, 1);
	}
	barrier();
	first->flags = first_flags;
	q->next = at;
	q->wrap = wrap;
	q->unkicked = (uint16_t)(q->unkicked + n);
}

static void add_split(struct queue *q, const struct buffer *b, unsigned n, unsigned head, uint16_t extra)
{
	for (unsigned i = 0; i < n; i++) {
		volatile struct descriptor *d = entry(q, head + i);
		d->address = (uint64_t)b[i].at;
		d->length = b[i].size;
		d->id = (uint16_t)(extra | (b[i].write ? D_WRITE : 0) | (i + 1 < n ? D_NEXT : 0));
		d->flags = (uint16_t)(head + i + 1);
	}
	*cell(q->driver + 4 + 2 * (q->next % q->size)) = (uint16_t)head;
	barrier();
	*cell(q->driver + 2) = ++q->next;
	q->unkicked++;
}

/* A split ring gives 4 descriptors to an id, a packed one as many as the chain needs. */
int queue_add(struct queue *q, const struct buffer *b, unsigned n)
{
	struct buffer table;
	uint16_t extra = 0;
	if (!q->free_ids || n > MAX_CHAIN)
		return -1;
	unsigned id = q->free_id[q->free_ids - 1];
	if (q->indirect) {
		struct descriptor *t = tables[q->index][id % SMALL_SPLIT];
		for (unsigned i = 0; i < n; i++) {
			uint16_t flags = (uint16_t)((b[i].write ? D_WRITE : 0) | (i + 1 < n && !q->packed ? D_NEXT : 0));
			t[i] = (struct descriptor){(uint64_t)b[i].at, b[i].size, 0, 0};
			*(q->packed ? &t[i].flags : &t[i].id) = flags;
			if (!q->packed)
				t[i].flags = (uint16_t)(i + 1);
		}
		table = (struct buffer){t, 16 * n, false};
		b = &table;
		n = 1;
		extra = D_INDIRECT;
	}
	if (q->packed ? n > q->size - q->in_use : n > 4)
		return -1;
	q->free_ids--;
	q->in_use += n;
	q->entries[id] = (uint16_t)n;
	if (q->packed)
		add_packed(q, b, n, id, extra);
	else
		add_split(q, b, n, 4 * id, extra);
	return (int)id;
}

/* Sections 2.7.10 and 2.8.14: does the device want to know of what was added since last asked? */
static bool wanted(struct queue *q)
{
	if (!q->packed && !q->event_index)
		return !(*cell(q->device) & 1);
	uint16_t event = *cell(q->device + 4 + 8 * q->size), now = q->next;
	if (q->packed) {
		uint16_t flags = *cell(q->device + 2) & 3;
		if (flags != 2)
			return flags == 0;
		uint16_t at = *cell(q->device);
		event = at & 0x7fff;
		if ((at >> 15 != 0) != q->wrap)
			event = (uint16_t)(event - q->size);
	}
	return (uint16_t)(now - event - 1) < q->unkicked;
}

void queue_notify(struct queue *q)
{
	struct virtio *v = q->v;
	q->kicks++;
	if (v->legacy) {
		outw(v->io + L_QUEUE_NOTIFY, (uint16_t)q->index);
		return;
	}
	virtio_select(v, q->index);
	bar_write(v->notify + common_read(v, C_QUEUE_NOTIFY_OFF) * v->notify_multiplier, 2, q->index);
}

void queue_kick(struct queue *q)
{
	barrier();
	if (wanted(q))
		queue_notify(q);
	else
		q->kicks_saved++;
	q->unkicked = 0;
}

void queue_interrupts(struct queue *q, bool on)
{
	q->quiet = !on;
	if (q->packed && q->event_index && on) { /* of the next one that is used */
		*cell(q->driver) = (uint16_t)(q->taken | (q->taken_wrap ? 1 << 15 : 0));
		barrier();
		*cell(q->driver + 2) = 2;
	} else if (q->packed) {
		*cell(q->driver + 2) = on ? 0 : 1;
	} else if (q->event_index) {
		*cell(q->driver + 4 + 2 * q->size) = (uint16_t)(on ? q->taken : q->taken - 0x4000);
	} else {
		*cell(q->driver) = on ? 0 : 1;
	}
	barrier();
}

bool queue_take(struct queue *q, unsigned *id, uint32_t *length)
{
	if (q->packed) {
		volatile struct descriptor *d = entry(q, q->taken);
		uint16_t flags = d->flags;
		if (!(flags & D_AVAIL) != !(flags & D_USED) || !(flags & D_USED) == q->taken_wrap)
			return false;
		barrier();
		*id = d->id;
		*length = d->length; /* there are devices which forget to set D_WRITE with it */
	} else {
		if (*cell(q->device + 2) == q->taken)
			return false;
		barrier();
		uint64_t used = q->device + 4 + 8 * (q->taken % q->size);
		*id = read32(used) / 4;
		*length = read32(used + 4);
	}
	if (*id >= MAX_RING || !q->entries[*id]) {
		q->unknown++;
		q->taken = (uint16_t)(q->taken + !q->packed);
		return false;
	}
	if (q->packed)
		advance(q, &q->taken, &q->taken_wrap, q->entries[*id]);
	else
		q->taken++;
	q->in_use -= q->entries[*id];
	q->entries[*id] = 0;
	q->free_id[q->free_ids++] = *id;
	if (q->event_index && !q->quiet)
		queue_interrupts(q, true);
	return true;
}

bool queue_wait(struct queue *q, unsigned *id, uint32_t *length)
{
	return WAIT_US(queue_take(q, id, length), SOON);
}

int64_t queue_run(struct queue *q, const struct buffer *b, unsigned n)
{
	unsigned id;
	uint32_t length;
	int added = queue_add(q, b, n);
	if (added < 0)
		return -1;
	queue_kick(q);
	return queue_wait(q, &id, &length) && id == (unsigned)added ? (int64_t)length : -1;
}
