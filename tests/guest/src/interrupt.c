/* The IDT, exceptions, and the interrupt controllers: two 8259A and the local APIC
   (Intel 8259A datasheet; Intel SDM volume 3, chapters 6 and 11). */
#include "kernel.h"

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

static struct gate idt[VECTORS] __attribute__((aligned(16)));
extern const uint8_t interrupt_stubs[];
volatile uint32_t irq_count[VECTORS];
volatile uint32_t spurious_count;
void (*irq_hook[VECTORS])(void);

#define INTERRUPT_GATE 0x8e /* present, DPL 0, 64-bit interrupt gate */
#define STUB_BYTES 16
#define LAPIC_BASE 0xfee00000ull

void idt_init(void)
{
	for (unsigned v = 0; v < VECTORS; v++) {
		uint32_t a = (uint32_t)(uint64_t)interrupt_stubs + v * STUB_BYTES;
		idt[v] = (struct gate){(uint16_t)a, CODE64, 0, INTERRUPT_GATE, (uint16_t)(a >> 16), 0, 0};
	}
	idt_load();
}

void idt_load(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = {sizeof idt - 1, (uint64_t)idt};
	asm volatile("lidt %0" : : "m"(pointer));
}

static void exception(const struct frame *f)
{
	uint64_t cr2;
	static bool again;
	asm volatile("mov %%cr2, %0" : "=r"(cr2));
	if (!again) {
		again = true;
		console_release();
		check(false, "exception", "vector %lu error %lx rip %lx cr2 %lx rsp %lx", f->vector,
		      f->error, f->rip, cr2, f->rsp);
		print("done %u ok, %u not ok\n", tests_ok(), tests_failed());
	}
	leave(true);
}

/* IRQ 7 and 15 are also what an 8259A answers when the request is gone: then its in-service bit is
   clear, and it gets no end of interrupt. */
static bool pic_spurious(unsigned irq)
{
	if (irq % 8 != 7)
		return false;
	uint16_t pic = irq < 8 ? PIC1 : PIC2;
	outb(pic, 0x0b); /* OCW3: read ISR */
	if (inb(pic) & 0x80)
		return false;
	if (pic == PIC2)
		outb(PIC1, 0x20);
	spurious_count++;
	return true;
}

void interrupt(const struct frame *f)
{
	unsigned v = (unsigned)f->vector;
	if (v < VECTOR_PIC)
		exception(f);
	if (v >= VECTOR_PIC && v < VECTOR_APIC && pic_spurious(v - VECTOR_PIC))
		return;
	if (v == VECTOR_SPURIOUS) {
		spurious_count++;
		return;
	}
	__atomic_fetch_add(&irq_count[v], 1, __ATOMIC_SEQ_CST);
	if (irq_hook[v])
		irq_hook[v]();
	if (v >= VECTOR_APIC) {
		lapic_write(LAPIC_EOI, 0);
		return;
	}
	if (v >= VECTOR_PIC + 8)
		outb(PIC2, 0x20);
	outb(PIC1, 0x20);
}

void pic_init(void)
{
	static const uint8_t icw[2][4] = {{0x11, VECTOR_PIC, 4, 1}, {0x11, VECTOR_PIC + 8, 2, 1}};
	for (unsigned i = 0; i < 2; i++) {
		uint16_t pic = i ? PIC2 : PIC1;
		outb(pic, icw[i][0]); /* ICW1: edge, cascade, ICW4 follows */
		for (unsigned n = 1; n < 4; n++)
			outb((uint16_t)(pic + 1), icw[i][n]);
	}
	pic_mask_all();
}

void pic_mask_all(void)
{
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
}

void pic_unmask(unsigned irq)
{
	if (irq >= 8) {
		outb(PIC2 + 1, (uint8_t)(inb(PIC2 + 1) & ~(1 << (irq - 8))));
		irq = 2;
	}
	outb(PIC1 + 1, (uint8_t)(inb(PIC1 + 1) & ~(1 << irq)));
}

uint32_t lapic_read(unsigned reg) { return read32(LAPIC_BASE + reg); }
void lapic_write(unsigned reg, uint32_t v) { write32(LAPIC_BASE + reg, v); }

void lapic_init(void)
{
	lapic_write(LAPIC_SVR, 0x100 | VECTOR_SPURIOUS);
	lapic_write(LAPIC_TPR, 0);
	lapic_write(LAPIC_LVT_TIMER, LAPIC_MASKED);
	lapic_write(LAPIC_LVT0, LAPIC_MASKED);
	lapic_write(LAPIC_LVT1, LAPIC_MASKED);
}

void pic_route(bool on) { lapic_write(LAPIC_LVT0, on ? 0x700 : LAPIC_MASKED); }

void lapic_ipi(unsigned apic_id, uint32_t low)
{
	lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
	lapic_write(LAPIC_ICR_LOW, low);
	WAIT_US(!(lapic_read(LAPIC_ICR_LOW) & 1 << 12), 1000);
}
