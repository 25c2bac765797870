/* The platform tables: ACPI (ACPI 6.5, chapter 5), or the MP table of a machine without
   (MultiProcessor Specification 1.4, chapter 4). */
#include "kernel.h"

static void check_table(const struct acpi_header *t)
{
	char name[5] = {t->signature[0], t->signature[1], t->signature[2], t->signature[3], 0};
	uint8_t sum = checksum(t, t->length);
	check(t->length >= sizeof *t && !sum, name, "length %u, sum %02x", t->length, sum);
}

static void fadt(const uint8_t *f)
{
	uint64_t a = (uint64_t)f;
	uint16_t base = pm_base();
	report("sci", "%u", read16(a + 46));
	if (!base) { /* a machine whose power management is not the PIIX4's */
		report("pm-timer", "%x", read32(a + 76));
	} else {
		check(read32(a + 56) == base, "pm1a-evt", "%x, the function says %x", read32(a + 56), base);
		check(read32(a + 64) == base + 4u, "pm1a-cnt", "%x, the function says %x", read32(a + 64), base + 4);
		check(read32(a + 76) == base + 8u, "pm-tmr", "%x, the function says %x", read32(a + 76), base + 8);
		check(f[88] == 4 && f[89] == 2 && f[91] == 4, "pm-lengths", "%u %u %u", f[88], f[89], f[91]);
	}
	uint16_t smi = (uint16_t)read32(a + 48), control = (uint16_t)read32(a + 64);
	if (smi && !(inw(control) & 1))
		outb(smi, f[52]); /* ACPI_ENABLE */
	check(WAIT_US(inw(control) & 1, SOON), "sci-enabled", "PM1 control %04x", inw(control));
	value("century", "%02x", f[108]);
}

static void madt(const struct acpi_header *m)
{
	const uint8_t *p = (const uint8_t *)m + 44, *end = (const uint8_t *)m + m->length;
	unsigned ioapics = 0;
	uint32_t timer = 0;
	check(read32((uint64_t)m + 36) == 0xfee00000, "lapic-address", "%x", read32((uint64_t)m + 36));
	for (; p + 2 <= end && p[1] >= 2; p += p[1]) {
		if (p[0] == 1) {
			ioapics++;
			check(read32((uint64_t)p + 4) == 0xfec00000, "ioapic-address", "%x", read32((uint64_t)p + 4));
		}
		if (p[0] == 2 && p[3] == 0) /* an interrupt source override for IRQ 0 */
			timer = read32((uint64_t)p + 4);
	}
	check(p == end, "madt-entries", "the last entry ends %ld bytes off the table", (int64_t)(p - end));
	value("ioapics", "%u", ioapics);
	value("irq0-gsi", "%u", timer);
}

static void mp_table(const uint8_t *floating)
{
	if (!check(floating != NULL, "mp-floating-pointer", "not found"))
		return;
	check(!checksum(floating, floating[8] * 16u), "mp-floating-sum", "%02x", checksum(floating, floating[8] * 16u));
	uint64_t table = read32((uint64_t)floating + 4);
	if (!check(table != 0, "mp-table", "a default configuration, no table"))
		return;
	check(!compare((const void *)table, "PCMP", 4), "mp-signature", "%08x", read32(table));
	check(!checksum((const void *)table, read16(table + 4)), "mp-sum", "%02x",
	      checksum((const void *)table, read16(table + 4)));
	unsigned kinds[5] = {0};
	const uint8_t *p = (const uint8_t *)table + 44, *end = (const uint8_t *)table + read16(table + 4);
	for (unsigned n = read16(table + 34); n && p < end; n--, p += p[0] ? 8 : 20)
		if (p[0] < 5)
			kinds[p[0]]++;
	check(p == end, "mp-entries", "the last entry ends %ld bytes off the table", (int64_t)(p - end));
	check(kinds[1] && kinds[2] && kinds[3] && kinds[4], "mp-kinds", "%u buses, %u I/O APICs, %u+%u interrupts",
	      kinds[1], kinds[2], kinds[3], kinds[4]);
}

TEST(acpi)
{
	uint64_t rsdp = (uint64_t)acpi_rsdp();
	value("present", "%s", rsdp ? "yes" : "no");
	if (!rsdp) {
		mp_table(mp_floating_pointer());
		report("cpus", "%u", cpus()->count);
		return;
	}
	check(!compare((const void *)rsdp, "RSD PTR ", 8), "rsdp-signature", "%lx", read64(rsdp));
	check(!checksum((const void *)rsdp, 20), "rsdp-sum", "%02x", checksum((const void *)rsdp, 20));
	if (read8(rsdp + 15) >= 2)
		check(!checksum((const void *)rsdp, 36), "rsdp-extended-sum", "%02x", checksum((const void *)rsdp, 36));

	uint64_t root = read32(rsdp + 16), width = 4;
	if (read8(rsdp + 15) >= 2 && read64(rsdp + 24)) {
		root = read64(rsdp + 24);
		width = 8;
	}
	check_table((const struct acpi_header *)root);
	for (uint64_t e = root + 36; e + width <= root + read32(root + 4); e += width)
		check_table((const struct acpi_header *)(width == 8 ? read64(e) : read32(e)));

	const struct acpi_header *f = acpi_table("FACP", 0), *m = acpi_table("APIC", 0), *d = acpi_table("DSDT", 0);
	if (check(f != NULL, "fadt", "not found"))
		fadt((const uint8_t *)f);
	if (check(d != NULL, "dsdt", "not found"))
		check_table(d);
	if (check(m != NULL, "madt", "not found"))
		madt(m);
	uint8_t type = 0xff;
	check(acpi_s5(&type) && type < 8, "s5", "SLP_TYPa %u", type);
	report("cpus", "%u", cpus()->count);
}
