// SPDX-License-Identifier: MIT
#include "capture/otel.h"

#include <stdlib.h>
#include <string.h>

#include "capture/usdt.h"
#include "capture/usdt_args.h"
#include "memtrace/preload.h"

#define ALLOC_ARGS MT_OTEL_ARGS
#define FREE_ARGS 1

struct reader {
	const struct elf_file *file;
	struct otel *otel;
	bool allocator_only;
	size_t allocs, frees;
	const char *why;
};

/* How much of the code around the site is the allocator's. */
static void take_own_code(const struct reader *r, struct otel_site *site)
{
	const struct elf_segment *code;
	uint64_t vaddr;

	if (!r->allocator_only || !elf_file_vaddr(r->file, site->offset, &vaddr))
		return;
	code = elf_file_segment(r->file, vaddr);
	if (!code)
		return;
	site->spec.before = vaddr - code->vaddr;
	site->spec.after = code->file_size - site->spec.before;
}

static void add_site(struct reader *r, const struct usdt_site *usdt, bool frees)
{
	struct otel_site *grown, site = {
		.offset = usdt->offset,
		.semaphore = usdt->semaphore,
		.frees = frees,
	};

	if (usdt_args_parse(usdt->arguments, r->file->ehdr.e_machine, site.spec.args,
			    frees ? FREE_ARGS : ALLOC_ARGS)) {
		r->why = "its otel_memory sites have arguments that are not understood";
		return;
	}
	if (r->otel->site_cnt == MT_OTEL_SITES) {
		r->why = "it has too many otel_memory sites";
		return;
	}
	grown = reallocarray(r->otel->sites, r->otel->site_cnt + 1, sizeof(*grown));
	if (!grown) {
		r->why = "there is no memory for its otel_memory sites";
		return;
	}
	take_own_code(r, &site);
	r->otel->sites = grown;
	grown[r->otel->site_cnt++] = site;
	*(frees ? &r->frees : &r->allocs) += 1;
}

static void see_site(void *ctx, const struct usdt_site *usdt)
{
	struct reader *r = ctx;

	if (!strcmp(usdt->provider, MT_PRELOAD_PROVIDER) && !strcmp(usdt->name, "claim"))
		r->otel->has_nop5 = true;
	if (r->why || strcmp(usdt->provider, MT_PRELOAD_OTEL_PROVIDER))
		return;
	if (!strcmp(usdt->name, "alloc"))
		add_site(r, usdt, false);
	else if (!strcmp(usdt->name, "free"))
		add_site(r, usdt, true);
}

struct otel *otel_read(const struct elf_file *file, bool allocator_only, const char **why)
{
	struct reader r = {
		.file = file,
		.otel = calloc(1, sizeof(*r.otel)),
		.allocator_only = allocator_only,
	};

	*why = NULL;
	if (!r.otel)
		return NULL;
	usdt_each(file, see_site, &r);
	if (!r.why && r.allocs && !r.frees)
		r.why = "it has otel_memory:alloc but no otel_memory:free";
	if (r.why || !r.allocs) {
		*why = r.why;
		otel_free(r.otel);
		return NULL;
	}
	return r.otel;
}

void otel_free(struct otel *otel)
{
	if (!otel)
		return;
	free(otel->sites);
	free(otel);
}
