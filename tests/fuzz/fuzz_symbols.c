// SPDX-License-Identifier: MIT
/*
 * fuzz_symbols.c - damages ELF files with debug information, and asks for names of places in them.
 *
 *	fuzz_symbols FILE_OR_DIR [SEED [SECONDS]]
 *
 * An input is a file with a few changes, most of them in sections that are read for names. Each is
 *tried in a process of its own: it must end within seconds, not by a signal, and not take
 *gigabytes. A finding is kept as fuzz_symbols.N, and counted; the run goes on. Exit status 1 when
 *there was any.
 */
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "capture/symbol_file.h"

#define INPUT_BYTES_MAX (1 << 20)
#define SEEDS_MAX 64
#define HANG_S 20
#define MEMORY_MAX (3ULL << 30)
#define PLACES 64

struct input {
	uint8_t data[INPUT_BYTES_MAX];
	size_t len;
};

struct corpus {
	struct input *seeds[SEEDS_MAX];
	size_t cnt;
};

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x9e3779b97f4a7c15ULL;
}

static uint64_t below(uint64_t *state, uint64_t limit)
{
	return limit ? (next(state) >> 16) % limit : 0;
}

static void load_file(struct corpus *corpus, int fd)
{
	struct input *in = corpus->cnt < SEEDS_MAX && fd >= 0 ? malloc(sizeof(*in)) : NULL;
	ssize_t len = in ? pread(fd, in->data, sizeof(in->data), 0) : -1;

	if (len > (ssize_t)sizeof(Elf64_Ehdr)) {
		in->len = len;
		corpus->seeds[corpus->cnt++] = in;
	} else {
		free(in);
	}
	if (fd >= 0)
		close(fd);
}

static void load_corpus(struct corpus *corpus, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir)
		load_file(corpus, open(path, O_RDONLY));
	while (dir && (entry = readdir(dir)))
		load_file(corpus, openat(dirfd(dir), entry->d_name, O_RDONLY));
	if (dir)
		closedir(dir);
}

/* A place in a section that names come from, in the table of sections, or anywhere. */
static size_t place(uint64_t *state, const struct input *in)
{
	const Elf64_Ehdr *ehdr = (const void *)in->data;
	size_t at = below(state, in->len);
	uint64_t sections = ehdr->e_shoff;

	if (!below(state, 8) || sections >= in->len || sections & 7 ||
	    (in->len - sections) / sizeof(Elf64_Shdr) < ehdr->e_shnum || !ehdr->e_shnum)
		return at;
	if (!below(state, 6))
		return sections + below(state, ehdr->e_shnum * sizeof(Elf64_Shdr));
	for (int i = 0; i < 20; i++) {
		const Elf64_Shdr *s =
			(const Elf64_Shdr *)(in->data + sections) + below(state, ehdr->e_shnum);
		bool wanted = s->sh_type == SHT_SYMTAB || s->sh_type == SHT_DYNSYM ||
			      (s->sh_type == SHT_PROGBITS && !(s->sh_flags & SHF_ALLOC)) ||
			      s->sh_type == SHT_NOTE;

		if (wanted && s->sh_size && s->sh_offset < in->len &&
		    s->sh_size <= in->len - s->sh_offset)
			return s->sh_offset + below(state, s->sh_size);
	}
	return at;
}

static void mutate(uint64_t *state, struct input *in)
{
	static const uint64_t values[] = { 0,	       1,	   0x7f,      0x80,
					   0xff,       0x7fff,	   0xffff,    0x7fffffff,
					   0x80000000, 0xffffffff, INT64_MAX, 1ULL << 63,
					   UINT64_MAX };
	size_t at = place(state, in), len;

	switch (below(state, 6)) {
	case 0:
		in->data[at] ^= 1U << below(state, 8);
		break;
	case 1:
		in->data[at] = next(state);
		break;
	case 2:
		len = (size_t)1 << below(state, 4);
		if (len <= in->len - at)
			memcpy(in->data + at, &values[below(state, sizeof(values) / 8)], len);
		break;
	case 3:
		len = below(state, 16);
		if (len <= in->len - at)
			memset(in->data + at, (int)next(state), len);
		break;
	case 4:
		if (!below(state, 20))
			in->len = at > sizeof(Elf64_Ehdr) ? at : in->len;
		break;
	case 5:
		in->data[at] += (uint8_t)(below(state, 16) - 8);
		break;
	}
}

static void try_input(int fd)
{
	struct symbol_frame frames[SYMBOL_FRAMES_MAX];
	struct symbol_file *file;
	struct arena arena;
	struct stat st;

	alarm(HANG_S);
	if (fstat(fd, &st) || symbol_file_open(&file, fd, "/nowhere/file", NULL, 0, NULL))
		return;
	arena_init(&arena);
	for (int i = 0; i < PLACES; i++)
		symbol_file_resolve(file, 0x1000 + i * 7, &arena, false, frames);
	for (int i = 0; i < PLACES; i++)
		symbol_file_resolve(file, st.st_size * i / PLACES, &arena, false, frames);
	symbol_file_close(file);
	arena_fini(&arena);
}

/* True when it ended as it must. */
static bool try_apart(int fd, int *status)
{
	struct rlimit memory = { MEMORY_MAX, MEMORY_MAX };
	pid_t pid = fork();

	if (!pid) {
		setrlimit(RLIMIT_AS, &memory);
		try_input(fd);
		_exit(0);
	}
	return waitpid(pid, status, 0) == pid && !*status;
}

static void keep(const struct input *in, unsigned n, int status)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "fuzz_symbols.%u", n);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, in->data, in->len) != (ssize_t)in->len)
		fprintf(stderr, "fuzz_symbols: cannot write %s\n", name);
	close(fd);
	fprintf(stderr, "fuzz_symbols: wait status 0x%x (see %s)\n", status, name);
}

int main(int argc, char **argv)
{
	struct corpus corpus = {};
	uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, inputs = 0;
	time_t end = time(NULL) + (argc > 3 ? atoi(argv[3]) : 30);
	static struct input in;
	unsigned findings = 0;
	int fd = memfd_create("input", MFD_CLOEXEC), status;

	if (argc < 2 || !state) {
		fprintf(stderr, "usage: fuzz_symbols FILE_OR_DIR [SEED [SECONDS]]\n");
		return 2;
	}
	load_corpus(&corpus, argv[1]);
	if (!corpus.cnt || fd < 0) {
		fprintf(stderr, "fuzz_symbols: no files in %s\n", argv[1]);
		return 1;
	}
	for (; time(NULL) < end; inputs++) {
		memcpy(&in, corpus.seeds[below(&state, corpus.cnt)], sizeof(in));
		for (uint64_t n = inputs ? 1 + below(&state, 6) : 0; n; n--)
			mutate(&state, &in);
		if (ftruncate(fd, 0) || pwrite(fd, in.data, in.len, 0) != (ssize_t)in.len)
			return 1;
		if (!try_apart(fd, &status) && findings < 100)
			keep(&in, findings++, status);
	}
	for (size_t i = 0; i < corpus.cnt; i++)
		free(corpus.seeds[i]);
	printf("%lu inputs, %u findings\n", (unsigned long)inputs, findings);
	return findings > 0;
}
