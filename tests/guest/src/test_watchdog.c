/* The watchdog timers of Intel's 6300ESB (300641, chapter 16) and of the IB700, as a machine that does
   nothing when they fire has them. */
#include "kernel.h"

#define COMMAND 0x04
#define BAR0 0x10
#define PLACE 0xe8000000u /* where nothing is, when firmware did not place the BAR */
#define CONFIG 0x60
#define LOCK 0x68
#define ENABLE 2

#define PRELOAD1 0x0
#define PRELOAD2 0x4
#define RELOAD 0xc
#define DO_RELOAD 0x100
#define TIMEOUT 0x200

static uint64_t registers;
static uint32_t function;

static void write16(uint64_t a, uint16_t v) { *(volatile uint16_t *)a = v; }
static void write8(uint64_t a, uint8_t v) { *(volatile uint8_t *)a = v; }

static void unlock(void)
{
	write8(registers + RELOAD, 0x80);
	write8(registers + RELOAD, 0x86);
}

static void preload(unsigned reg, uint32_t v)
{
	unlock();
	write32(registers + reg, v);
}

static void reload(uint16_t bits)
{
	unlock();
	write16(registers + RELOAD, bits);
}

static bool timed_out(void) { return read16(registers + RELOAD) & TIMEOUT; }

static uint32_t find(void)
{
	for (unsigned slot = 0; slot < 32; slot++)
		if (pci_read32(PCI_FN(0, slot, 0), 0) == 0x25ab8086)
			return PCI_FN(0, slot, 0);
	return 0;
}

static void open(void)
{
	uint32_t was = pci_read32(function, BAR0);
	pci_write16(function, COMMAND, 0);
	pci_write32(function, BAR0, 0xffffffff);
	value("bar", "%08x", pci_read32(function, BAR0));
	registers = was & ~15u ? was & ~15u : PLACE;
	pci_write32(function, BAR0, (uint32_t)registers);
	pci_write16(function, COMMAND, 2);
}

/* The time from enabling to the timeout, in units of 10 ms, rounded. */
static unsigned run(void)
{
	uint64_t from = now_us();
	pci_write8(function, LOCK, ENABLE);
	if (!WAIT_US(timed_out(), SOON))
		return 0;
	unsigned took = (unsigned)((now_us() - from + 5000) / 10000);
	pci_write8(function, LOCK, 0);
	reload(TIMEOUT);
	return took;
}

TEST_SLOW(i6300esb, "i6300esb")
{
	function = find();
	if (!check(function, "present", "there is no 8086:25ab"))
		return;
	value("class", "%06x", pci_read32(function, 8) >> 8);
	value("subsystem", "%08x", pci_read32(function, 0x2c));
	value("pin", "%02x", pci_read8(function, 0x3d));
	open();
	value("config", "%04x", pci_read16(function, CONFIG));
	pci_write16(function, CONFIG, 0xffff);
	value("config-ones", "%04x", pci_read16(function, CONFIG));
	pci_write16(function, CONFIG, 3);
	value("config-kept", "%04x", pci_read16(function, CONFIG));
	value("lock", "%02x", pci_read8(function, LOCK));
	value("timeout-at-first", "%u", timed_out());

	preload(PRELOAD1, 100);
	preload(PRELOAD2, 100);
	write32(registers + PRELOAD1, 5); /* not unlocked, so not taken */
	unsigned took = run();
	check(took >= 19 && took < 80, "two-stages", "%u0 ms, not 200", took);
	value("timeout-cleared", "%u", timed_out());

	/* A unit of a microsecond: the longest time is two seconds, this one 200 ms. */
	pci_write16(function, CONFIG, 7);
	preload(PRELOAD1, 104166);
	preload(PRELOAD2, 104166);
	took = run();
	check(took >= 19 && took < 80, "microseconds", "%u0 ms, not 200", took);

	/* Reloaded in time it does not fire; the lock register shows that it counts. */
	pci_write16(function, CONFIG, 3);
	preload(PRELOAD1, 300);
	preload(PRELOAD2, 300);
	pci_write8(function, LOCK, ENABLE);
	value("enabled", "%02x", pci_read8(function, LOCK));
	for (unsigned i = 0; i < 10; i++) {
		delay_us(100000);
		reload(DO_RELOAD);
	}
	value("reloaded", "%u", timed_out());
	pci_write8(function, LOCK, 0);
	value("disabled", "%02x", pci_read8(function, LOCK));
	delay_us(700000);
	value("disabled-timeout", "%u", timed_out());

	/* Locked, it cannot be stopped. Reloading keeps it quiet until the end. */
	preload(PRELOAD1, 0xfffff);
	pci_write8(function, LOCK, ENABLE | 1);
	value("locked", "%02x", pci_read8(function, LOCK));
	pci_write8(function, LOCK, 0);
	value("locked-kept", "%02x", pci_read8(function, LOCK));
}

/* It cannot be read: whether it has fired, the host tells. */
TEST_SLOW(ib700, "ib700")
{
	value("start-port", "%02x", inb(0x443));
	value("stop-port", "%02x", inb(0x441));
	outb(0x443, 14); /* 2 s */
	delay_us(500000);
	outb(0x443, 14);
	delay_us(500000);
	outb(0x441, 0);
	report("stopped", "%u", 1);
	outb(0x443, 15); /* at once */
	delay_us(20000);
	report("fired", "%u", 1);
}
