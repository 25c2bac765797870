/* The keyboard controller (8042 of the PC/AT; IBM PS/2 technical reference) and its two devices. */
#include "kernel.h"

#define DATA_PORT 0x60
#define STATUS 0x64 /* 0 output full, 1 input full, 2 system flag, 5 from the mouse */
#define NOTHING 0x100
#define ANSWER_US 200000

static void command(uint8_t c)
{
	WAIT_US(!(inb(STATUS) & 2), ANSWER_US);
	outb(STATUS, c);
}

static void data(uint8_t d)
{
	WAIT_US(!(inb(STATUS) & 2), ANSWER_US);
	outb(DATA_PORT, d);
}

static unsigned answer(void)
{
	if (!WAIT_US(inb(STATUS) & 1, ANSWER_US))
		return NOTHING;
	return inb(DATA_PORT);
}

static void drain(void)
{
	for (unsigned i = 0; i < 64 && inb(STATUS) & 1; i++)
		inb(DATA_PORT);
}

TEST(i8042)
{
	if (inb(STATUS) == 0xff) {
		value("present", "no");
		return;
	}
	value("present", "yes");
	command(0xad); /* both devices off while the controller is asked */
	command(0xa7);
	drain();
	command(0xaa);
	value("self-test", "%02x", answer());
	value("status", "%02x", inb(STATUS) & 0x07);
	command(0xab);
	value("keyboard-interface", "%02x", answer());
	command(0xa9);
	value("mouse-interface", "%02x", answer());
	command(0x60);
	data(0x30); /* both devices off, no interrupts, no translation */
	command(0x20);
	value("command-byte", "%02x", answer());
	command(0xd0);
	value("output-port-a20", "%02x", answer() & 0x03);

	command(0xae);
	data(0xf5); /* no scanning: only answers from here on */
	unsigned ack = answer();
	data(0xf2);
	unsigned identify = answer(), first = answer();
	value("keyboard-id", "%02x %02x %02x %02x", ack, identify, first, answer());
	data(0xee);
	value("keyboard-echo", "%02x", answer());
	data(0xed); /* LEDs, with a parameter */
	ack = answer();
	data(0x00);
	value("keyboard-leds", "%02x %02x", ack, answer());

	command(0xa8);
	command(0xd4);
	data(0xf2);
	ack = answer();
	bool from_mouse = inb(STATUS) & 0x20;
	value("mouse-id", "%02x %02x %u", ack, answer(), from_mouse);
	command(0xd3); /* a byte as if from the mouse */
	data(0x5a);
	WAIT_US(inb(STATUS) & 1, ANSWER_US);
	from_mouse = inb(STATUS) & 0x20;
	value("write-mouse-buffer", "%02x %u", answer(), from_mouse);
	command(0xd2); /* a byte as if from the keyboard */
	data(0xa5);
	value("write-keyboard-buffer", "%02x", answer());
	drain();
	command(0xad);
	command(0xa7);
}
