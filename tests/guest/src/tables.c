/* Finding the platform's tables: ACPI (ACPI 6.5, 5.2) and, on a machine without, the Intel
   MultiProcessor Specification 1.4 (chapter 4). */
#include "kernel.h"

uint8_t checksum(const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t sum = 0;
	/* Eight bytes a round: the DSDT has thousands, and a host may interpret every instruction.
	   The even and the odd bytes are added in four 16-bit lanes, and the product adds the lanes. */
	for (; n >= 8; n -= 8, b += 8) {
		uint64_t w = read64((uint64_t)b);
		w = (w & 0x00ff00ff00ff00ff) + (w >> 8 & 0x00ff00ff00ff00ff);
		sum += w * 0x0001000100010001 >> 48;
	}
	while (n--)
		sum += *b++;
	return (uint8_t)sum;
}

static const uint8_t *scan(uint64_t from, uint64_t to, uint64_t signature, uint64_t mask)
{
	for (; from < to; from += 16)
		if ((read64(from) & mask) == signature)
			return (const uint8_t *)from;
	return NULL;
}

#define RSD_PTR 0x2052545020445352ull /* "RSD PTR " */
#define MP_SIGNATURE 0x5f504d5full    /* "_MP_" */

static uint64_t ebda(void) { return (uint64_t)read16(0x40e) << 4; }

const uint8_t *acpi_rsdp(void)
{
	static bool known;
	static const uint8_t *rsdp;
	if (known)
		return rsdp;
	known = true;
	if (boot.rsdp)
		rsdp = (const uint8_t *)boot.rsdp;
	if (!rsdp && ebda() >= 0x80000 && ebda() < 0xa0000)
		rsdp = scan(ebda(), ebda() + 1024, RSD_PTR, ~0ull);
	if (!rsdp)
		rsdp = scan(0xf0000, 0x100000, RSD_PTR, ~0ull); /* where most firmware puts it */
	if (!rsdp)
		rsdp = scan(0xe0000, 0xf0000, RSD_PTR, ~0ull);
	return rsdp;
}

/* The table with this signature, after skipping some of the same name; the DSDT through the FADT. */
const struct acpi_header *acpi_table(const char *signature, unsigned skip)
{
	const uint8_t *rsdp = acpi_rsdp();
	if (!rsdp)
		return NULL;
	if (!compare(signature, "DSDT", 4)) {
		const uint8_t *fadt = (const uint8_t *)acpi_table("FACP", 0);
		return fadt ? (const struct acpi_header *)(uint64_t)read32((uint64_t)fadt + 40) : NULL;
	}
	uint64_t root = read32((uint64_t)rsdp + 16);
	unsigned width = 4;
	if (rsdp[15] >= 2 && read64((uint64_t)rsdp + 24)) {
		root = read64((uint64_t)rsdp + 24);
		width = 8;
	}
	uint64_t end = root + read32(root + 4);
	for (uint64_t e = root + sizeof(struct acpi_header); e + width <= end; e += width) {
		uint64_t a = width == 8 ? read64(e) : read32(e);
		if (!compare((const void *)a, signature, 4) && !skip--)
			return (const struct acpi_header *)a;
	}
	return NULL;
}

/* Name (_S5, Package (...) {SLP_TYPa, ...}): NameOp "_S5_" PackageOp PkgLength NumElements. */
static bool find_s5(const struct acpi_header *t, uint8_t *slp_typa)
{
	const uint8_t *p = (const uint8_t *)(t + 1), *end = (const uint8_t *)t + t->length;
	for (; p + 9 <= end; p++) { /* the shortest form there is, and the byte of a BytePrefix */
		if (read32((uint64_t)p) != 0x5f35535f || p[4] != 0x12)
			continue;
		p += 5;
		p += (*p >> 6) + 2; /* PkgLength of 1-4 bytes, NumElements */
		*slp_typa = *p == 0x0a ? p[1] : *p; /* BytePrefix, or ZeroOp / OneOp */
		return true;
	}
	return false;
}

bool acpi_s5(uint8_t *slp_typa)
{
	const struct acpi_header *t = acpi_table("DSDT", 0);
	if (t && find_s5(t, slp_typa))
		return true;
	for (unsigned i = 0; (t = acpi_table("SSDT", i)); i++)
		if (find_s5(t, slp_typa))
			return true;
	return false;
}

const uint8_t *mp_floating_pointer(void)
{
	static bool known;
	static const uint8_t *found;
	if (known)
		return found;
	known = true;
	if (ebda() >= 0x80000 && ebda() < 0xa0000)
		found = scan(ebda(), ebda() + 1024, MP_SIGNATURE, 0xffffffff);
	if (!found)
		found = scan(0x9fc00, 0xa0000, MP_SIGNATURE, 0xffffffff);
	if (!found)
		found = scan(0xf0000, 0x100000, MP_SIGNATURE, 0xffffffff);
	return found;
}

static void cpus_from_madt(struct cpus *c, const struct acpi_header *madt)
{
	const uint8_t *p = (const uint8_t *)madt + 44, *end = (const uint8_t *)madt + madt->length;
	c->source = "madt";
	for (; p + 2 <= end && p[1] >= 2; p += p[1])
		if (p[0] == 0 && p[4] & 1 && c->count < MAX_CPUS) /* local APIC, enabled */
			c->apic_id[c->count++] = p[3];
}

static void cpus_from_mp(struct cpus *c, uint64_t table)
{
	unsigned entries = read16(table + 34);
	c->source = "mp";
	for (const uint8_t *p = (const uint8_t *)table + 44; entries--; p += p[0] ? 8 : 20)
		if (p[0] == 0 && p[3] & 1 && c->count < MAX_CPUS) /* processor, enabled */
			c->apic_id[c->count++] = p[1];
}

const struct cpus *cpus(void)
{
	static struct cpus c;
	if (c.source)
		return &c;
	c.source = "none";
	const struct acpi_header *madt = acpi_table("APIC", 0);
	const uint8_t *mp = mp_floating_pointer();
	if (madt)
		cpus_from_madt(&c, madt);
	else if (mp && read32((uint64_t)mp + 4))
		cpus_from_mp(&c, read32((uint64_t)mp + 4));
	return &c;
}
