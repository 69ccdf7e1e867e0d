// SPDX-License-Identifier: MIT
/* exec_self.c [images] - each image allocates, leaves blocks, and is replaced by the next. */
#include "truth.h"

int main(int argc, char **argv)
{
	long images = t_arg(argc, argv, 1, 3);
	char number[24];
	char *next[] = { argv[0], number, NULL };

	t_begin();
	for (long i = 0; i < images * 10; i++)
		t_malloc((size_t)(images * 100));
	t_free(t_malloc(5));
	if (images <= 1) {
		t_finish();
		return 0;
	}
	t_write();
	snprintf(number, sizeof(number), "%ld", images - 1);
	execv(argv[0], next);
	return 1;
}
