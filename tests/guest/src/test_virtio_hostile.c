/* What a driver must not do. The disk needs a reset then, or answers with an error, and after the reset
   it works as before (sections 2.1.2, 2.7.5 and 2.8.6). */
#include "virtio.h"

#define HEADER virtio_buffer
#define CONTENT (virtio_buffer + 0x1000)
#define STATUS (virtio_buffer + 64)
#define PATIENCE 3000 /* microseconds, for what ought not to come */

static struct buffer good[] = {{HEADER, 16, false}, {CONTENT, 20, true}, {STATUS, 1, true}};

static volatile struct descriptor *table(struct queue *q) { return (volatile struct descriptor *)q->desc; }

static void prepare(void)
{
	memset(HEADER, 0, 16);
	*(uint32_t *)HEADER = 8; /* get id */
	*STATUS = 0xee;
}

static void add(struct queue *q, struct buffer *b, unsigned n)
{
	queue_add(q, b, n);
	queue_notify(q);
}

static void outside(struct queue *q)
{
	struct buffer b[] = {good[0], {(void *)0xc0000000ull, 20, true}, good[2]};
	add(q, b, 3);
}

static void far_outside(struct queue *q)
{
	struct buffer b[] = {good[0], {(void *)~0xfffull, 0x2000, true}, good[2]};
	add(q, b, 3);
}

static void wrong_order(struct queue *q)
{
	struct buffer b[] = {{CONTENT, 20, true}, {STATUS, 1, true}, good[0]};
	add(q, b, 3);
}

static void empty_buffer(struct queue *q)
{
	struct buffer b[] = {good[0], {CONTENT, 0, true}, good[2]};
	add(q, b, 3);
}

static void no_header(struct queue *q)
{
	struct buffer b[] = {{HEADER, 8, false}, good[2]};
	add(q, b, 2);
}

static void no_status(struct queue *q) { add(q, good, 1); }

static void header_outside(struct queue *q)
{
	struct buffer b[] = {{(void *)0xc0000000ull, 16, false}, good[1], good[2]};
	add(q, b, 3);
}

/* A descriptor of a queue that was not used yet, and then the whole made available at once: a device may
   look at any time. */
static void put(struct queue *q, unsigned i, void *at, uint32_t bytes, uint16_t flags, uint16_t next)
{
	volatile struct descriptor *d = table(q) + i;
	d->address = (uint64_t)at;
	d->length = bytes;
	d->id = q->packed ? 0 : flags;
	d->flags = !q->packed ? next : i ? flags | D_AVAIL : flags;
}

static void publish(struct queue *q, uint16_t head, uint16_t index)
{
	__sync_synchronize();
	if (q->packed) {
		table(q)[0].flags |= D_AVAIL;
	} else {
		*(volatile uint16_t *)(q->driver + 4) = head;
		__sync_synchronize();
		*(volatile uint16_t *)(q->driver + 2) = index;
	}
	queue_notify(q);
}

/* Split: the second descriptor's next is itself. Packed: all of the ring is one list. */
static void loop(struct queue *q)
{
	for (unsigned i = 0; i < q->size; i++)
		put(q, i, HEADER, 16, D_NEXT, 1);
	publish(q, 0, 1);
}

static void indirect_twice(struct queue *q)
{
	static struct descriptor inner;
	inner = (struct descriptor){(uint64_t)&inner, 16, 0, 0};
	*(q->packed ? &inner.flags : &inner.id) = D_INDIRECT;
	put(q, 0, &inner, 16, D_INDIRECT, 0);
	publish(q, 0, 1);
}

static void indirect_partial(struct queue *q)
{
	static struct descriptor inner[3];
	inner[0] = (struct descriptor){(uint64_t)HEADER, 16, 0, 0};
	put(q, 0, inner, 40, D_INDIRECT, 0);
	publish(q, 0, 1);
}

/* Only a split ring has these. */
static void index_jump(struct queue *q) { publish(q, 0, (uint16_t)(q->size + 100)); }

static void head_outside(struct queue *q) { publish(q, (uint16_t)(q->size + 3), 1); }

static void next_outside(struct queue *q)
{
	put(q, 0, HEADER, 16, D_NEXT, 0xfff0);
	publish(q, 0, 1);
}

static bool works(struct virtio *v)
{
	prepare();
	return virtio_start(v, 0) && queue_run(&v->queue[0], good, 3) == 21 && !*STATUS;
}

/* What became of it: the device asks for a reset, or answers, or only stops. */
static const char *outcome(struct virtio *v)
{
	unsigned id;
	uint32_t length;
	uint64_t patience = v->legacy ? PATIENCE : SOON / 10;
	bool answered = false;
	WAIT_US((answered = queue_take(&v->queue[0], &id, &length)) || (!v->legacy && virtio_status(v) & S_NEEDS_RESET),
		patience);
	/* To a ring that is wrong as a whole, whatever it answers is wrong. */
	answered |= v->queue[0].unknown;
	v->queue[0].unknown = 0;
	return answered ? "answered" : !v->legacy && virtio_status(v) & S_NEEDS_RESET ? "needs-reset" : "stopped";
}

TEST_SLOW(virtio_hostile, "virtio-hostile")
{
	static const struct {
		const char *name;
		void (*run)(struct queue *q);
		bool split;
	} probes[] = {
		{"outside-ram", outside, false},
		{"far-outside-ram", far_outside, false},
		{"wrong-order", wrong_order, false},
		{"empty-buffer", empty_buffer, false},
		{"no-header", no_header, false},
		{"no-status", no_status, false},
		{"header-outside-ram", header_outside, false},
		{"loop", loop, false},
		{"indirect-twice", indirect_twice, false},
		{"indirect-partial", indirect_partial, false},
		{"index-jump", index_jump, true},
		{"head-outside", head_outside, true},
		{"next-outside", next_outside, true},
	};
	struct virtio *v = virtio_find(VIRTIO_BLK, 0);
	if (!check(v, "present", "there is no virtio disk") || !virtio_open(v, 0))
		return;
	for (unsigned i = 0; i < sizeof probes / sizeof probes[0]; i++) {
		if (probes[i].split && v->packed)
			continue;
		char after[40];
		format(after, sizeof after, "after-%s", probes[i].name);
		prepare();
		if (!virtio_start(v, 0))
			return;
		probes[i].run(&v->queue[0]);
		value(probes[i].name, "%s", outcome(v));
		check(works(v), after, "status %02x", virtio_status(v));
	}
	virtio_stop(v);
}
