/* What requests of virtio devices cost: disk-bench, net-bench and port-bench, with virtio=modern irq=msix. The
   loops are short, since on some hosts each of their instructions costs a microsecond: descriptors
   stand ready, and a request is a few stores. Waiting is what an operating system does: halt until
   the interrupt; wait=poll looks again and again instead, and wants no interrupt.

   op=    read or write; of net-bench and port-bench send, receive or echo
   order= random or linear
   size=  bytes of a request, a frame or a buffer
   depth= requests at a time
   n=     requests
   wait=  halt for the interrupt, as an operating system does, or poll */
#include "virtio.h"

#define ENTRIES 256		    /* of a ring; a device may have fewer */
#define CONTENT ((uint8_t *)0x1000000) /* RAM that is nobody's */
#define SLOTS 64		    /* requests at a time, at most */
#define SECTOR 512u
#define HEADER 12     /* bytes before a frame */
#define FRAME_ROOM 2048 /* bytes of a frame's buffer */

/* The three areas of a split ring. Of a smaller one, the event indexes stand behind its last entry. */
struct areas {
	struct descriptor desc[ENTRIES];
	uint16_t avail_flags, avail_index, avail[ENTRIES + 1];
	uint16_t used_flags __attribute__((aligned(8))), used_index;
	struct {
		uint32_t id, length;
	} used[ENTRIES + 1];
} __attribute__((aligned(4096)));

static volatile struct areas areas[2] __attribute__((noinit));

static bool polls; /* then the event index stays where the device never comes, as far as it can */

struct ring {
	volatile struct areas *at;
	unsigned number, size, mask;	/* its entries, a power of two */
	uint16_t added, shown, taken;	/* shown: what the device has been told of */
	uint64_t doorbell;
};

static bool ring_open(struct virtio *v, struct ring *r, unsigned number)
{
	volatile struct areas *a = &areas[number];
	virtio_select(v, number);
	unsigned size = common_read(v, C_QUEUE_SIZE);
	if (size > ENTRIES)
		size = ENTRIES;
	if (!check(size && !(size & (size - 1)), "ring-size", "%u", size))
		return false;
	*r = (struct ring){.at = a, .number = number, .size = size, .mask = size - 1};
	zero((void *)&a->avail_flags, sizeof *a - sizeof a->desc);
	common_write(v, C_QUEUE_SIZE, size);
	common_write(v, C_QUEUE_DESC, (uint32_t)(uint64_t)a->desc);
	common_write(v, C_QUEUE_DRIVER, (uint32_t)(uint64_t)&a->avail_flags);
	common_write(v, C_QUEUE_DEVICE, (uint32_t)(uint64_t)&a->used_flags);
	for (unsigned reg = C_QUEUE_DESC; reg <= C_QUEUE_DEVICE; reg += 8)
		common_write(v, reg + 4, 0);
	common_write(v, C_QUEUE_VECTOR, msix_entry(v, number));
	r->doorbell = v->notify + common_read(v, C_QUEUE_NOTIFY_OFF) * v->notify_multiplier;
	common_write(v, C_QUEUE_ENABLE, 1);
	return true;
}

static void ring_add(struct ring *r, unsigned head) { r->at->avail[r->added++ & r->mask] = (uint16_t)head; }

/* The device is told if it wants to be (section 2.7.10). */
static void ring_kick(struct ring *r)
{
	uint16_t more = (uint16_t)(r->added - r->shown);
	r->shown = r->at->avail_index = r->added;
	__sync_synchronize();
	uint16_t event = (uint16_t)r->at->used[r->size].id;
	if ((uint16_t)(r->added - event - 1) < more)
		*(volatile uint16_t *)r->doorbell = (uint16_t)r->number;
}

/* Waits until so many more chains are used than were taken. */
static void ring_wait(struct ring *r, unsigned more)
{
	if (polls) {
		while ((uint16_t)(r->at->used_index - r->taken) < more)
			continue;
		return;
	}
	r->at->avail[r->size] = (uint16_t)(r->taken + more - 1);
	__sync_synchronize();
	cli();
	while ((uint16_t)(r->at->used_index - r->taken) < more)
		asm volatile("sti; hlt; cli" : : : "memory");
	sti();
}

static struct virtio *bench_open(unsigned type)
{
	struct virtio *v = virtio_find(type, 0);
	if (!check(v && v->msix && v->common, "device", "there is none with virtio=modern irq=msix"))
		return NULL;
	virtio_irq_on(v);
	polls = option_has("wait", "poll");
	return virtio_negotiate(v, 0) && check(v->features & F_EVENT_INDEX, "event-index", "not offered") ? v : NULL;
}

static void bench_start(struct virtio *v)
{
	virtio_set_status(v, S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK);
}

static void bench_report(uint64_t cycles, uint64_t n)
{
	report("count", "%lu", n);
	report("ns-each", "%lu", cycles * 1000000 / tsc_khz / n);
}

/* ---- The disk ---- */

static struct request {
	uint32_t type, reserved;
	uint64_t sector;
	volatile uint8_t status;
} requests[SLOTS] __attribute__((noinit, aligned(32)));

static void prepare_request(struct ring *r, unsigned slot, bool write, uint32_t bytes)
{
	volatile struct descriptor *d = &r->at->desc[3 * slot];
	requests[slot].type = write;
	requests[slot].reserved = 0;
	d[0] = (struct descriptor){(uint64_t)&requests[slot], 16, D_NEXT, (uint16_t)(3 * slot + 1)};
	d[1] = (struct descriptor){(uint64_t)CONTENT + (uint64_t)slot * bytes, bytes,
				   (uint16_t)(D_NEXT | (write ? 0 : D_WRITE)), (uint16_t)(3 * slot + 2)};
	d[2] = (struct descriptor){(uint64_t)&requests[slot].status, 1, D_WRITE, 0};
}

TEST_SLOW(disk_bench, "disk-bench")
{
	uint32_t bytes = (uint32_t)option_number("size", 4096);
	unsigned depth = (unsigned)option_number("depth", 1);
	uint64_t n = option_number("n", 1000), begun = 0, done = 0, errors = 0, seed = 1;
	bool write = option_has("op", "write"), linear = option_has("order", "linear");
	struct ring r;
	if (!check(depth && depth <= SLOTS && n >= depth && bytes >= SECTOR, "options", "size, depth or n"))
		return;
	struct virtio *v = bench_open(VIRTIO_BLK);
	if (!v || !ring_open(v, &r, 0) || !check(3 * depth <= r.size, "depth", "the ring has %u entries", r.size))
		return;
	uint64_t blocks = (config_read(v, 0, 4) | (uint64_t)config_read(v, 4, 4) << 32) * SECTOR / bytes;
	for (; begun < depth; begun++) {
		prepare_request(&r, (unsigned)begun, write, bytes);
		requests[begun].sector = begun % blocks * (bytes / SECTOR);
		ring_add(&r, 3 * (unsigned)begun);
	}
	bench_start(v);
	uint64_t start = rdtsc();
	ring_kick(&r);
	while (done < n) {
		ring_wait(&r, 1);
		for (uint16_t end = r.at->used_index; r.taken != end; done++) {
			unsigned head = r.at->used[r.taken++ & r.mask].id;
			struct request *q = &requests[head / 3 % SLOTS];
			errors += q->status;
			if (begun == n)
				continue;
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			q->sector = (linear ? begun : seed >> 32) % blocks * (bytes / SECTOR);
			begun++;
			ring_add(&r, head);
		}
		if (r.shown != r.added)
			ring_kick(&r);
	}
	bench_report(rdtsc() - start, n);
	check(!errors, "status", "%lu requests failed", errors);
	virtio_stop(v);
}

/* ---- The network ---- */

enum { RX, TX };
#define ETHERTYPE 0xb688 /* IEEE 802, local experimental 2, as it lies in memory */

static uint8_t *frame_at(unsigned slot) { return CONTENT + slot * FRAME_ROOM; }

static bool is_ours(unsigned slot) { return read16((uint64_t)frame_at(slot) + HEADER + 12) == ETHERTYPE; }

static void prepare_frames(struct ring *r, unsigned first, uint32_t bytes)
{
	static const uint8_t head[16] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, 0x88, 0xb6};
	for (unsigned i = 0; i < r->size; i++) {
		uint8_t *at = frame_at(first + i);
		zero(at, HEADER + 4);
		memcpy(at + HEADER, head, sizeof head);
		r->at->desc[i] = (struct descriptor){(uint64_t)at, HEADER + bytes, 0, 0};
	}
}

static void offer_buffers(struct ring *r)
{
	for (unsigned i = 0; i < r->size; i++) {
		r->at->desc[i] = (struct descriptor){(uint64_t)frame_at(i), FRAME_ROOM, D_WRITE, 0};
		ring_add(r, i);
	}
}

/* The ring is kept full; when it is, it is looked at again once half of the frames are sent. */
static uint64_t send_frames(struct ring *r, uint64_t n)
{
	uint64_t start = rdtsc();
	for (uint64_t sent = 0; sent < n;) {
		for (r->taken = r->at->used_index; sent < n && (uint16_t)(r->added - r->taken) < r->size; sent++) {
			ring_add(r, (unsigned)sent & r->mask);
			ring_kick(r);
		}
		if (sent < n)
			ring_wait(r, r->size / 2);
	}
	unsigned rest = (uint16_t)(r->added - r->taken);
	if (rest)
		ring_wait(r, rest);
	return rdtsc() - start;
}

/* Takes what is received, and gives the buffers back. Returns how many frames are of our kind. */
static uint64_t take_frames(struct ring *r)
{
	uint64_t ours = 0;
	for (uint16_t end = r->at->used_index; r->taken != end;) {
		unsigned slot = r->at->used[r->taken++ & r->mask].id % ENTRIES;
		ours += is_ours(slot);
		ring_add(r, slot);
	}
	ring_kick(r);
	return ours;
}

static uint64_t receive_frames(struct ring *r, uint64_t n)
{
	uint64_t start = 0;
	for (uint64_t got = 0; got <= n;) { /* the first one only starts the clock */
		ring_wait(r, 1);
		got += take_frames(r);
		if (got && !start) {
			start = rdtsc();
			got = 1;
		}
	}
	return rdtsc() - start;
}

/* One frame at a time goes out, and comes back. */
static uint64_t exchange_frames(struct ring *rx, struct ring *tx, uint64_t n)
{
	uint64_t start = rdtsc();
	for (uint64_t i = 0; i < n; i++) {
		ring_add(tx, (unsigned)i & tx->mask);
		ring_kick(tx);
		do {
			ring_wait(rx, 1);
		} while (!take_frames(rx));
	}
	return rdtsc() - start;
}

TEST_SLOW(net_bench, "net-bench")
{
	uint32_t bytes = (uint32_t)option_number("size", 1514);
	uint64_t n = option_number("n", 1000), cycles;
	struct ring rx, tx;
	if (!check(bytes >= 60 && bytes <= 1514 && n, "options", "size or n"))
		return;
	struct virtio *v = bench_open(VIRTIO_NET);
	if (!v || !ring_open(v, &rx, RX) || !ring_open(v, &tx, TX))
		return;
	offer_buffers(&rx);
	prepare_frames(&tx, ENTRIES, bytes);
	bench_start(v);
	ring_kick(&rx);
	if (option_has("op", "receive"))
		cycles = receive_frames(&rx, n);
	else if (option_has("op", "echo"))
		cycles = exchange_frames(&rx, &tx, n);
	else
		cycles = send_frames(&tx, n);
	bench_report(cycles, n);
	virtio_stop(v);
}

/* ---- The console, whose other end speaks as that of uart-bench ---- */

enum { FLOOD = 'r', QUIET = 'q', STOPPED = 0xff, ECHOED = 0x80 };

#define PORT_ROOM 4096 /* bytes of a buffer */

static uint8_t *port_buffer(unsigned slot) { return CONTENT + slot * PORT_ROOM; }

static void prepare_port(struct ring *rx, struct ring *tx, uint32_t bytes)
{
	for (unsigned i = 0; i < rx->size; i++) {
		rx->at->desc[i] = (struct descriptor){(uint64_t)port_buffer(i), PORT_ROOM, D_WRITE, 0};
		ring_add(rx, i);
	}
	for (unsigned i = 0; i < tx->size; i++) {
		zero(port_buffer(ENTRIES + i), bytes);
		tx->at->desc[i] = (struct descriptor){(uint64_t)port_buffer(ENTRIES + i), bytes, 0, 0};
	}
}

/* Sends a byte, and waits until the device has it. */
static void port_say(struct ring *tx, uint8_t c)
{
	*port_buffer(ENTRIES) = c;
	uint32_t bytes = tx->at->desc[0].length;
	tx->at->desc[0].length = 1;
	ring_add(tx, 0);
	ring_kick(tx);
	ring_wait(tx, 1);
	tx->taken++;
	tx->at->desc[0].length = bytes;
}

/* Waits for input, gives the buffers back, and returns how many bytes came, and the last of them. */
static uint64_t port_hear(struct ring *rx, uint8_t *last)
{
	uint64_t bytes = 0;
	ring_wait(rx, 1);
	for (uint16_t end = rx->at->used_index; rx->taken != end;) {
		unsigned at = rx->taken++ & rx->mask, slot = rx->at->used[at].id % ENTRIES;
		uint32_t length = rx->at->used[at].length;
		bytes += length;
		if (length && length <= PORT_ROOM)
			*last = port_buffer(slot)[length - 1];
		ring_add(rx, slot);
	}
	ring_kick(rx);
	return bytes;
}

TEST_SLOW(port_bench, "port-bench")
{
	uint32_t bytes = (uint32_t)option_number("size", PORT_ROOM);
	uint64_t n = option_number("n", 1000), cycles;
	uint8_t last = 0;
	struct ring rx, tx;
	if (!check(bytes && bytes <= PORT_ROOM && n, "options", "size or n"))
		return;
	struct virtio *v = bench_open(VIRTIO_CONSOLE);
	if (!v || !ring_open(v, &rx, RX) || !ring_open(v, &tx, TX))
		return;
	prepare_port(&rx, &tx, bytes);
	bench_start(v);
	ring_kick(&rx);
	if (option_has("op", "receive")) {
		port_say(&tx, FLOOD);
		port_hear(&rx, &last);
		uint64_t start = rdtsc(), got = 0;
		while (got < n * bytes)
			got += port_hear(&rx, &last);
		cycles = (rdtsc() - start) * n / (got / bytes); /* for as many as were asked for */
		port_say(&tx, QUIET);
		while (last != STOPPED)
			port_hear(&rx, &last);
	} else if (option_has("op", "echo")) {
		uint64_t start = rdtsc();
		for (uint64_t i = 0; i < n; i++) {
			port_say(&tx, ECHOED);
			port_hear(&rx, &last);
		}
		cycles = rdtsc() - start;
	} else {
		cycles = send_frames(&tx, n);
	}
	bench_report(cycles, n);
	virtio_stop(v);
}
