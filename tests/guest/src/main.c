/* From an entry to the tests the command line names, and out. */
#include "kernel.h"

extern const struct test tests_start[], tests_end[];
extern uint64_t window[512];

/* test=a,b runs those tests; test=all also the slow ones; without it, all that are not slow. */
static bool selected(const struct test *t)
{
	if (!option("test"))
		return !t->slow;
	return option_has("test", t->name) || option_has("test", "all");
}

/* Words of test= that no test answers to: a misspelt test must not pass. */
static void check_names(void)
{
	if (!exit_known())
		check(false, "exit-known", "there is no such exit=");
	const char *at = option("test");
	if (!at || option_has("test", "all"))
		return;
	while (*at && *at != ' ') {
		char word[32];
		unsigned n = 0;
		for (; *at && *at != ' ' && *at != ','; at++)
			if (n < sizeof word - 1)
				word[n++] = *at;
		word[n] = 0;
		bool known = false;
		for (const struct test *t = tests_start; t < tests_end; t++)
			known |= length(t->name) == n && !compare(t->name, word, n);
		if (!known)
			check(false, "test-known", "there is no test %s", word);
		if (*at == ',')
			at++;
	}
}

void kmain(unsigned how, uint64_t info)
{
	console_init();
	bootinfo_init(how, info);
	idt_init();
	time_init();
	uint64_t start = now_us();
	/* The PIC first: QEMU keeps a PIC interrupt requested that LVT0 is masked under. */
	pic_init();
	lapic_init();
	pm_base();
	check_names();
	for (const struct test *t = tests_start; t < tests_end; t++) {
		if (!selected(t))
			continue;
		begin_test(t->name);
		t->run();
	}
	begin_test("kernel");
	report("elapsed-us", "%lu", now_us() - start);
	print("done %u ok, %u not ok\n", tests_ok(), tests_failed());
	leave(tests_failed() != 0);
}

void *map(uint64_t physical)
{
	if (physical < 1ull << 32)
		return (void *)physical;
	uint64_t at = 1ull << 32;
	window[0] = (physical & ~0x1fffffull) | PTE_LARGE;
	asm volatile("invlpg (%0)" : : "r"(at) : "memory");
	return (void *)(at + (physical & 0x1fffff));
}

int compare(const void *a, const void *b, size_t n)
{
	const uint8_t *p = a, *q = b;
	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p - *q;
	return 0;
}

size_t length(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

/* GCC may call these two for structures even in freestanding code. */
void *memcpy(void *to, const void *from, size_t n)
{
	void *start = to;
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return start;
}

void *memset(void *to, int c, size_t n)
{
	void *start = to;
	asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return start;
}
