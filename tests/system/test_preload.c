// SPDX-License-Identifier: MIT
/*
 * The preload library's sites as the kernel sees them: counted by perf's uprobe events, no BPF and
 * nothing of memtrace between, against what programs count themselves. The kernel raises the
 * semaphore.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/preload_file.h"

#define CPUS_MAX 256
#define TARGET(name) TARGETS_DIR "/" name

static struct preload_file file;
static char library[128], truth[128];

static void setup(void)
{
	preload_read(&file);
	snprintf(library, sizeof(library), "%s/probed.so", preload_stage());
	snprintf(truth, sizeof(truth), "%s/truth", preload_stage());
	preload_copy(&file, library, LISTEN_NOBODY, NULL);
}

static void teardown(void)
{
	preload_file_free(&file);
	preload_unstage();
}

TestSuite(preload, .init = setup, .fini = teardown, .timeout = 60);

struct counter {
	int fds[PRELOAD_SITES_MAX][CPUS_MAX];
	long cpus;
};

static unsigned int pmu_type(void)
{
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
	unsigned int type;

	cr_assert(f && fscanf(f, "%u", &type) == 1, "the kernel has no uprobe events");
	fclose(f);
	return type;
}

static bool is_memtraces(const struct preload_site *site)
{
	return !strcmp(site->provider, MT_PRELOAD_PROVIDER);
}

/* Every site of memtrace's, offset bytes into it, on every CPU. */
static void attach(struct counter *counter, uint64_t offset)
{
	unsigned int type = pmu_type();

	counter->cpus = sysconf(_SC_NPROCESSORS_CONF);
	cr_assert_leq(counter->cpus, CPUS_MAX);
	for (size_t i = 0; i < file.site_cnt; i++) {
		const struct preload_site *site = &file.sites[i];
		struct perf_event_attr attr = {
			.size = sizeof(attr),
			.type = type,
			.config = (uint64_t)preload_offset(&file, site->semaphore) << 32,
			.uprobe_path = (uintptr_t)library,
			.probe_offset = preload_offset(&file, site->address) + offset,
		};

		for (int cpu = 0; is_memtraces(site) && cpu < counter->cpus; cpu++) {
			counter->fds[i][cpu] = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1,
							    PERF_FLAG_FD_CLOEXEC);
			cr_assert(counter->fds[i][cpu] >= 0 || errno == ENODEV, "cannot probe: %s",
				  strerror(errno));
		}
	}
}

static uint64_t hits(const struct counter *counter, const char *name)
{
	uint64_t sum = 0, one;

	for (size_t i = 0; i < file.site_cnt; i++) {
		if (!is_memtraces(&file.sites[i]) || strcmp(file.sites[i].name, name))
			continue;
		for (int cpu = 0; cpu < counter->cpus; cpu++) {
			if (counter->fds[i][cpu] >= 0 &&
			    read(counter->fds[i][cpu], &one, sizeof(one)) == sizeof(one))
				sum += one;
		}
	}
	return sum;
}

static void detach(struct counter *counter)
{
	for (size_t i = 0; i < file.site_cnt; i++) {
		for (int cpu = 0; is_memtraces(&file.sites[i]) && cpu < counter->cpus; cpu++) {
			if (counter->fds[i][cpu] >= 0)
				close(counter->fds[i][cpu]);
		}
	}
}

static void run(const char *program, const char *argument)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (!pid) {
		setenv("LD_PRELOAD", library, 1);
		setenv("MT_TRUTH", truth, 1);
		execl(program, program, argument, NULL);
		_exit(127);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "%s: status %#x", program, (unsigned int)status);
}

/* Over all accounts, of which there are so many: one that died wrote none. */
static uint64_t truth_of(const char *name, size_t accounts)
{
	static char line[32768];
	FILE *f = fopen(truth, "r");
	uint64_t sum = 0;
	char key[64];

	cr_assert(f, "the program wrote no truth");
	snprintf(key, sizeof(key), "\"%s\":", name);
	while (fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, key);

		cr_assert(at);
		sum += (uint64_t)atoll(at + strlen(key));
		accounts--;
	}
	fclose(f);
	cr_expect_eq(accounts, 0U, "%zd accounts are missing", (ssize_t)accounts);
	return sum;
}

static void expect(const char *what, uint64_t got, uint64_t wanted)
{
	cr_expect_eq(got, wanted, "%s: %lu, should be %lu", what, (unsigned long)got,
		     (unsigned long)wanted);
}

static void expect_truth(uint64_t offset, size_t accounts, const char *program,
			 const char *argument)
{
	static struct counter counter;
	uint64_t reallocs, failed, frees;

	attach(&counter, offset);
	run(program, argument);
	/* in these programs only reallocs fail, and none is of nothing */
	reallocs = truth_of("reallocs", accounts);
	failed = truth_of("failed_allocs", accounts);
	frees = truth_of("frees", accounts) + truth_of("inherited_frees", accounts);
	expect("claim", hits(&counter, "claim"), 1);
	expect("alloc", hits(&counter, "alloc"), truth_of("allocs", accounts) - reallocs);
	expect("free", hits(&counter, "free"), frees - reallocs);
	expect("realloc_begin", hits(&counter, "realloc_begin"), reallocs + failed);
	expect("realloc_end", hits(&counter, "realloc_end"), reallocs + failed);
	expect("failed", hits(&counter, "failed"), 0);
	detach(&counter);
	unlink(truth);
	run(program, argument); /* as it was */
	unlink(truth);
}

Test(preload, sites_are_hit_as_often_as_the_program_calls)
{
	expect_truth(0, 1, TARGET("mix"), "20000");
}

Test(preload, sites_are_hit_in_forked_children)
{
	expect_truth(0, 3, TARGET("fork_inherit"), NULL);
}

#ifdef __x86_64__
Test(preload, sites_made_calls_are_hit_as_often)
{
	expect_truth(MT_PRELOAD_NOP5, 1, TARGET("mix"), "20000");
}

/* A child of fork has the call, and not what it calls: Linux 6.18. */
Test(preload, sites_made_calls_are_hit_in_forked_children)
{
	expect_truth(MT_PRELOAD_NOP5, 3, TARGET("fork_inherit"), NULL);
}
#endif
