/* PCI: configuration mechanism #1 and what is on bus 0 (PCI 2.1, 3.2.2.3 and chapter 6). */
#include "kernel.h"

#define CONFADD 0xcf8
#define CONFDATA 0xcfc
#define HOST PCI_FN(0, 0, 0)
#define ISA PCI_FN(0, 1, 0)
#define ABSENT PCI_FN(0, 31, 0)
#define COMMAND 0x04
#define REVISION 0x08
#define HEADER_TYPE 0x0e
#define INTERRUPT_LINE 0x3c

static void mechanism(void)
{
	outl(CONFADD, 0x80000000 | ISA | 0x08);
	value("address", "%08x", inl(CONFADD));
	outb(CONFADD + 3, 0x00); /* only a doubleword reaches the address register */
	value("address-byte-write", "%08x", inl(CONFADD));
	outl(CONFADD, HOST); /* bit 31 clear: no configuration cycle */
	value("disabled", "%08x", inl(CONFDATA));
	outl(CONFADD, 0x80000000 | HOST);
	uint32_t whole = inl(CONFDATA);
	check(inb(CONFDATA) == (whole & 0xff) && inb(CONFDATA + 1) == (whole >> 8 & 0xff) &&
		      inb(CONFDATA + 2) == (whole >> 16 & 0xff) && inb(CONFDATA + 3) == whole >> 24 &&
		      inw(CONFDATA) == (whole & 0xffff) && inw(CONFDATA + 2) == whole >> 16,
	      "data-bytes", "bytes and words differ from %08x", whole);
	value("absent", "%08x %04x %02x", pci_read32(ABSENT, 0), pci_read16(ABSENT, 0), pci_read8(ABSENT, 0));
	value("absent-bus", "%08x", pci_read32(PCI_FN(7, 0, 0), 0));
}

static void registers(void)
{
	uint32_t id = pci_read32(HOST, 0);
	pci_write32(HOST, 0, 0x12345678);
	value("id-read-only", "%08x", pci_read32(HOST, 0));
	check(pci_read32(HOST, 0) == id, "id-kept", "%08x", pci_read32(HOST, 0));
	if (pci_read32(PCI_FN(0, 1, 1), 0) == 0xffffffff)
		return;

	/* The IDE function has a bus-master BAR of 16 ports, and no other. */
	uint32_t fn = PCI_FN(0, 1, 1), bar = pci_read32(fn, 0x20);
	uint16_t command = pci_read16(fn, COMMAND);
	pci_write16(fn, COMMAND, 0);
	pci_write32(fn, 0x20, 0xffffffff);
	value("ide-bmiba-size", "%08x", pci_read32(fn, 0x20));
	pci_write32(fn, 0x20, bar);
	pci_write32(fn, 0x10, 0xffffffff);
	value("ide-bar0", "%08x", pci_read32(fn, 0x10));
	pci_write16(fn, COMMAND, command);
}

/* One line a function, ordered by address. */
static void scan(void)
{
	for (unsigned dev = 0; dev < 32; dev++)
		for (unsigned f = 0; f < 8; f++) {
			uint32_t fn = PCI_FN(0, dev, f), id = pci_read32(fn, 0);
			if (id == 0xffffffff) {
				if (!f)
					break;
				continue;
			}
			uint32_t class = pci_read32(fn, REVISION);
			uint8_t header = pci_read8(fn, HEADER_TYPE);
			char name[16];
			format(name, sizeof name, "00:%02x.%u", dev, f);
			value(name, "%04x:%04x class %06x rev %02x header %02x", id & 0xffff, id >> 16,
			      class >> 8, class & 0xff, header);
			if (!f && !(header & 0x80))
				break;
		}
}

TEST(pci)
{
	mechanism();
	registers();
	scan();
}
