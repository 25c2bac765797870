/* PCI configuration mechanism #1 (PCI 2.1, 3.2.2.3) and the PIIX4's power management function
   (Intel 82371AB datasheet, chapter 7). */
#include "kernel.h"

#define CONFADD 0xcf8
#define CONFDATA 0xcfc

static uint16_t select(uint32_t fn, unsigned reg)
{
	outl(CONFADD, 0x80000000 | fn | (reg & 0xfc));
	return (uint16_t)(CONFDATA + (reg & 3));
}

uint32_t pci_read32(uint32_t fn, unsigned reg) { return inl(select(fn, reg)); }
uint16_t pci_read16(uint32_t fn, unsigned reg) { return inw(select(fn, reg)); }
uint8_t pci_read8(uint32_t fn, unsigned reg) { return inb(select(fn, reg)); }
void pci_write32(uint32_t fn, unsigned reg, uint32_t v) { outl(select(fn, reg), v); }
void pci_write16(uint32_t fn, unsigned reg, uint16_t v) { outw(select(fn, reg), v); }
void pci_write8(uint32_t fn, unsigned reg, uint8_t v) { outb(select(fn, reg), v); }

#define PMBASE 0x40
#define PMREGMISC 0x80
#define PM_DEFAULT 0x600

uint16_t pm_base(void)
{
	static bool known;
	static uint16_t base;
	if (known)
		return base;
	known = true;
	if (pci_read32(PCI_PM, 0) != 0x71138086)
		return base;
	if (!(pci_read8(PCI_PM, PMREGMISC) & 1)) { /* no firmware came before us */
		pci_write32(PCI_PM, PMBASE, PM_DEFAULT | 1);
		pci_write8(PCI_PM, PMREGMISC, 1);
	}
	base = pci_read16(PCI_PM, PMBASE) & 0xffc0;
	return base;
}
