/* The virtio block device (section 5.2): a disk that can be written, and one that is read-only if the
   machine has such a one. */
#include "virtio.h"

#define B_BLK_SIZE BIT(6)
#define B_RO BIT(5)
#define B_FLUSH BIT(9)
#define B_CONFIG_WCE BIT(11)
#define B_DISCARD BIT(13)
#define B_WRITE_ZEROES BIT(14)

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };

#define SECTOR 512u
#define WRITEBACK 32 /* in the configuration */

struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

struct segment { /* of discard and write zeroes */
	uint64_t sector;
	uint32_t sectors, flags;
};
#define UNMAP 1

#define HEADERS ((struct header *)virtio_buffer)
#define STATUS (virtio_buffer + 0x200)
#define DATA (virtio_buffer + 0x1000)
#define NO_ANSWER 0xee

static int64_t written; /* by the last request: bytes that the device wrote, or -1 */

/* A request with its data in some parts of equal size. Returns its status byte. */
static uint8_t request(struct queue *q, uint32_t type, uint64_t sector, void *data, uint32_t bytes, unsigned parts)
{
	bool in = type == IN || type == GET_ID;
	struct buffer b[MAX_CHAIN] = {{HEADERS, sizeof *HEADERS, false}};
	unsigned n = 1;
	*HEADERS = (struct header){type, 0, sector};
	*STATUS = NO_ANSWER;
	for (unsigned i = 0; bytes && i < parts; i++)
		b[n++] = (struct buffer){(uint8_t *)data + i * (bytes / parts), bytes / parts, in};
	b[n++] = (struct buffer){STATUS, 1, true};
	written = queue_run(q, b, n);
	return *STATUS;
}

static void identity(struct virtio *v, struct queue *q)
{
	char serial[21] = "";
	value("capacity", "%lu", config_read(v, 0, 4) | (uint64_t)config_read(v, 4, 4) << 32);
	value("get-id", "%02x", request(q, GET_ID, 0, serial, 20, 1));
	value("serial", "'%s' of %ld bytes", serial, written);
}

static void transfers(struct queue *q)
{
	value("read-first", "%02x %ld %s", request(q, IN, 0, DATA, SECTOR, 1), written, hex(DATA, 16));
	fill(DATA, 16 * SECTOR, 8);
	value("write", "%02x %ld", request(q, OUT, 8, DATA, 16 * SECTOR, 2), written);
	zero(DATA, 16 * SECTOR);
	value("read", "%02x %ld", request(q, IN, 8, DATA, 16 * SECTOR, 1), written);
	check(filled(DATA, 16 * SECTOR, 8), "read-back", "%s", hex(DATA, 16));
	value("read-part", "%02x %ld", request(q, IN, 9, DATA, SECTOR, 2), written);
	check(!filled(DATA, SECTOR, 8) && zeroed(DATA, 0), "read-part-back", "%s", hex(DATA, 16));
	value("flush", "%02x %ld", request(q, FLUSH, 0, NULL, 0, 0), written);

	q->indirect = true;
	fill(DATA, 12 * SECTOR, 24);
	value("indirect-write", "%02x %ld", request(q, OUT, 24, DATA, 12 * SECTOR, 12), written);
	zero(DATA, 12 * SECTOR);
	value("indirect-read", "%02x %ld", request(q, IN, 24, DATA, 12 * SECTOR, 6), written);
	q->indirect = false;
	check(filled(DATA, 12 * SECTOR, 24), "indirect-read-back", "%s", hex(DATA, 16));
}

static uint8_t with_segment(struct queue *q, uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	static struct segment s;
	s = (struct segment){sector, sectors, flags};
	return request(q, type, 0, &s, sizeof s, 1);
}

static void zeroing(struct virtio *v, struct queue *q)
{
	if (v->features & B_WRITE_ZEROES) {
		for (uint32_t unmap = 0; unmap <= 1; unmap++) {
			fill(DATA, 8 * SECTOR, 40);
			request(q, OUT, 40, DATA, 8 * SECTOR, 1);
			value("write-zeroes", "%02x %ld", with_segment(q, WRITE_ZEROES, 41, 6, unmap), written);
			request(q, IN, 40, DATA, 8 * SECTOR, 1);
			check(filled(DATA, SECTOR, 40) && zeroed(DATA + SECTOR, 6 * SECTOR) && DATA[7 * SECTOR],
			      "write-zeroes-back", "%s", hex(DATA + SECTOR, 16));
		}
		value("write-zeroes-flags", "%02x", with_segment(q, WRITE_ZEROES, 41, 1, 2));
	}
	if (v->features & B_DISCARD) {
		value("discard", "%02x %ld", with_segment(q, DISCARD, 48, 8, 0), written);
		value("discard-unmap", "%02x", with_segment(q, DISCARD, 48, 8, UNMAP));
		value("discard-outside", "%02x", with_segment(q, DISCARD, 1ull << 40, 8, 0));
	}
}

static void mistakes(struct virtio *v, struct queue *q)
{
	uint64_t end = config_read(v, 0, 4);
	value("unsupported", "%02x", request(q, 0x77, 0, NULL, 0, 0));
	value("unsupported-written", "%ld", written);
	value("read-end", "%02x", request(q, IN, end, DATA, SECTOR, 1));
	value("read-across-end", "%02x", request(q, IN, end - 1, DATA, 2 * SECTOR, 1));
	value("write-far", "%02x", request(q, OUT, ~0ull >> 1, DATA, SECTOR, 1));
	value("read-unaligned", "%02x", request(q, IN, 0, DATA, 100, 1));
	value("read-last", "%02x", request(q, IN, end - 1, DATA, SECTOR, 1));
}

/* Several reads at once, announced together, round after round past the end of the ring. */
#define IN_FLIGHT 4
#define ROUNDS 5

static bool round_of_reads(struct queue *q, unsigned round)
{
	unsigned done = 0, id;
	uint32_t length;
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		HEADERS[i] = (struct header){IN, 0, 8 + 2 * i};
		STATUS[i] = NO_ANSWER;
		zero(DATA + i * SECTOR, SECTOR);
		struct buffer b[] = {{HEADERS + i, sizeof *HEADERS, false},
				     {DATA + i * SECTOR, SECTOR, true},
				     {STATUS + i, 1, true}};
		if (queue_add(q, b, 3) < 0)
			return check(false, "in-flight-add", "request %u of round %u", i, round);
	}
	queue_kick(q);
	while (done < IN_FLIGHT && queue_wait(q, &id, &length))
		done += length == SECTOR + 1;
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		done += !STATUS[i] && *(uint64_t *)(DATA + i * SECTOR) == *(uint64_t *)(DATA) + i * 128 * 0x9e3779b97f4a7c15;
	return done == 2 * IN_FLIGHT || check(false, "in-flight", "%u of %u in round %u", done, 2 * IN_FLIGHT, round);
}

static void in_flight(struct queue *q)
{
	unsigned round = 0;
	q->kicks = q->kicks_saved = 0;
	/* A packed ring of 13 has room for four requests of three, and not for a fifth. */
	while (round < ROUNDS && round_of_reads(q, round))
		round++;
	check(round == ROUNDS, "in-flight-rounds", "%u of %u", round, ROUNDS);
	report("in-flight-kicks", "%u, %u saved", q->kicks, q->kicks_saved);
}

/* Interrupts come when they are wanted, and not when not. */
static void interrupts(struct queue *q)
{
	quiet(q->vector, 100);
	uint32_t before = queue_irqs(q);
	request(q, FLUSH, 0, NULL, 0, 0);
	check(WAIT_US(queue_irqs(q) > before, SOON), "interrupt", "none came");
	quiet(q->vector, 100);
	queue_interrupts(q, false);
	before = queue_irqs(q);
	request(q, FLUSH, 0, NULL, 0, 0);
	delay_us(500);
	check(queue_irqs(q) == before, "interrupt-unwanted", "%u came", queue_irqs(q) - before);
	queue_interrupts(q, true);
	request(q, FLUSH, 0, NULL, 0, 0);
	check(WAIT_US(queue_irqs(q) > before, SOON), "interrupt-again", "none came");
}

static void write_cache(struct virtio *v, struct queue *q)
{
	if (!(v->features & B_CONFIG_WCE))
		return;
	value("writeback", "%02x", config_read(v, WRITEBACK, 1));
	config_write(v, WRITEBACK, 1, 0);
	value("writeback-off", "%02x", config_read(v, WRITEBACK, 1));
	fill(DATA, SECTOR, 60);
	value("writethrough-write", "%02x", request(q, OUT, 60, DATA, SECTOR, 1));
	config_write(v, WRITEBACK, 1, 1);
	value("writeback-on", "%02x", config_read(v, WRITEBACK, 1));
}

static void read_only(struct virtio *v, struct queue *q)
{
	value("ro-features", "%06lx", virtio_offered(v) & 0xffffff);
	value("ro-read", "%02x %ld", request(q, IN, 0, DATA, SECTOR, 1), written);
	value("ro-write", "%02x", request(q, OUT, 0, DATA, SECTOR, 1));
	value("ro-flush", "%02x", request(q, FLUSH, 0, NULL, 0, 0));
}

TEST_SLOW(virtio_blk, "virtio-blk")
{
	struct virtio *v = virtio_find(VIRTIO_BLK, 0);
	if (!check(v, "present", "there is no virtio disk"))
		return;
	struct queue *q = &v->queue[0];
	if (virtio_open(v, 0xffffff & ~BIT(7))) { /* all but SCSI */
		identity(v, q);
		transfers(q);
		zeroing(v, q);
		mistakes(v, q);
		interrupts(q);
		write_cache(v, q);
		in_flight(q);
		virtio_stop(v);
	}
	v = virtio_find(VIRTIO_BLK, 1);
	if (v && virtio_open(v, B_RO | B_FLUSH | B_BLK_SIZE)) {
		read_only(v, &v->queue[0]);
		virtio_stop(v);
	}
}
