// SPDX-License-Identifier: MIT
#include "capture/debug_file.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/debug_server.h"
#include "capture/elf_bounds.h"
#include "capture/elf_file.h"

#define DEBUG_DIR "/usr/lib/debug"
#define CRC_BYTES_MAX \
	(1 << 30) /* a file without build id and larger than this goes unchecked: not taken */

/* What a debug file must be to be taken. */
struct wanted {
	const void *build_id;
	ssize_t build_id_len; /* 0: by checksum */
	uint32_t crc;
};

static bool has_build_id(int fd, const struct wanted *wanted)
{
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	const void *bits = NULL;
	bool same = elf && dwelf_elf_gnu_build_id(elf, &bits) == wanted->build_id_len &&
		    !memcmp(bits, wanted->build_id, wanted->build_id_len);

	elf_end(elf);
	return same;
}

/* That of zlib, gzip and .gnu_debuglink. */
static bool has_checksum(int fd, off_t size, uint32_t wanted)
{
	uint32_t table[256], crc = UINT32_MAX;
	uint8_t chunk[16 << 10];
	size_t got;

	if (size > CRC_BYTES_MAX)
		return false;
	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
	}
	for (off_t at = 0; at < size && (got = elf_file_read_at(fd, at, chunk, sizeof(chunk)));
	     at += got)
		for (size_t i = 0; i < got; i++)
			crc = crc >> 8 ^ table[(crc ^ chunk[i]) & 0xff];
	return ~crc == wanted;
}

/* Takes fd if it is what is wanted: an fd that can be mapped, or -1. */
static int take(int fd, const struct wanted *wanted)
{
	enum elf_file_error why;
	struct elf_file elf;
	struct stat st;
	bool good;

	if (fd < 0)
		return -1;
	good = !fstat(fd, &st) && S_ISREG(st.st_mode) && !elf_file_open(&elf, fd, &why);
	if (good)
		elf_file_close(&elf);
	good = good && (wanted->build_id_len ? has_build_id(fd, wanted)
					     : has_checksum(fd, st.st_size, wanted->crc));
	if (!good || !elf_bounds_are_fair(fd, true)) {
		close(fd);
		return -1;
	}
	return elf_bounds_own(fd);
}

__attribute__((format(printf, 3, 4))) static int try_path(const struct wanted *wanted, char **name,
							  const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	int len, fd;

	va_start(args, format);
	len = vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(path))
		return -1;
	fd = take(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), wanted);
	if (fd < 0)
		return -1;
	free(*name);
	*name = strdup(path);
	return fd;
}

static int by_build_id(const struct wanted *wanted, char **name)
{
	const uint8_t *id = wanted->build_id;
	char hex[2 * 64 + 1] = "";

	if (wanted->build_id_len < 2 || wanted->build_id_len > 64)
		return -1;
	for (ssize_t i = 0; i < wanted->build_id_len; i++)
		sprintf(hex + 2 * i, "%02x", id[i]);
	return try_path(wanted, name, DEBUG_DIR "/.build-id/%.2s/%s.debug", hex, hex + 2);
}

static int by_link(const struct wanted *wanted, const char *path, const char *link, char **name)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	int dir_len = slash ? (int)(slash - path) : 0, fd;

	if (!slash || !link || !*link || strchr(link, '/'))
		return -1;
	fd = try_path(wanted, name, "%.*s/%s", dir_len, path, link);
	if (fd < 0)
		fd = try_path(wanted, name, "%.*s/.debug/%s", dir_len, path, link);
	if (fd < 0)
		fd = try_path(wanted, name, DEBUG_DIR "%.*s/%s", dir_len, path, link);
	return fd;
}

/* The file that a debug file shares with others. */
static int find_shared(const struct wanted *wanted, const char *path, const char *link, char **name)
{
	const char *slash = strrchr(link, '/'), *base = slash ? slash + 1 : link;
	int fd = by_build_id(wanted, name);

	if (fd < 0 && link[0] == '/')
		fd = try_path(wanted, name, "%s", link);
	if (fd < 0 && link[0] != '/' && path && strrchr(path, '/'))
		fd = try_path(wanted, name, "%.*s/%s", (int)(strrchr(path, '/') - path), path,
			      link);
	if (fd < 0)
		fd = try_path(wanted, name, DEBUG_DIR "/.dwz/%s", base);
	return fd;
}

static int ask_server(struct debug_file_search *search, const struct wanted *wanted)
{
	int fd;

	if (!search->server || wanted->build_id_len <= 0)
		return -1;
	fd = debug_server_find(search->server, wanted->build_id, wanted->build_id_len,
			       search->wait);
	search->awaiting |= fd == -EAGAIN;
	return fd < 0 ? -1 : take(fd, wanted);
}

int debug_file_find(struct debug_file_search *search, Dwfl_Module *module, const char *module_path,
		    const char *link, uint32_t crc, char **name)
{
	struct wanted wanted = { .crc = crc };
	const unsigned char *build_id = NULL;
	const char *shared;
	GElf_Addr vaddr;
	Dwarf_Addr bias;
	Dwarf *dwarf;
	int fd;

	/* a name with directories is that of a shared file: those of debug links have none. libdwfl
	 * has the debug information that asks for it by then */
	if (link && strchr(link, '/')) {
		dwarf = dwfl_module_getdwarf(module, &bias);
		if (dwarf)
			wanted.build_id_len =
				dwelf_dwarf_gnu_debugaltlink(dwarf, &shared, &wanted.build_id);
		if (wanted.build_id_len <= 0)
			return -1;
		fd = find_shared(&wanted, module_path, link, name);
		return fd >= 0 ? fd : ask_server(search, &wanted);
	}
	wanted.build_id_len = dwfl_module_build_id(module, &build_id, &vaddr);
	wanted.build_id = build_id;
	if (wanted.build_id_len <= 0) {
		wanted.build_id_len = 0;
		return crc ? by_link(&wanted, module_path, link, name) : -1;
	}
	fd = by_build_id(&wanted, name);
	if (fd < 0)
		fd = by_link(&wanted, module_path, link, name);
	return fd >= 0 ? fd : ask_server(search, &wanted);
}
