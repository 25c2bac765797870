/* System control port A: bit 1 is A20, bit 0 the fast reset (left alone here; exit=reset92). */
#include "kernel.h"

TEST(port92)
{
	outb(0x92, 0x02);
	value("a20", "%02x", inb(0x92) & 0x03);
	/* A20 on: an address with bit 20 set is not its alias a MiB lower. */
	volatile uint32_t *high = (volatile uint32_t *)0x107f00, *low = (volatile uint32_t *)0x7f00;
	uint32_t old = *low, kept = *high;
	*low = ~kept;
	check(*high == kept, "a20-open", "1 MiB answers at 0");
	*low = old;
}
