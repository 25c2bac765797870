/* Interrupts of a virtio function: INTx by the PIIX3's PIRQ routing and the PICs (Intel 82371AB
   datasheet, 4.1.10 and 4.3), or messages (PCI 3.0, 6.8.2). Entry n of the MSI-X table has vector
   VECTOR_FIRST + n; entry 0 is the configuration's, n the queue's before it. */
#include "virtio.h"

#define VECTOR_FIRST 0x38
#define ENTRIES (VECTOR_SPURIOUS - VECTOR_FIRST)
#define INTX_IRQ 11
#define PIIX3 PCI_FN(0, 1, 0)
#define PIRQRC 0x60
#define ELCR2 0x4d1
#define MSIX_ENABLE 0x8000
#define LAPIC_MESSAGES 0xfee00000

static struct virtio *current;
static uint8_t routes[4], elcr;

static void on_intx(void) { current->isr_seen |= virtio_isr(current); }

/* The entries in use: the vectors there are, and one more would not help. */
static unsigned used_entries(struct virtio *v) { return v->entries < ENTRIES ? v->entries : ENTRIES; }

unsigned msix_entry(struct virtio *v, unsigned queue)
{
	unsigned last = used_entries(v) - 1;
	return queue + 1 < last ? queue + 1 : last;
}

void msix_mask(struct virtio *v, unsigned entry, bool masked) { write32(v->table + 16 * entry + 12, masked); }

void msix_enable(struct virtio *v, bool on)
{
	pci_write16(v->fn, v->msix_cap + 2u, on ? MSIX_ENABLE : 0);
}

static void messages_on(struct virtio *v)
{
	msix_enable(v, true);
	for (unsigned n = 0; n < used_entries(v); n++) {
		uint64_t entry = v->table + 16 * n;
		write32(entry, LAPIC_MESSAGES | lapic_read(LAPIC_ID) >> 24 << 12);
		write32(entry + 4, 0);
		write32(entry + 8, VECTOR_FIRST + n);
		msix_mask(v, n, false);
	}
}

void virtio_irq_on(struct virtio *v)
{
	current = v;
	if (v->msix) {
		messages_on(v);
	} else {
		for (unsigned i = 0; i < 4; i++) {
			routes[i] = pci_read8(PIIX3, PIRQRC + i);
			pci_write8(PIIX3, PIRQRC + i, INTX_IRQ);
		}
		elcr = inb(ELCR2);
		outb(ELCR2, elcr | 1 << (INTX_IRQ - 8)); /* level */
		irq_hook[VECTOR_PIC + INTX_IRQ] = on_intx;
		pic_unmask(INTX_IRQ);
		pic_route(true);
	}
	for (unsigned i = 0; i < MAX_QUEUES; i++)
		v->queue[i].vector = v->msix ? VECTOR_FIRST + msix_entry(v, i) : VECTOR_PIC + INTX_IRQ;
	sti();
}

void virtio_irq_off(struct virtio *v)
{
	cli();
	if (v->msix) {
		msix_enable(v, false);
		return;
	}
	pic_route(false);
	pic_mask_all();
	irq_hook[VECTOR_PIC + INTX_IRQ] = NULL;
	outb(ELCR2, elcr);
	for (unsigned i = 0; i < 4; i++)
		pci_write8(PIIX3, PIRQRC + i, routes[i]);
}

uint32_t queue_irqs(struct queue *q) { return irq_count[q->vector]; }
