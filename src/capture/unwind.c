// SPDX-License-Identifier: MIT
#include "capture/unwind.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "capture/code.h"
#include "capture/modules.h"
#include "capture/process.h"
#include "capture/spaces.h"

static int cold_word(const struct mt_cold *cold, uint64_t addr, __u64 *word)
{
	uint64_t off = addr - cold->sp;

	if (cold->byte_cnt < sizeof(*word) || off > cold->byte_cnt - sizeof(*word))
		return -1;
	memcpy(word, cold->bytes + off, sizeof(*word));
	return 0;
}

#define MT_UNWIND_READ(stack, addr, word) cold_word(stack, addr, word)
#include "memtrace/unwind.h"

enum found { FOUND_RULE, FOUND_NO_MODULE, FOUND_NO_TABLE };

/* Where and when a stack was taken. */
struct moment {
	struct code *code;
	const struct modules *modules;
	pid_t pid;
	uint64_t time_ns;
};

/* By now another file may be mapped there, or none. */
static bool add_module(const struct moment *m, const struct module_range *range)
{
	struct process_map map = {
		.start = range->start, .end = range->end, .path = range->module->id.path,
	};
	int fd = process_open_map(m->pid, &map), err = -ENOENT;

	if (fd >= 0) {
		err = code_add_module(m->code, range->module, fd);
		close(fd);
	}
	if (err != -ESTALE)
		return !err;
	fd = process_open_path(m->pid, range->module->id.path);
	if (fd < 0)
		return false;
	err = code_add_module(m->code, range->module, fd);
	close(fd);
	return !err;
}

/* Memory that is a file, as compilers map what they make, and of no build: its process may be gone, and
 * the file with it. */
static bool is_generated(const struct module_id *id)
{
	return !id->build_id_len && !strncmp(id->path, "/memfd:", strlen("/memfd:"));
}

static enum found find_rule(const struct moment *m, uint64_t pc, uint32_t *rule)
{
	const struct module_range *range = modules_find_at(m->modules, pc, m->time_ns);

	if (!range || range->module->id.path[0] != '/')
		return FOUND_NO_MODULE;
	if (!code_knows_module(m->code, range->module) && !add_module(m, range))
		return is_generated(&range->module->id) ? FOUND_NO_MODULE : FOUND_NO_TABLE;
	return code_module_rule(m->code, range->module, module_file_offset(range, pc), rule) ?
		       FOUND_RULE :
		       FOUND_NO_TABLE;
}

/* As the probes see it: a return address that no call left there. */
static bool starts_function(const struct moment *m, uint64_t pc)
{
	uint32_t rule;

	return find_rule(m, pc, &rule) == FOUND_RULE &&
	       MT_RULE_KIND(rule) != MT_ROW_NONE;
}

static enum mt_stack_end end_of(int step)
{
	switch (step) {
	case MT_STEP_END:
	case MT_STEP_ZERO:
		return MT_END_COMPLETE;
	case MT_STEP_NO_ROW:
		return MT_END_NO_ROW;
	case MT_STEP_READ_FAULT:
		return MT_END_READ_FAULT;
	case MT_STEP_UNSUPPORTED:
		return MT_END_UNSUPPORTED;
	}
	return MT_END_BROKEN;
}

/* What the probes would have seen there; the process may be gone. */
static uint32_t generated_rule(const struct moment *m, uint64_t pc)
{
	__u64 code = 0;
	struct iovec here = { &code, sizeof(code) }, there = { (void *)(uintptr_t)pc, sizeof(code) };

	if (process_vm_readv(m->pid, &here, 1, &there, 1, 0) != sizeof(code))
		code = 0;
	return mt_generated_rule(code);
}

/* The next stack through that file will not miss its table. */
static void name_missing(const struct moment *m, const struct mt_cold *cold)
{
	const struct module_range *range = modules_find_at(m->modules, cold->missing_pc, m->time_ns);

	if (range)
		code_name_module(m->code, range->module, &cold->missing);
}

uint32_t unwind_cold(struct code *code, const struct space *space, const struct mt_cold *cold,
		     uint32_t depth, uint64_t *pcs, enum mt_stack_end *end)
{
	const struct modules *modules = space ? space_modules(space) : NULL;
	const struct moment m = { code, modules, (pid_t)cold->tgid, cold->time_ns };
	struct mt_frame frame = { .pc = cold->pc, .sp = cold->sp, .fp = cold->fp };
	uint32_t n = 0, rule;
	enum found found;
	int step;

	*end = modules ? MT_END_DEPTH : MT_END_NO_TABLE;
	pcs[n++] = frame.pc;
	while (modules) {
		found = find_rule(&m, mt_frame_lookup_pc(&frame), &rule);
		if (found == FOUND_NO_TABLE) {
			*end = MT_END_NO_TABLE;
			break;
		}
		if (found == FOUND_NO_MODULE || MT_RULE_KIND(rule) == MT_ROW_GENERATED)
			rule = generated_rule(&m, frame.pc);
		step = mt_unwind_step((void *)cold, rule, &frame);
		if (step != MT_STEP_CALLER) {
			*end = end_of(step);
			if (*end == MT_END_NO_ROW && starts_function(&m, frame.pc))
				*end = MT_END_COMPLETE;
			break;
		}
		if (n >= depth || n >= MT_STACK_DEPTH_MAX)
			break; /* only now: there is one more */
		pcs[n++] = frame.pc | (frame.exact ? MT_PC_EXACT : 0);
	}
	if (modules && cold->missing.ino)
		name_missing(&m, cold);
	return n;
}
