/* CPUID: what a kernel looks at before it trusts anything (Intel SDM volume 2, CPUID). */
#include "kernel.h"

#define HYPERVISOR (1u << 31)  /* leaf 1 ECX */
#define TSC_DEADLINE (1 << 24) /* leaf 1 ECX */
#define APIC (1 << 9)	       /* leaf 1 EDX */
#define LONG_MODE (1 << 29)    /* leaf 80000001 EDX */

static const char *text(char *to, uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t words[3] = {a, b, c};
	for (unsigned i = 0; i < 12; i++) {
		char ch = (char)(words[i / 4] >> i % 4 * 8);
		to[i] = ch >= ' ' && ch < 127 ? ch : 0;
	}
	to[12] = 0;
	return to;
}

TEST(cpuid)
{
	char name[13];
	struct cpuid basic = cpuid(0, 0), features = cpuid(1, 0);
	report("vendor", "%s", text(name, basic.ebx, basic.edx, basic.ecx));
	report("max-leaf", "%x", basic.eax);
	check(basic.eax >= 1, "leaf-1", "highest leaf %x", basic.eax);
	check(features.edx & APIC, "apic", "EDX %x", features.edx);
	check(cpuid(0x80000001, 0).edx & LONG_MODE, "long-mode", "EDX %x", cpuid(0x80000001, 0).edx);
	report("signature", "%x", features.eax);
	report("tsc-deadline", "%s", features.ecx & TSC_DEADLINE ? "yes" : "no");
	check(features.ebx >> 24 == lapic_read(LAPIC_ID) >> 24, "apic-id", "CPUID %u, LAPIC %u",
	      features.ebx >> 24, lapic_read(LAPIC_ID) >> 24);

	if (!check(features.ecx & HYPERVISOR, "hypervisor-bit", "ECX %x", features.ecx))
		return;
	struct cpuid hypervisor = cpuid(0x40000000, 0);
	report("hypervisor", "%s", text(name, hypervisor.ebx, hypervisor.ecx, hypervisor.edx));
	check(hypervisor.eax >= 0x40000000 || hypervisor.eax == 0, "hypervisor-leaves", "%x", hypervisor.eax);
	struct cpuid size = cpuid(0x80000008, 0);
	report("physical-bits", "%u", size.eax & 0xff);
	check((size.eax & 0xff) >= 36 && (size.eax & 0xff) <= 52, "physical-bits-sane", "%u", size.eax & 0xff);
}
