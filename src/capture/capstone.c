// SPDX-License-Identifier: MIT
#include "capture/capstone.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

#define TEXT_OF(x) #x
#define NAME_OF(major) "libcapstone.so." TEXT_OF(major)

int capstone_load(struct capstone *c)
{
	*c = (struct capstone){ .library = dlopen(NAME_OF(CS_API_MAJOR), RTLD_LAZY | RTLD_LOCAL) };
	if (!c->library)
		return -ELIBACC;
	c->open = (__typeof__(c->open))dlsym(c->library, "cs_open");
	c->close = (__typeof__(c->close))dlsym(c->library, "cs_close");
	c->option = (__typeof__(c->option))dlsym(c->library, "cs_option");
	c->malloc = (__typeof__(c->malloc))dlsym(c->library, "cs_malloc");
	c->free = (__typeof__(c->free))dlsym(c->library, "cs_free");
	c->disasm_iter = (__typeof__(c->disasm_iter))dlsym(c->library, "cs_disasm_iter");
	if (c->open && c->close && c->option && c->malloc && c->free && c->disasm_iter)
		return 0;
	capstone_unload(c);
	return -ELIBACC;
}

void capstone_unload(struct capstone *c)
{
	dlclose(c->library);
	c->library = NULL;
}
