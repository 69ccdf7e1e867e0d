// SPDX-License-Identifier: MIT
/* otel_strange.c - has otel_memory sites with an argument that nobody can read, and an ordinary
 * heap. */
#include "truth.h"

#if defined(__x86_64__)
#define UNREADABLE "8@%%xmm0"
#else
#define UNREADABLE "8@d0"
#endif

#define SITE(name, arguments)                                           \
	__asm__ volatile("990: nop\n"                                   \
			 ".pushsection .note.stapsdt, \"\", \"note\"\n" \
			 ".balign 4\n"                                  \
			 ".4byte 992f - 991f, 994f - 993f, 3\n"         \
			 "991: .asciz \"stapsdt\"\n"                    \
			 "992: .balign 4\n"                             \
			 "993: .8byte 990b, 0, 0\n"                     \
			 ".asciz \"otel_memory\"\n"                     \
			 ".asciz \"" name "\"\n"                        \
			 ".asciz \"" arguments "\"\n"                   \
			 "994: .balign 4\n"                             \
			 ".popsection\n")

int main(void)
{
	void *block;

	t_begin();
	SITE("alloc", UNREADABLE " " UNREADABLE " " UNREADABLE);
	for (int i = 0; i < 100; i++) {
		block = t_malloc(100 + (size_t)i);
		if (i % 2)
			t_free(block);
	}
	SITE("free", UNREADABLE);
	t_finish();
	return 0;
}
