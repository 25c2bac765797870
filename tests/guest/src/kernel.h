/* What the tests of the kernel share. See the package comment of guest.go for how to add one. */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

/* ---- Tests. A file test_x.c says TEST(x) { ... }; a slow one runs only when it is named. ---- */

struct test {
	const char *name;
	void (*run)(void);
	bool slow;
	const char *pad;
};

#define DEFINE_TEST(id, string, is_slow)                                                       \
	static void test_##id(void);                                                           \
	static const struct test test_entry_##id                                               \
		__attribute__((section(".tests"), used, aligned(16))) = {string, test_##id,    \
									 is_slow, 0};          \
	static void test_##id(void)
#define TEST(id) DEFINE_TEST(id, #id, false)
#define TEST_SLOW(id, string) DEFINE_TEST(id, string, true)

/* check: one "ok" or "not ok" line; the format is the detail of a failure.
   report: an "ok" line with a value that may differ between machines.
   value: a "=" line, whose value every correct machine answers alike. */
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
bool check(bool pass, const char *name, const char *format, ...) PRINTF(3, 4);
void report(const char *name, const char *format, ...) PRINTF(2, 3);
void value(const char *key, const char *format, ...) PRINTF(2, 3);
int format(char *buffer, size_t size, const char *format, ...) PRINTF(3, 4);

/* print.c */
void print(const char *format, ...) PRINTF(1, 2);
void console_init(void);
void console_hold(void);    /* keep the output in memory: the UART is being tested */
void console_release(void); /* set the UART up again and print what was held */
void begin_test(const char *name);
unsigned tests_ok(void), tests_failed(void);

/* ---- How the machine was booted (bootinfo.c) ---- */

struct range {
	uint64_t start, size; /* bytes */
	uint32_t type;	      /* E820: 1 RAM, 2 reserved, 3 ACPI reclaimable, 4 NVS, 5 unusable */
};

struct bootinfo {
	unsigned how; /* BOOTED_ */
	char cmdline[2048];
	uint64_t initrd, initrd_size; /* bytes */
	uint64_t rsdp;		      /* physical address, 0 if the loader gave none */
	const uint8_t *zero_page;     /* NULL under PVH */
	unsigned ranges;
	struct range range[128];
};

extern struct bootinfo boot;
void bootinfo_init(unsigned how, uint64_t info);
/* option finds name=value on the command line. The value ends at a blank; NULL if absent. */
const char *option(const char *name);
uint64_t option_number(const char *name, uint64_t otherwise);
bool option_has(const char *name, const char *word); /* name=a,word,b */

/* ---- Leaving (exit.c) ---- */
void leave(bool failed) __attribute__((noreturn));
bool exit_known(void);

/* ---- Time (time.c): the TSC, calibrated against PIT channel 2 ---- */
extern uint64_t tsc_khz;
void time_init(void);
uint64_t now_us(void);
void delay_us(uint64_t us);
/* check "tick-rate": a periodic interrupt comes at about this rate. Ticks may be merged when the host
   is late and made up for afterwards, so a third of them is enough, and there are several tries. */
bool ticks_at(unsigned vector, unsigned hz);
/* quiet: no interrupt of this vector for so long, once those on their way have arrived. */
bool quiet(unsigned vector, uint64_t us);
#define WAIT_US(condition, us)                                                                 \
	({                                                                                     \
		uint64_t deadline_ = now_us() + (us);                                          \
		bool met_;                                                                     \
		while (!(met_ = (condition)) && now_us() < deadline_)                          \
			__builtin_ia32_pause();                                                \
		met_;                                                                          \
	})

/* For what has to happen: a met condition does not wait, and a busy host may be away for long. */
#define SOON 1000000

#define PIT_HZ 1193182
#define PM_TIMER_HZ 3579545
void pit_set(unsigned channel, unsigned mode, unsigned count);
unsigned pit_latch(unsigned channel); /* latch and read a 16-bit count */

/* ---- Interrupts (interrupt.c) ---- */
struct frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

extern volatile uint32_t irq_count[VECTORS];
extern volatile uint32_t spurious_count;
extern void (*irq_hook[VECTORS])(void); /* called before the end of interrupt */
void idt_init(void);
void idt_load(void);

#define PIC1 0x20
#define PIC2 0xa0
void pic_init(void);		       /* vectors 0x20-0x2f, all masked */
void pic_unmask(unsigned irq);	       /* also the cascade, for IRQ 8-15 */
void pic_mask_all(void);
void pic_route(bool on);	       /* LVT0 as ExtINT, or masked */

#define LAPIC_ID 0x20
#define LAPIC_VERSION 0x30
#define LAPIC_TPR 0x80
#define LAPIC_EOI 0xb0
#define LAPIC_SVR 0xf0
#define LAPIC_ESR 0x280
#define LAPIC_ICR_LOW 0x300
#define LAPIC_ICR_HIGH 0x310
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_LVT0 0x350
#define LAPIC_LVT1 0x360
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE 0x3e0
#define LAPIC_MASKED (1 << 16)
uint32_t lapic_read(unsigned reg);
void lapic_write(unsigned reg, uint32_t v);
void lapic_init(void);
void lapic_ipi(unsigned apic_id, uint32_t low);

/* ---- Platform tables (tables.c) ---- */
struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

#define MAX_CPUS 256
struct cpus {
	unsigned count;
	uint8_t apic_id[MAX_CPUS];
	const char *source; /* "madt", "mp" or "none" */
};

const uint8_t *acpi_rsdp(void);
const struct acpi_header *acpi_table(const char *signature, unsigned skip);
const uint8_t *mp_floating_pointer(void);
const struct cpus *cpus(void);
uint8_t checksum(const void *p, size_t n); /* 0 when the table is whole */
bool acpi_s5(uint8_t *slp_typa);	   /* \_S5 of the DSDT or an SSDT */

/* ---- PCI (pci.c), configuration mechanism #1 ---- */
#define PCI_FN(bus, dev, fn) ((uint32_t)(bus) << 16 | (dev) << 11 | (fn) << 8)
#define PCI_PM PCI_FN(0, 1, 3)
uint32_t pci_read32(uint32_t fn, unsigned reg);
uint16_t pci_read16(uint32_t fn, unsigned reg);
uint8_t pci_read8(uint32_t fn, unsigned reg);
void pci_write32(uint32_t fn, unsigned reg, uint32_t v);
void pci_write16(uint32_t fn, unsigned reg, uint16_t v);
void pci_write8(uint32_t fn, unsigned reg, uint8_t v);
uint16_t pm_base(void); /* the PIIX4's power management ports, enabled; 0 if it has no such function */

/* ---- Memory ---- */
void *map(uint64_t physical); /* memory above 4 GiB: valid until the next map, to the end of 2 MiB */
int compare(const void *a, const void *b, size_t n);
size_t length(const char *s);
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);

/* ---- Instructions ---- */
static inline void outb(uint16_t port, uint8_t v) { asm volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline void outw(uint16_t port, uint16_t v) { asm volatile("outw %0, %1" : : "a"(v), "Nd"(port)); }
static inline void outl(uint16_t port, uint32_t v) { asm volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }
static inline uint8_t inb(uint16_t port) { uint8_t v; asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline uint16_t inw(uint16_t port) { uint16_t v; asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline uint32_t inl(uint16_t port) { uint32_t v; asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline void sti(void) { asm volatile("sti" : : : "memory"); }
static inline void cli(void) { asm volatile("cli" : : : "memory"); }
static inline void halt(void) { asm volatile("hlt" : : : "memory"); }

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;
	asm volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;
	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

struct cpuid { uint32_t eax, ebx, ecx, edx; };
static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;
	asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
	return r;
}

/* Device memory and tables: one access of the given width, not moved, at any alignment. */
static inline uint8_t read8(uint64_t a) { return *(volatile uint8_t *)a; }
static inline uint16_t read16(uint64_t a) { return *(volatile uint16_t *)a; }
static inline uint32_t read32(uint64_t a) { return *(volatile uint32_t *)a; }
static inline uint64_t read64(uint64_t a) { return *(volatile uint64_t *)a; }
static inline void write32(uint64_t a, uint32_t v) { *(volatile uint32_t *)a = v; }

#endif
