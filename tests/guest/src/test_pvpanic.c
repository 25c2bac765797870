/* pvpanic (QEMU docs/specs/pvpanic): port 505h reads as the events that the host takes. */
#include "kernel.h"

TEST(pvpanic)
{
	value("events", "%02x", inb(0x505));
}
