/* The virtio network device (section 5.1): configuration, control queue, and frames of an EtherType for
   experiments, of which a host that echoes them sends back each with the addresses exchanged. */
#include "virtio.h"

#define N_MAC BIT(5)
#define N_MRG_RXBUF BIT(15)
#define N_STATUS BIT(16)
#define N_CTRL_VQ BIT(17)
#define N_CTRL_RX BIT(18)
#define N_CTRL_MAC BIT(23)
#define ETHERTYPE 0x88b5 /* IEEE 802, local experimental 1 */
#define FRAMES 6
#define FRAME_BYTES 512
#define RX_BUFFERS 4
#define RX_BYTES 2048

enum { RX, TX, CONTROL };

static unsigned header_bytes(struct virtio *v) { return v->features & (N_MRG_RXBUF | F_VERSION_1) ? 12 : 10; }

static uint8_t mac[6];

static void read_mac(struct virtio *v)
{
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)config_read(v, i, 1);
}

static uint8_t *rx_buffer(unsigned i) { return virtio_buffer + 0x4000 + i * RX_BYTES; }

static unsigned slot_of[MAX_RING]; /* the receive buffer of an id */

static void offer(struct queue *q, unsigned slot)
{
	struct buffer b = {rx_buffer(slot), RX_BYTES, true};
	int id = queue_add(q, &b, 1);
	if (id >= 0)
		slot_of[id] = slot;
	queue_kick(q);
}

static int64_t send(struct virtio *v, unsigned number)
{
	unsigned head = header_bytes(v);
	uint8_t *frame = virtio_buffer + 64;
	zero(virtio_buffer, 64);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, mac, 6);
	frame[12] = ETHERTYPE >> 8;
	frame[13] = ETHERTYPE & 0xff;
	frame[14] = (uint8_t)number;
	frame[15] = 0;
	fill(frame + 16, FRAME_BYTES - 16, number);
	struct buffer b[] = {{virtio_buffer, head, false}, {frame, FRAME_BYTES, false}};
	return queue_run(&v->queue[TX], b, 2);
}

/* The host's kernel sends frames of its own; those of our kind come in order. */
static bool is_echo(struct virtio *v, const uint8_t *buffer, uint32_t bytes, unsigned number)
{
	const uint8_t *frame = buffer + header_bytes(v);
	return bytes == header_bytes(v) + FRAME_BYTES && frame[12] == ETHERTYPE >> 8 &&
	       frame[13] == (ETHERTYPE & 0xff) && frame[14] == number && !compare(frame, mac, 6) &&
	       filled(frame + 16, FRAME_BYTES - 16, number);
}

static bool receive(struct virtio *v, unsigned number)
{
	struct queue *q = &v->queue[RX];
	unsigned id;
	uint32_t bytes;
	while (queue_wait(q, &id, &bytes)) {
		unsigned slot = slot_of[id];
		bool found = is_echo(v, rx_buffer(slot), bytes, number);
		offer(q, slot);
		if (found)
			return true;
	}
	return false;
}

static void frames(struct virtio *v)
{
	unsigned echoed = 0;
	uint32_t before = queue_irqs(&v->queue[RX]);
	for (unsigned i = 0; i < RX_BUFFERS; i++)
		offer(&v->queue[RX], i);
	for (unsigned i = 1; i <= FRAMES; i++) {
		int64_t n = send(v, i);
		if (n < 0) {
			check(false, "send", "frame %u", i);
			return;
		}
		echoed += receive(v, i);
	}
	value("echoed", "%u of %u", echoed, FRAMES);
	check(WAIT_US(queue_irqs(&v->queue[RX]) > before, SOON), "interrupt", "none came");
}

static uint8_t command(struct virtio *v, uint8_t class, uint8_t what, const void *data, unsigned bytes)
{
	uint8_t *m = virtio_buffer;
	m[0] = class;
	m[1] = what;
	memcpy(m + 8, data, bytes);
	m[512] = 0xee;
	struct buffer b[] = {{m, 2, false}, {m + 8, bytes, false}, {m + 512, 1, true}};
	queue_run(&v->queue[CONTROL], b, 3);
	return m[512];
}

static void commands(struct virtio *v)
{
	static const uint8_t on = 1, other[6] = {0x52, 0x54, 0, 1, 2, 3};
	if (!(v->features & N_CTRL_VQ))
		return;
	value("promiscuous", "%02x", command(v, 0, 0, &on, 1));
	value("all-multicast", "%02x", command(v, 0, 1, &on, 1));
	report("promiscuous-long", "%02x", command(v, 0, 0, other, 2));
	value("mac-set", "%02x", command(v, 1, 1, other, 6));
	read_mac(v);
	value("mac-new", "%s", hex(mac, 6));
	value("unknown-class", "%02x", command(v, 99, 0, &on, 1));
	value("unknown-command", "%02x", command(v, 0, 99, &on, 1));
}

TEST_SLOW(virtio_net, "virtio-net")
{
	struct virtio *v = virtio_find(VIRTIO_NET, 0);
	if (!check(v, "present", "there is no virtio network interface") ||
	    !virtio_open(v, N_MAC | N_MRG_RXBUF | N_STATUS | N_CTRL_VQ | N_CTRL_RX | N_CTRL_MAC))
		return;
	read_mac(v);
	value("mac", "%s", hex(mac, 6));
	value("link", "%04x", config_read(v, 6, 2));
	frames(v);
	commands(v);
	virtio_reset(v);
	if (virtio_start(v, N_MAC | N_STATUS)) { /* the short header by the legacy interface */
		read_mac(v);
		frames(v);
	}
	virtio_stop(v);
}
