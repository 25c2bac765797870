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
#define CONTENT (virtio_buffer + 0x1000)
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

/* Its status byte, and its used length if it succeeded. Of a failed read devices count what they like:
   the data they did not write, or nothing. */
static void answer(const char *key, uint8_t status)
{
	if (status)
		value(key, "%02x", status);
	else
		value(key, "%02x %ld", status, written);
}

static void identity(struct virtio *v, struct queue *q)
{
	char serial[21] = "";
	value("capacity", "%lu", config_read(v, 0, 4) | (uint64_t)config_read(v, 4, 4) << 32);
	answer("get-id", request(q, GET_ID, 0, serial, 20, 1));
	value("serial", "'%s' of %ld bytes", serial, written);
}

static void transfers(struct queue *q)
{
	answer("read-first", request(q, IN, 0, CONTENT, SECTOR, 1));
	value("first", "%s", hex(CONTENT, 16));
	fill(CONTENT, 16 * SECTOR, 8);
	answer("write", request(q, OUT, 8, CONTENT, 16 * SECTOR, 2));
	zero(CONTENT, 16 * SECTOR);
	answer("read", request(q, IN, 8, CONTENT, 16 * SECTOR, 1));
	check(filled(CONTENT, 16 * SECTOR, 8), "read-back", "%s", hex(CONTENT, 16));
	answer("read-part", request(q, IN, 9, CONTENT, SECTOR, 2));
	check(filled(CONTENT, SECTOR, 8 + SECTOR / 8 * PATTERN_STEP), "read-part-back", "%s", hex(CONTENT, 16));
	answer("flush", request(q, FLUSH, 0, NULL, 0, 0));

	q->indirect = true;
	fill(CONTENT, 12 * SECTOR, 24);
	answer("indirect-write", request(q, OUT, 24, CONTENT, 12 * SECTOR, 12));
	zero(CONTENT, 12 * SECTOR);
	answer("indirect-read", request(q, IN, 24, CONTENT, 12 * SECTOR, 6));
	q->indirect = false;
	check(filled(CONTENT, 12 * SECTOR, 24), "indirect-read-back", "%s", hex(CONTENT, 16));
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
			fill(CONTENT, 8 * SECTOR, 40);
			request(q, OUT, 40, CONTENT, 8 * SECTOR, 1);
			answer("write-zeroes", with_segment(q, WRITE_ZEROES, 41, 6, unmap));
			request(q, IN, 40, CONTENT, 8 * SECTOR, 1);
			check(filled(CONTENT, SECTOR, 40) && zeroed(CONTENT + SECTOR, 6 * SECTOR) && CONTENT[7 * SECTOR],
			      "write-zeroes-back", "%s", hex(CONTENT + SECTOR, 16));
		}
		answer("write-zeroes-flags", with_segment(q, WRITE_ZEROES, 41, 1, 2));
	}
	if (v->features & B_DISCARD) {
		answer("discard", with_segment(q, DISCARD, 48, 8, 0));
		answer("discard-unmap", with_segment(q, DISCARD, 48, 8, UNMAP));
		answer("discard-outside", with_segment(q, DISCARD, 1ull << 40, 8, 0));
	}
}

static void mistakes(struct virtio *v, struct queue *q)
{
	uint64_t end = config_read(v, 0, 4);
	answer("unsupported", request(q, 0x77, 0, NULL, 0, 0));
	answer("read-end", request(q, IN, end, CONTENT, SECTOR, 1));
	answer("read-across-end", request(q, IN, end - 1, CONTENT, 2 * SECTOR, 1));
	answer("write-far", request(q, OUT, ~0ull >> 1, CONTENT, SECTOR, 1));
	answer("read-unaligned", request(q, IN, 0, CONTENT, 100, 1));
	answer("read-last", request(q, IN, end - 1, CONTENT, SECTOR, 1));
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
		zero(CONTENT + i * SECTOR, SECTOR);
		struct buffer b[] = {{HEADERS + i, sizeof *HEADERS, false},
				     {CONTENT + i * SECTOR, SECTOR, true},
				     {STATUS + i, 1, true}};
		if (queue_add(q, b, 3) < 0)
			return check(false, "in-flight-add", "request %u of round %u", i, round);
	}
	queue_kick(q);
	while (done < IN_FLIGHT && queue_wait(q, &id, &length))
		done += length == SECTOR + 1;
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		done += !STATUS[i] && filled(CONTENT + i * SECTOR, SECTOR, 8 + 2 * i * SECTOR / 8 * PATTERN_STEP);
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
	fill(CONTENT, SECTOR, 60);
	answer("writethrough-write", request(q, OUT, 60, CONTENT, SECTOR, 1));
	config_write(v, WRITEBACK, 1, 1);
	value("writeback-on", "%02x", config_read(v, WRITEBACK, 1));
}

static void read_only(struct virtio *v, struct queue *q)
{
	value("ro-features", "%06lx", virtio_offered(v) & 0xffffff);
	answer("ro-read", request(q, IN, 0, CONTENT, SECTOR, 1));
	answer("ro-write", request(q, OUT, 0, CONTENT, SECTOR, 1));
	answer("ro-flush", request(q, FLUSH, 0, NULL, 0, 0));
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
