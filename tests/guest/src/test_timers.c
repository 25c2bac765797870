/* Which of the PC's timers there are, and what the clock shows: for machines that lack some, or whose
   clock the host has set to a known time. Options: date=YYYYMMDDhhmmss sets the clock in rtc-date. */
#include "kernel.h"

#define CHANNEL2 0x42
#define PIT_CONTROL 0x43
#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define HPET 0xfed00000ull

#define KVM_LEAVES 0x40000000
#define KVM_FEATURES 0x40000001
#define KVM_TIMING 0x40000010
#define KVMCLOCK (1 << 0 | 1 << 3 | 1 << 24)

static const char *yes(bool b) { return b ? "yes" : "no"; }

static uint8_t rtc_get(uint8_t reg)
{
	outb(CMOS_INDEX, reg);
	return inb(CMOS_DATA);
}

static void rtc_put(uint8_t reg, uint8_t v)
{
	outb(CMOS_INDEX, reg);
	outb(CMOS_DATA, v);
}

static bool has_pit(void)
{
	outb(PIT_CONTROL, 0xb0); /* channel 2, two bytes, mode 0 */
	outb(PIT_CONTROL, 0xe8); /* latch its status */
	return (inb(CHANNEL2) & 0x3f) == 0x30;
}

static bool kvm_leaf(uint32_t leaf) { return cpuid(1, 0).ecx >> 31 && cpuid(KVM_LEAVES, 0).eax >= leaf; }

TEST_SLOW(timers, "timers")
{
	struct cpuid basic = cpuid(1, 0);
	report("pit", "%s", yes(has_pit()));
	report("rtc", "%s", yes((rtc_get(0x0d) & 0x7f) == 0)); /* register D: 0x80 with a good battery */
	report("hpet", "%s", yes(read32(HPET) == 0x8086a201));
	report("tsc", "%s", yes(basic.edx & 1 << 4));
	report("tsc-deadline", "%s", yes(basic.ecx & 1 << 24));
	report("kvmclock", "%s", yes(kvm_leaf(KVM_FEATURES) && cpuid(KVM_FEATURES, 0).eax & KVMCLOCK));
	report("tsc-khz", "%u", kvm_leaf(KVM_TIMING) ? cpuid(KVM_TIMING, 0).eax : 0);
	const uint8_t *fadt = (const uint8_t *)acpi_table("FACP", 0);
	if (fadt)
		report("fadt", "%02x %x", fadt[108], (fadt[109] | fadt[110] << 8) & 1 << 5);
	report("hpet-table", "%s", yes(acpi_table("HPET", 0)));
}

/* Century, year, month, day, hours, minutes, seconds. */
static const uint8_t date_registers[] = {0x32, 0x09, 0x08, 0x07, 0x04, 0x02, 0x00};

static void show(const char *name)
{
	uint8_t v[sizeof date_registers];
	for (unsigned i = 0; i < sizeof v; i++)
		v[i] = rtc_get(date_registers[i]);
	report(name, "%02x%02x-%02x-%02x %02x:%02x:%02x %u", v[0], v[1], v[2], v[3], v[4], v[5], v[6], rtc_get(0x06));
}

TEST_SLOW(rtc_date, "rtc-date")
{
	rtc_put(0x0b, 0x02); /* BCD, 24 hours */
	show("now");
	const char *date = option("date");
	if (!date)
		return;
	rtc_put(0x0b, 0x82); /* SET */
	for (unsigned i = 0; i < sizeof date_registers && date[0] > ' ' && date[1] > ' '; i++, date += 2)
		rtc_put(date_registers[i], (uint8_t)((date[0] - '0') << 4 | (date[1] - '0')));
	rtc_put(0x0b, 0x02);
	show("then");
}
