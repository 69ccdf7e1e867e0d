// SPDX-License-Identifier: MIT
/* read_by_map.c FILE - exits with 0 when the file reads the same by mmap() as by read(). */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = open(argc > 1 ? argv[1] : "", O_RDONLY);
	char *mapped, *bytes;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return 2;
	mapped = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	bytes = malloc(st.st_size);
	if (mapped == MAP_FAILED || !bytes || read(fd, bytes, st.st_size) != st.st_size)
		return 3;
	return memcmp(mapped, bytes, st.st_size) ? 1 : 0;
}
