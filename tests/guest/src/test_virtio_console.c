/* The virtio console (section 5.3): one port by VIRTIO_CONSOLE_F_MULTIPORT's absence, then several. */
#include "virtio.h"

#define N_SIZE BIT(0)
#define N_MULTIPORT BIT(1)
#define N_EMERGENCY BIT(2)
#define MAX_PORTS 4
#define MESSAGES 8
#define EMERGENCY 8 /* in the configuration */

enum { DEVICE_READY, PORT_ADD, PORT_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME };
enum { RX0, TX0, CONTROL_RX, CONTROL_TX, RX1, TX1 };

struct message {
	uint32_t id;
	uint16_t event, value;
	char text[56];
};

struct port {
	bool added, console, open;
	char name[32];
};

static int64_t say(struct queue *q, const char *text)
{
	unsigned n = (unsigned)length(text);
	memcpy(virtio_buffer + 0x8000, text, n);
	struct buffer b[] = {{virtio_buffer + 0x8000, n / 2, false}, {virtio_buffer + 0x8000 + n / 2, n - n / 2, false}};
	return queue_run(q, b, 2);
}

static int64_t tell(struct virtio *v, uint32_t id, uint16_t event, uint16_t what)
{
	static struct message m;
	m = (struct message){.id = id, .event = event, .value = what};
	struct buffer b = {&m, 8, false};
	return queue_run(&v->queue[CONTROL_TX], &b, 1);
}

static struct message *const inbox = (struct message *)virtio_buffer;

static unsigned slot_of[MAX_RING]; /* the message of an id */

static void offer(struct queue *q, unsigned slot)
{
	struct buffer b = {inbox + slot, sizeof *inbox, true};
	zero(inbox + slot, sizeof *inbox);
	int id = queue_add(q, &b, 1);
	if (id >= 0)
		slot_of[id] = slot;
	queue_kick(q);
}

static void note(struct port *ports, const struct message *m)
{
	if (m->id >= MAX_PORTS) {
		check(false, "port-id", "%u", m->id);
		return;
	}
	struct port *p = &ports[m->id];
	if (m->event == PORT_ADD)
		p->added = true;
	else if (m->event == CONSOLE_PORT)
		p->console = m->value;
	else if (m->event == PORT_OPEN)
		p->open = m->value;
	else if (m->event == PORT_NAME)
		format(p->name, sizeof p->name, "%s", m->text);
}

/* Messages until none comes for a while. */
static void collect(struct virtio *v, struct port *ports)
{
	struct queue *q = &v->queue[CONTROL_RX];
	unsigned id;
	uint32_t n;
	while (WAIT_US(queue_take(q, &id, &n), 20000)) {
		unsigned slot = slot_of[id];
		note(ports, inbox + slot);
		offer(q, slot);
	}
}

static void multiport(struct virtio *v)
{
	static struct port ports[MAX_PORTS];
	zero(ports, sizeof ports);
	if (!(v->features & N_MULTIPORT)) {
		value("ports", "one");
		return;
	}
	/* QEMU drops what it has no buffer for, so there are more than it will say at a time. */
	for (unsigned i = 0; i < MESSAGES; i++)
		offer(&v->queue[CONTROL_RX], i);
	value("device-ready", "%ld", tell(v, 0, DEVICE_READY, 1));
	collect(v, ports);
	for (uint32_t i = 0; i < MAX_PORTS; i++)
		if (ports[i].added)
			tell(v, i, PORT_READY, 1);
	collect(v, ports);
	for (unsigned i = 0; i < MAX_PORTS; i++) {
		char name[8];
		format(name, sizeof name, "port-%u", i);
		if (ports[i].added)
			value(name, "console %u open %u name '%s'", ports[i].console, ports[i].open, ports[i].name);
	}
	for (uint32_t i = 0; i < 2; i++) {
		tell(v, i, PORT_OPEN, 1);
		value("say-multiport", "%ld", say(&v->queue[i ? TX1 : TX0], i ? "to port 1\n" : "to port 0 of several\n"));
	}
	value("port-that-is-not", "%ld", tell(v, 77, PORT_OPEN, 1));
	value("status-after", "%02x", virtio_status(v));
}

TEST_SLOW(virtio_console, "virtio-console")
{
	struct virtio *v = virtio_find(VIRTIO_CONSOLE, 0);
	if (!check(v, "present", "there is no virtio console") || !virtio_open(v, N_SIZE | N_EMERGENCY))
		return;
	struct queue *tx = &v->queue[TX0];
	uint32_t before = queue_irqs(tx);
	value("config", "%ux%u, %u ports", config_read(v, 0, 2), config_read(v, 2, 2), config_read(v, 4, 4));
	value("say", "%ld", say(tx, "hello from the only port\n"));
	check(WAIT_US(queue_irqs(tx) > before, SOON), "interrupt", "none came");
	if (v->features & N_EMERGENCY)
		for (const char *s = "help\n"; *s; s++)
			config_write(v, EMERGENCY, 4, (uint32_t)*s);
	virtio_reset(v);
	if (virtio_start(v, N_SIZE | N_EMERGENCY | N_MULTIPORT))
		multiport(v);
	virtio_stop(v);
}
