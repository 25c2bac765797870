/* The ways out, chosen by exit= on the command line. Without it the kernel leaves by the debug
   exit port, else by S5, else by a reset, whichever the machine has. */
#include "kernel.h"

#define DEBUG_EXIT 0xf4 /* QEMU's isa-debug-exit: the status is value<<1|1 */
#define EXIT_PASS 0x10
#define EXIT_FAIL 0x11
#define PVPANIC 0x505
#define IB700_START 0x443
#define I8042_STATUS 0x64
#define SLP_EN (1 << 13)
#define PWRBTN (1 << 8)

static void poweroff(void)
{
	uint16_t base = pm_base();
	uint8_t type = 0;
	if (!base)
		return;
	acpi_s5(&type);
	outw((uint16_t)(base + 4), (uint16_t)(type << 10 | SLP_EN)); /* PM1a_CNT */
}

/* Listens to the power button from now on, as a system does, and powers off when it is pressed. */
static void obey_button(void)
{
	uint16_t base = pm_base();
	if (!base)
		return;
	outw(base, PWRBTN);				    /* PM1 status: what was pressed before is lost */
	outw((uint16_t)(base + 2), PWRBTN);		    /* PM1 enable */
	outw((uint16_t)(base + 4), (uint16_t)(inw((uint16_t)(base + 4)) | 1)); /* SCI_EN */
	while (!(inw(base) & PWRBTN))
		delay_us(1000);
	poweroff();
}

static void reset_by_keyboard(void)
{
	WAIT_US(!(inb(I8042_STATUS) & 2), 10000); /* input buffer free */
	outb(I8042_STATUS, 0xfe);		  /* pulse output line 0, the reset */
}

/* The reset register of the FADT (ACPI 6.5, 4.8.3.6), in I/O space as on every PC. */
static void reset_by_acpi(void)
{
	const uint8_t *fadt = (const uint8_t *)acpi_table("FACP", 0);
	if (!fadt || ((const struct acpi_header *)fadt)->length < 129)
		return;
	if (!(fadt[113] & 1 << 2) || fadt[116] != 1) /* RESET_REG_SUP; system I/O */
		return;
	outb((uint16_t)(fadt[120] | fadt[121] << 8), fadt[128]);
}

static void triple_fault(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) none = {0, 0};
	asm volatile("lidt %0; ud2" : : "m"(none));
}

bool exit_known(void)
{
	static const char *const names[] = {"debug", "poweroff", "reboot", "reset92", "cf9",
					    "triple", "panic",	 "halt",   "hang",    "kbd",  "watchdog", "button"};
	bool known = !option("exit");
	for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
		known |= option_has("exit", names[i]);
	return known;
}

void leave(bool failed)
{
	cli();
	if (option_has("exit", "debug") || !option("exit")) {
		outb(DEBUG_EXIT, failed ? EXIT_FAIL : EXIT_PASS);
		poweroff();
		reset_by_keyboard();
	} else if (option_has("exit", "poweroff")) {
		poweroff();
	} else if (option_has("exit", "reboot")) {
		reset_by_acpi();
		reset_by_keyboard();
	} else if (option_has("exit", "kbd")) {
		reset_by_keyboard();
	} else if (option_has("exit", "reset92")) {
		outb(0x92, (uint8_t)(inb(0x92) & ~1));
		outb(0x92, (uint8_t)(inb(0x92) | 1));
	} else if (option_has("exit", "cf9")) {
		outb(0xcf9, 0x02); /* hard reset, then the rising edge of RCPU */
		outb(0xcf9, 0x06);
	} else if (option_has("exit", "triple")) {
		triple_fault();
	} else if (option_has("exit", "panic")) {
		outb(PVPANIC, 1);
	} else if (option_has("exit", "watchdog")) {
		outb(IB700_START, 15); /* in no time */
	} else if (option_has("exit", "button")) {
		obey_button();
	} else if (option_has("exit", "hang")) {
		for (;;)
			__builtin_ia32_pause();
	}
	for (;;)
		halt();
}
