// SPDX-License-Identifier: MIT
#include "capture/unwind.h"

#include <string.h>
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

static enum found find_rule(struct code *code, const struct modules *modules, pid_t pid, uint64_t pc,
			    uint32_t *rule)
{
	const struct module_range *range = modules_find(modules, pc);
	struct process_map map;
	bool known;
	int fd;

	if (!range || range->module->id.path[0] != '/')
		return FOUND_NO_MODULE;
	if (code_knows_module(code, range->module) &&
	    code_module_rule(code, range->module, module_file_offset(range, pc), rule))
		return FOUND_RULE;
	map = (struct process_map){
		.start = range->start, .end = range->end, .path = range->module->id.path,
	};
	fd = process_open_map(pid, &map);
	if (fd < 0)
		return FOUND_NO_TABLE;
	known = !code_add_module(code, range->module, fd);
	close(fd);
	return known && code_module_rule(code, range->module, module_file_offset(range, pc), rule) ?
		       FOUND_RULE :
		       FOUND_NO_TABLE;
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

uint32_t unwind_cold(struct code *code, const struct space *space, const struct mt_cold *cold,
		     uint32_t depth, uint64_t *pcs, enum mt_stack_end *end)
{
	const struct modules *modules = space ? space_modules(space) : NULL;
	struct mt_frame frame = { .pc = cold->pc, .sp = cold->sp, .fp = cold->fp };
	uint32_t n = 0, rule;
	enum found found;
	int step;

	*end = modules ? MT_END_DEPTH : MT_END_NO_TABLE;
	pcs[n++] = frame.pc;
	while (modules && n < depth && n < MT_STACK_DEPTH_MAX) {
		found = find_rule(code, modules, cold->tgid, mt_frame_lookup_pc(&frame), &rule);
		if (found == FOUND_NO_TABLE) {
			*end = MT_END_NO_TABLE;
			break;
		}
		if (found == FOUND_NO_MODULE) /* as the probes take code made at run time */
			rule = MT_RULE(MT_ROW_FP, 2, 2);
		step = mt_unwind_step((void *)cold, rule, &frame);
		if (step != MT_STEP_CALLER) {
			*end = end_of(step);
			break;
		}
		pcs[n++] = frame.pc;
	}
	return n;
}
