/* The two 8259A (Intel 8259A datasheet) and the edge/level registers of the PIIX3. */
#include "kernel.h"

#define ELCR1 0x4d0
#define ELCR2 0x4d1
#define IRQ0 VECTOR_PIC

TEST(pic)
{
	char text[64];
	int n = 0;
	for (unsigned i = 0; i < 4; i++) {
		static const uint8_t mask[] = {0x00, 0x55, 0xaa, 0xff};
		outb(PIC2 + 1, mask[i]);
		outb(PIC1 + 1, mask[i]);
		n += format(text + n, sizeof text - (size_t)n, " %02x%02x", inb(PIC1 + 1), inb(PIC2 + 1));
	}
	value("imr", "%s", text + 1);

	uint8_t elcr1 = inb(ELCR1), elcr2 = inb(ELCR2);
	outb(ELCR1, 0xff); /* IRQ 0, 1, 2, 8 and 13 can only be edge */
	outb(ELCR2, 0xff);
	value("elcr", "%02x %02x", inb(ELCR1), inb(ELCR2));
	outb(ELCR1, elcr1);
	outb(ELCR2, elcr2);

	/* A tick while masked stays requested and is delivered on unmasking. */
	pic_init();
	pic_route(true);
	uint32_t before = irq_count[IRQ0];
	sti();
	pit_set(0, 2, PIT_HZ / 1000);
	outb(PIC1, 0x0a); /* OCW3: read IRR */
	check(WAIT_US(inb(PIC1) & 1, SOON), "irr", "IRR %02x: IRQ 0 is not requested", inb(PIC1));
	check(irq_count[IRQ0] == before, "masked", "a masked interrupt was delivered");
	pic_unmask(0);
	check(WAIT_US(irq_count[IRQ0] >= before + 3, SOON), "irq0", "%u interrupts of 3",
	      irq_count[IRQ0] - before);

	/* With the processor's interrupts off, no end of interrupt: ISR stays clear, and after one
	   delivery it is the handler that clears it. */
	cli();
	outb(PIC1, 0x0b); /* OCW3: read ISR */
	value("isr-idle", "%02x", inb(PIC1));
	pic_mask_all();
	pit_set(0, 0, 0); /* the ticks end */

	/* LVT0 masked: the PIC has no way to the processor. */
	pic_route(false);
	pit_set(0, 2, PIT_HZ / 1000);
	pic_unmask(0);
	before = irq_count[IRQ0];
	sti();
	delay_us(3000);
	cli();
	check(irq_count[IRQ0] == before, "lvt0-masked", "%u interrupts", irq_count[IRQ0] - before);
	pic_init();
	pit_set(0, 0, 0);
}
