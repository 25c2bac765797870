/* The console on COM1 and the result lines. */
#include "kernel.h"

#include <stdarg.h>

#define COM1 0x3f8
#define LSR (COM1 + 5)
#define LSR_THRE 0x20
#define FIFO_BYTES 16

static const char *current = "kernel";
static unsigned passed, failed;
static char held[4096];
static unsigned held_bytes;
static bool holding;

void console_init(void)
{
	outb(COM1 + 1, 0x00); /* IER: no interrupts */
	outb(COM1 + 3, 0x80); /* LCR: DLAB, to set 115200 baud */
	outb(COM1 + 0, 1);
	outb(COM1 + 1, 0);
	outb(COM1 + 3, 0x03); /* LCR: 8 data bits, no parity, one stop bit */
	outb(COM1 + 2, 0x07); /* FCR: FIFOs on and cleared */
	outb(COM1 + 4, 0x0b); /* MCR: DTR, RTS, OUT2 */
}

/* A filled FIFO takes 16 bytes for one look at the line status register. The wait is bounded: a
   UART that never empties must not hang the tests of everything else. */
static void send(const char *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (i % FIFO_BYTES == 0)
			for (unsigned tries = 100000; tries && !(inb(LSR) & LSR_THRE); tries--)
				__builtin_ia32_pause();
		outb(COM1, (uint8_t)s[i]);
	}
}

static void emit(const char *s, unsigned n)
{
	if (!holding) {
		send(s, n);
		return;
	}
	for (unsigned i = 0; i < n && held_bytes < sizeof held; i++)
		held[held_bytes++] = s[i];
}

void console_hold(void) { holding = true; }

void console_release(void)
{
	console_init();
	holding = false;
	send(held, held_bytes);
	held_bytes = 0;
}

struct sink {
	char *at, *end;
};

static void put(struct sink *s, char c)
{
	if (s->at < s->end)
		*s->at++ = c;
}

static void put_number(struct sink *s, uint64_t v, unsigned base, unsigned width, char pad)
{
	char digits[24];
	unsigned n = 0;
	do {
		digits[n++] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	for (; width > n; width--)
		put(s, pad);
	while (n)
		put(s, digits[--n]);
}

/* %s %c %d %u %x with l, a width and a leading zero. Returns the number of characters. */
static int vformat(char *buffer, size_t size, const char *f, va_list args)
{
	struct sink s = {buffer, buffer + size - 1};
	for (; *f; f++) {
		if (*f != '%') {
			put(&s, *f);
			continue;
		}
		char pad = ' ';
		unsigned width = 0;
		bool wide = false;
		f++;
		if (*f == '0')
			pad = *f++;
		for (; *f >= '0' && *f <= '9'; f++)
			width = width * 10 + (unsigned)(*f - '0');
		for (; *f == 'l'; f++)
			wide = true;
		switch (*f) {
		case 's':
			for (const char *p = va_arg(args, const char *); *p; p++)
				put(&s, *p);
			break;
		case 'c':
			put(&s, (char)va_arg(args, int));
			break;
		case 'd': {
			int64_t v = wide ? va_arg(args, int64_t) : va_arg(args, int);
			if (v < 0)
				put(&s, '-');
			put_number(&s, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, width, pad);
			break;
		}
		case 'u':
		case 'x': {
			uint64_t v = wide ? va_arg(args, uint64_t) : va_arg(args, unsigned);
			put_number(&s, v, *f == 'u' ? 10 : 16, width, pad);
			break;
		}
		default:
			put(&s, *f);
		}
	}
	*s.at = 0;
	return (int)(s.at - buffer);
}

int format(char *buffer, size_t size, const char *f, ...)
{
	va_list args;
	va_start(args, f);
	int n = vformat(buffer, size, f, args);
	va_end(args);
	return n;
}

void print(const char *f, ...)
{
	char line[512];
	va_list args;
	va_start(args, f);
	int n = vformat(line, sizeof line, f, args);
	va_end(args);
	emit(line, (unsigned)n);
}

/* One line: a head, and a detail made from the caller's format. */
static void line(const char *head, const char *name, const char *between, const char *f, va_list args)
{
	char detail[2100];
	vformat(detail, sizeof detail, f, args);
	print("%s %s %s", head, current, name);
	emit(between, (unsigned)length(between));
	emit(detail, (unsigned)length(detail));
	emit("\n", 1);
}

bool check(bool pass, const char *name, const char *f, ...)
{
	if (pass) {
		passed++;
		print("ok %s %s\n", current, name);
		return true;
	}
	failed++;
	va_list args;
	va_start(args, f);
	line("not ok", name, ": ", f, args);
	va_end(args);
	return false;
}

void report(const char *name, const char *f, ...)
{
	passed++;
	va_list args;
	va_start(args, f);
	line("ok", name, " = ", f, args);
	va_end(args);
}

void value(const char *key, const char *f, ...)
{
	va_list args;
	va_start(args, f);
	line("=", key, " ", f, args);
	va_end(args);
}

void begin_test(const char *name) { current = name; }
unsigned tests_ok(void) { return passed; }
unsigned tests_failed(void) { return failed; }
