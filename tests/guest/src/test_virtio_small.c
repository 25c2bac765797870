/* The virtio entropy device (section 5.4) and the memory balloon (section 5.5). */
#include "virtio.h"

TEST_SLOW(virtio_rng, "virtio-rng")
{
	struct virtio *v = virtio_find(VIRTIO_RNG, 0);
	if (!check(v, "present", "there is no virtio entropy device") || !virtio_open(v, 0))
		return;
	struct queue *q = &v->queue[0];
	uint32_t before = queue_irqs(q);
	uint8_t *first = virtio_buffer, *second = virtio_buffer + 256;
	zero(virtio_buffer, 512);
	/* Any length above 0 is right. */
	for (unsigned i = 0; i < 2; i++) {
		struct buffer b[] = {{virtio_buffer + 256 * i, 32, true}, {virtio_buffer + 256 * i + 32, 32, true}};
		int64_t n = queue_run(q, b, 2);
		check(n > 0 && n <= 64, "length", "%ld of 64", n);
		check(zeroed(virtio_buffer + 256 * i + 64, 192), "no-more", "bytes beyond the buffers were written");
	}
	check(!zeroed(first, 8) && !zeroed(second, 8) && compare(first, second, 8), "random", "%s", hex(first, 8));
	check(WAIT_US(queue_irqs(q) > before, SOON), "interrupt", "none came");
	/* One request after another, around the ring. */
	unsigned answered = 0;
	for (unsigned i = 0; i < 20; i++) {
		struct buffer b = {first, 8, true};
		answered += queue_run(q, &b, 1) > 0;
	}
	check(answered == 20, "requests", "%u of 20 answered", answered);
	virtio_stop(v);
}

#define PAGES 8
#define NUM_PAGES 0
#define ACTUAL 4

/* A request names pages by their numbers. */
static int64_t give(struct queue *q, const uint8_t *pages, unsigned n)
{
	static uint32_t list[PAGES];
	for (unsigned i = 0; i < n; i++)
		list[i] = (uint32_t)((uint64_t)pages >> 12) + i;
	struct buffer b = {list, 4 * n, false};
	return queue_run(q, &b, 1);
}

TEST_SLOW(virtio_balloon, "virtio-balloon")
{
	struct virtio *v = virtio_find(VIRTIO_BALLOON, 0);
	if (!check(v, "present", "there is no memory balloon") || !virtio_open(v, BIT(0) | BIT(1) | BIT(2)))
		return;
	struct queue *inflate = &v->queue[0], *deflate = &v->queue[1];
	uint8_t *pages = virtio_buffer + 0x1000;
	value("num-pages", "%u", config_read(v, NUM_PAGES, 4));
	value("actual", "%u", config_read(v, ACTUAL, 4));
	uint32_t before = queue_irqs(inflate);
	fill(virtio_buffer, (PAGES + 2) * 4096, 1);
	value("inflate", "%ld", give(inflate, pages, PAGES));
	config_write(v, ACTUAL, 4, PAGES);
	value("actual-inflated", "%u", config_read(v, ACTUAL, 4));
	check(filled(virtio_buffer, 4096, 1), "page-before", "%s", hex(virtio_buffer, 16));
	check(pages[PAGES * 4096] || pages[PAGES * 4096 + 8], "page-after", "it has been taken too");
	report("pages-taken", "%s", zeroed(pages, PAGES * 4096) ? "zeroed" : "kept");
	value("deflate", "%ld", give(deflate, pages, PAGES));
	config_write(v, ACTUAL, 4, 0);
	fill(pages, PAGES * 4096, 3);
	check(filled(pages, PAGES * 4096, 3), "pages-back", "%s", hex(pages, 16));
	value("actual-deflated", "%u", config_read(v, ACTUAL, 4));
	check(WAIT_US(queue_irqs(inflate) > before, SOON), "interrupt", "none came");
	/* Pages that are not there are the guest's mistake, and change nothing. */
	value("inflate-outside", "%ld", give(inflate, (uint8_t *)0xd0000000ull, 2));
	value("inflate-again", "%ld", give(inflate, pages, 1));
	value("deflate-again", "%ld", give(deflate, pages, 1));
	value("status-after", "%02x", virtio_status(v));
	virtio_stop(v);
}
