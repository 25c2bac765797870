/* The content of requests to virtio devices: patterns that say where they belong. */
#include "virtio.h"

void fill(void *at, size_t bytes, uint64_t seed)
{
	for (uint64_t *p = at, *end = p + bytes / 8; p < end; seed += PATTERN_STEP)
		*p++ = seed;
}

bool filled(const void *at, size_t bytes, uint64_t seed)
{
	for (const uint64_t *p = at, *end = p + bytes / 8; p < end; seed += PATTERN_STEP)
		if (*p++ != seed)
			return false;
	return true;
}

bool zeroed(const void *at, size_t bytes)
{
	for (const uint64_t *p = at, *end = p + bytes / 8; p < end;)
		if (*p++)
			return false;
	return true;
}

void zero(void *at, size_t bytes)
{
	size_t words = bytes / 8;
	asm volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(0ull) : "memory");
	memset(at, 0, bytes % 8);
}

const char *hex(const void *at, unsigned bytes)
{
	static char text[257];
	const uint8_t *p = at;
	text[0] = 0;
	for (unsigned i = 0; i < bytes && i < 128; i++)
		format(text + 2 * i, 3, "%02x", p[i]);
	return text;
}
