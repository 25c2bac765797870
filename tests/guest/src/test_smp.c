/* Application processors: INIT, start-up IPI, and an IPI to each (Intel SDM volume 3, 9.4.4). */
#include "kernel.h"

#define ICR_INIT 0x4500	   /* INIT, assert, edge */
#define ICR_STARTUP 0x4600 /* start-up, the page of the trampoline as vector */
#define VECTOR_PING (VECTOR_APIC + 2)
#define MSR_APIC_BASE 0x1b
#define APIC_BASE_BSP (1 << 8)

extern const uint8_t trampoline[], trampoline_end[];
uint64_t ap_stack;
extern uint8_t ap_stacks[MAX_APS][AP_STACK_SIZE];

static volatile uint32_t ap_running; /* 1 + the local APIC's ID, set last */
static volatile uint32_t ap_initial_id;
static volatile uint64_t ap_apic_base;

void ap_main(void)
{
	idt_load();
	lapic_init();
	ap_initial_id = cpuid(1, 0).ebx >> 24;
	ap_apic_base = rdmsr(MSR_APIC_BASE);
	ap_running = 1 + (lapic_read(LAPIC_ID) >> 24);
	for (;;)
		asm volatile("sti; hlt; cli");
}

static bool start(unsigned apic_id)
{
	ap_running = 0;
	lapic_ipi(apic_id, ICR_INIT);
	delay_us(200);
	for (unsigned i = 0; i < 2; i++) {
		lapic_ipi(apic_id, ICR_STARTUP | TRAMPOLINE >> 12);
		/* The second one is for processors that missed the first. */
		if (WAIT_US(ap_running, i ? SOON : 20000))
			return true;
	}
	return false;
}

static bool ping(unsigned apic_id)
{
	uint32_t before = irq_count[VECTOR_PING];
	lapic_ipi(apic_id, 0x4000 | VECTOR_PING);
	return WAIT_US(irq_count[VECTOR_PING] == before + 1, SOON);
}

TEST(smp)
{
	const struct cpus *c = cpus();
	unsigned self = lapic_read(LAPIC_ID) >> 24, started = 1, want = c->count ? c->count : 1;
	char ids[256];
	int at = 0;

	check(rdmsr(MSR_APIC_BASE) & APIC_BASE_BSP, "bsp-flag", "IA32_APIC_BASE %lx", rdmsr(MSR_APIC_BASE));
	memcpy((void *)TRAMPOLINE, trampoline, (size_t)(trampoline_end - trampoline));
	for (unsigned i = 0; i < c->count; i++) {
		unsigned id = c->apic_id[i];
		at += format(ids + at, sizeof ids - (size_t)at, " %u", id);
		if (id == self)
			continue;
		if (!check(started <= MAX_APS, "stacks", "more than %u APs", MAX_APS))
			break;
		/* The stack of the first AP ends where the second one begins. */
		ap_stack = (uint64_t)ap_stacks[started];
		if (!check(start(id), "started", "CPU with APIC ID %u did not start", id))
			continue;
		started++;
		check(ap_running == id + 1, "apic-id", "APIC ID %u says it is %u", id, ap_running - 1);
		check(ap_initial_id == id, "initial-apic-id", "APIC ID %u: CPUID says %u", id, ap_initial_id);
		check(!(ap_apic_base & APIC_BASE_BSP), "ap-flag", "APIC ID %u: IA32_APIC_BASE %lx", id,
		      ap_apic_base);
		check(ping(id), "ipi", "APIC ID %u took no interrupt", id);
	}
	value("cpus", "%u", started);
	value("apic-ids", "%s", c->count ? ids + 1 : "none");
	check(started == want, "all-started", "%u of %u", started, want);
	if (option("cpus"))
		check(started == option_number("cpus", 0), "expected", "%u of %lu", started,
		      option_number("cpus", 0));
}
