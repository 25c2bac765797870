/* The local APIC (Intel SDM volume 3, chapter 11): timer, IPI to self, task priority. */
#include "kernel.h"

#define VECTOR_TIMER (VECTOR_APIC + 0)
#define VECTOR_SELF (VECTOR_APIC + 1)
#define DIVIDE_BY_1 0xb
#define PERIODIC (1 << 17)
#define SHORTHAND_SELF (1 << 18)
#define MSR_APIC_BASE 0x1b

static void timer(void)
{
	uint32_t before = irq_count[VECTOR_TIMER];
	lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
	lapic_write(LAPIC_TIMER_INITIAL, 0xffffffff);
	uint32_t early = lapic_read(LAPIC_TIMER_CURRENT);
	delay_us(100);
	uint32_t late = lapic_read(LAPIC_TIMER_CURRENT);
	check(late < early, "timer-counts", "current count %u, then %u", early, late);
	lapic_write(LAPIC_LVT_TIMER, VECTOR_TIMER);
	lapic_write(LAPIC_TIMER_INITIAL, 1000000); /* 1 ms of QEMU's and KVM's 1 GHz */
	bool came = WAIT_US(irq_count[VECTOR_TIMER] > before, SOON);
	check(came, "timer-one-shot", "no interrupt");
	delay_us(2000);
	check(irq_count[VECTOR_TIMER] <= before + 1, "timer-once", "%u interrupts", irq_count[VECTOR_TIMER] - before);
	value("timer-expired", "%u", lapic_read(LAPIC_TIMER_CURRENT));

	before = irq_count[VECTOR_TIMER];
	lapic_write(LAPIC_LVT_TIMER, VECTOR_TIMER | PERIODIC);
	lapic_write(LAPIC_TIMER_INITIAL, 1000000);
	check(WAIT_US(irq_count[VECTOR_TIMER] >= before + 3, SOON), "timer-periodic", "%u interrupts of 3",
	      irq_count[VECTOR_TIMER] - before);
	lapic_write(LAPIC_TIMER_INITIAL, 0);
	lapic_write(LAPIC_LVT_TIMER, LAPIC_MASKED);
	check(quiet(VECTOR_TIMER, 3000), "timer-stopped", "interrupts still come");
}

TEST(lapic)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);
	check((base & 0xfffff000) == 0xfee00000, "base", "IA32_APIC_BASE %lx", base);
	check(base & 1 << 11, "enabled", "IA32_APIC_BASE %lx", base);
	value("id", "%u", lapic_read(LAPIC_ID) >> 24);
	value("version", "%02x", lapic_read(LAPIC_VERSION) & 0xff);
	value("svr", "%03x", lapic_read(LAPIC_SVR));

	sti();
	uint32_t before = irq_count[VECTOR_SELF];
	lapic_write(LAPIC_ICR_LOW, SHORTHAND_SELF | 0x4000 | VECTOR_SELF);
	check(WAIT_US(irq_count[VECTOR_SELF] == before + 1, SOON), "ipi-self", "no interrupt");

	lapic_write(LAPIC_TPR, 0x40); /* holds back vectors below 0x50 */
	before = irq_count[VECTOR_SELF];
	lapic_write(LAPIC_ICR_LOW, SHORTHAND_SELF | 0x4000 | VECTOR_SELF);
	delay_us(100);
	check(irq_count[VECTOR_SELF] == before, "tpr-holds", "an interrupt below the task priority came");
	lapic_write(LAPIC_TPR, 0);
	check(WAIT_US(irq_count[VECTOR_SELF] == before + 1, SOON), "tpr-releases", "no interrupt");
	timer();
	cli();
}
