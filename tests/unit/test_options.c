// SPDX-License-Identifier: MIT
/* What the command line means, and what is said when it means nothing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/value.h"

static struct cli_options options;
static struct message why;
static char *words[32];

static void forget(void)
{
	options_fini(&options);
}

TestSuite(options, .fini = forget);

/* Parses the words up to NULL, as behind the program's name. */
static int parse(const char *word, ...)
{
	va_list args;
	int cnt = 0;

	words[cnt++] = "memtrace";
	va_start(args, word);
	for (; word; word = va_arg(args, const char *))
		words[cnt++] = (char *)word;
	va_end(args);
	words[cnt] = NULL;
	why.text[0] = 0;
	options_fini(&options);
	return options_parse(&options, cnt, words, &why);
}

#define accepted(...) cr_assert_eq(parse(__VA_ARGS__, NULL), 0, "refused: %s", why.text)

#define refused(sentence, ...)                                                                     \
	do {                                                                                       \
		cr_assert_eq(parse(__VA_ARGS__, NULL), -EINVAL);                                   \
		cr_expect_str_eq(why.text, sentence);                                              \
	} while (0)

#define refused_with(part, ...)                                                                    \
	do {                                                                                       \
		cr_assert_eq(parse(__VA_ARGS__, NULL), -EINVAL);                                   \
		cr_expect(strstr(why.text, part), "no \"%s\" in: %s", part, why.text);             \
	} while (0)

Test(options, what_tracing_may_cost_is_a_number_of_per_cent)
{
	accepted("--max-overhead", "50", "-p", "1");
	cr_expect_eq(options.max_overhead, 50);
	accepted("-p", "1");
	cr_expect_eq(options.max_overhead, 0);
	refused_with("from 1 to 500", "--max-overhead", "0", "-p", "1");
	refused_with("from 1 to 500", "--max-overhead", "501", "-p", "1");
	refused_with("'50%'", "--max-overhead", "50%", "-p", "1");
}

Test(options, what_others_pay_too_cannot_be_bounded)
{
	refused_with("--follow exact", "--max-overhead", "50", "--follow", "exact", "-p", "1");
	refused_with("--follow exact", "--max-overhead", "50", "--follow", "exact", "--comm", "x");
	accepted("--max-overhead", "50", "--follow", "exact", "--all");
	accepted("--max-overhead", "50", "--follow", "exact", "--", "true");
}

Test(options, a_command_is_all_behind_the_dashes)
{
	accepted("--", "./bench", "-n", "--limit-mb", "--", "x");
	cr_expect_eq(options.target, CLI_TARGET_COMMAND);
	cr_expect_str_eq(options.command[0], "./bench");
	cr_expect_str_eq(options.command[2], "--limit-mb");
	cr_expect_str_eq(options.command[4], "x");
	cr_expect_null(options.command[5]);
	cr_expect_eq(options.limit_mb, 250, "options of the command are not ours");
}

Test(options, defaults_are_the_documented_ones)
{
	accepted("-p", "42");
	cr_expect_eq(options.limit_mb, 250);
	cr_expect_eq(options.on_limit, CLI_LIMIT_REPORT);
	cr_expect_eq(options.interval_s, 10);
	cr_expect_eq(options.duration_s, 0);
	cr_expect_eq(options.top, 10);
	cr_expect_eq(options.min_age_s, 1);
	cr_expect_eq(options.min_leak_bytes, 1024);
	cr_expect_eq(options.leak_interval_s, 30);
	cr_expect_not(options.min_age_given);
	cr_expect_eq(options.stacks, CLI_STACKS_AUTO);
	cr_expect_null(options.cache_dir);
	cr_expect_eq(options.stack_depth, 64);
	cr_expect_eq(options.follow, CLI_FOLLOW_NEWS);
	cr_expect_eq(options.ready_fd, -1);
	cr_expect_eq(options.max_memory_mb, 0);
	cr_expect_null(options.json);
	cr_expect_not(options.fail_on_limit || options.fail_on_leak || options.quiet);
}

Test(options, a_command_reports_at_its_end_unless_an_interval_is_given)
{
	accepted("--", "true");
	cr_expect_eq(options.interval_s, 0);
	accepted("--interval", "0.5", "--", "true");
	cr_expect_eq(options.interval_s, 0.5);
	accepted("--interval", "0", "-a");
	cr_expect_eq(options.interval_s, 0);
}

Test(options, pids_add_up_without_repeats)
{
	accepted("-p", "7", "-p8", "--pid", "9", "--pid=7");
	cr_expect_eq(options.target, CLI_TARGET_PID);
	cr_assert_eq(options.pid_cnt, 3);
	cr_expect_eq(options.pids[0], 7);
	cr_expect_eq(options.pids[1], 8);
	cr_expect_eq(options.pids[2], 9);
}

Test(options, each_kind_of_target_is_known)
{
	accepted("-a");
	cr_expect_eq(options.target, CLI_TARGET_ALL);
	accepted("--all");
	cr_expect_eq(options.target, CLI_TARGET_ALL);
	accepted("--comm", "nginx");
	cr_expect_eq(options.target, CLI_TARGET_COMM);
	cr_expect_str_eq(options.comm, "nginx");
	accepted("--cgroup=/sys/fs/cgroup/x");
	cr_expect_eq(options.target, CLI_TARGET_CGROUP);
	cr_expect_str_eq(options.cgroup, "/sys/fs/cgroup/x");
}

Test(options, two_kinds_of_target_are_refused)
{
	refused("-p and -- CMD: only one kind of target can be traced at a time "
		"(leave one out, or run memtrace twice)",
		"-p", "1", "--", "true");
	refused_with("--all and --comm:", "-a", "--comm", "x");
	refused_with("--cgroup and -p:", "--cgroup", "/x", "-p", "1");
}

Test(options, no_target_is_refused_with_the_ways_to_name_one)
{
	cr_assert_eq(parse(NULL), -EINVAL);
	cr_expect_str_eq(why.text,
			 "nothing to trace: no target was named "
			 "(use -p PID, --all, --comm NAME, --cgroup PATH or -- CMD)");
	refused_with("nothing to trace", "-v");
	refused_with("no command follows", "--");
	refused_with("empty word", "--", "");
}

Test(options, a_command_without_dashes_is_told_where_they_go)
{
	refused("'./bench': this is not an option (put -- before the command: memtrace -- ./bench)",
		"--limit-mb", "5", "./bench", "-n");
	refused_with("put -- before", "-");
	refused_with("put -- before", "");
}

Test(options, numbers_are_read_strictly)
{
	static const char *const nonsense[] = { "12x", "-1", "+1", " 1", "1 ", "0x10", "1.5", "1e3",
						"", "x",  "inf", "\xd9\xa1" };

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		char want[128];

		snprintf(want, sizeof(want),
			 "--limit-mb: '%s' is not a number of MiB (example: --limit-mb 250)",
			 nonsense[i]);
		refused(want, "--limit-mb", nonsense[i], "-a");
	}
	accepted("--limit-mb", "0", "-a");
	cr_expect_eq(options.limit_mb, 0);
	accepted("--limit-mb=0250", "-a");
	cr_expect_eq(options.limit_mb, 250, "a leading zero is no octal");
}

Test(options, numbers_that_do_not_fit_are_refused)
{
	refused("--limit-mb: '18446744073709551616' is not a number of MiB from 0 to 8589934592 "
		"(example: --limit-mb 250)",
		"--limit-mb", "18446744073709551616", "-a");
	refused_with("'8589934593' is not a number of MiB from", "--limit-mb", "8589934593", "-a");
	accepted("--limit-mb", "8589934592", "-a");
	refused_with("from 1 to 2147483647", "-p", "0");
	refused_with("from 1 to 2147483647", "-p", "2147483648");
	refused_with("from 1 to 127", "--stack-depth", "0", "-a");
	refused_with("from 1 to 127", "--stack-depth", "128", "-a");
	refused_with("from 1 to", "--top", "0", "-a");
	refused_with("'9007199254740993' is not", "--min-size", "9007199254740993", "-a");
}

Test(options, of_leaks_are_numbers_too)
{
	accepted("--min-leak-bytes", "4096", "--leak-interval", "0.5", "-a");
	cr_expect_eq(options.min_leak_bytes, 4096);
	cr_expect_eq(options.leak_interval_s, 0.5);
	refused_with("'-1' is not", "--min-leak-bytes", "-1", "-a");
	refused_with("'x' is not a number of seconds", "--leak-interval", "x", "-a");
}

Test(options, seconds_may_have_a_point_and_nothing_else)
{
	accepted("--interval", "0.25", "--duration", "60", "--min-age", "5.", "-a");
	cr_expect_eq(options.interval_s, 0.25);
	cr_expect_eq(options.duration_s, 60);
	cr_expect_eq(options.min_age_s, 5);
	cr_expect(options.min_age_given);
	refused("--interval: '1e2' is not a number of seconds (example: --interval 10)",
		"--interval", "1e2", "-a");
	refused_with("'-3' is not a number of seconds", "--duration", "-3", "-a");
	refused_with("'nan' is not", "--min-age", "nan", "-a");
	refused_with("'1.2.3' is not", "--min-age", "1.2.3", "-a");
	refused_with("'.' is not", "--min-age", ".", "-a");
	refused_with("'0' is not a number of seconds from 0.001", "--duration", "0", "-a");
	refused_with("'4000000000' is not a number of seconds from 0 to 3153600000", "--interval",
		     "4000000000", "-a");
}

Test(options, a_number_of_any_length_is_handled)
{
	char *digits = malloc(2001);

	memset(digits, '9', 2000);
	digits[2000] = 0;
	refused_with("is not a number of MiB from", "--limit-mb", digits, "-a");
	refused_with("(example: --interval 10)", "--interval", digits, "-a");
	digits[1] = '.';
	refused_with("(example: --interval 10)", "--interval", digits, "-a");
	free(digits);
}

Test(options, choices_are_one_of_their_names)
{
	accepted("--on-limit", "kill", "--stacks", "none", "--follow", "exact", "--lane", "uprobe",
		 "-p", "1");
	cr_expect_eq(options.on_limit, CLI_LIMIT_KILL);
	cr_expect_eq(options.stacks, CLI_STACKS_NONE);
	cr_expect_eq(options.follow, CLI_FOLLOW_EXACT);
	cr_expect_eq(options.lane, CLI_LANE_UPROBE);
	accepted("--on-limit=stop", "-p", "1");
	cr_expect_eq(options.on_limit, CLI_LIMIT_STOP);
	refused("--on-limit: 'sto' is not one of report|stop|kill (example: --on-limit report)",
		"--on-limit", "sto", "-a");
	refused_with("'report|stop' is not one of", "--on-limit", "report|stop", "-a");
	refused_with("'' is not one of", "--stacks", "", "-a");
}

Test(options, gates_are_a_list)
{
	accepted("--fail-on", "limit,leak=4096", "-a");
	cr_expect(options.fail_on_limit && options.fail_on_leak);
	cr_expect_eq(options.fail_leak_bytes, 4096);
	accepted("--fail-on", "leak", "--fail-on", "limit", "-a");
	cr_expect(options.fail_on_limit && options.fail_on_leak);
	cr_expect_eq(options.fail_leak_bytes, 1, "any leak at all");
	refused("--fail-on: 'leek' is not a gate (example: --fail-on limit,leak=4096)", "--fail-on",
		"leek", "-a");
	refused_with("'' is not a gate", "--fail-on", "limit,", "-a");
	refused_with("'4k' is not a number of bytes above 0", "--fail-on", "leak=4k", "-a");
	refused_with("'0' is not a number of bytes above 0", "--fail-on", "leak=0", "-a");
	refused_with("there is no limit", "--fail-on", "limit", "--limit-mb", "0", "-a");
}

Test(options, unknown_options_are_told_apart_from_misspelt_ones)
{
	refused("--limt-mb: there is no such option (did you mean --limit-mb?)", "--limt-mb=5",
		"-a");
	refused("--frobnicate: there is no such option (memtrace --help lists them)",
		"--frobnicate");
	refused("-x: there is no such option (memtrace --help lists them)", "-vx");
	refused_with("it takes no value", "--all=yes");
}

Test(options, a_missing_value_is_not_taken_from_the_next_option)
{
	refused("--json: it needs a value: FILE (example: --json report.json)", "--json");
	refused_with("--json: it needs a value", "--json", "--", "true");
	refused_with("--comm: it needs a value", "--comm", "--quiet");
	refused_with("--pid: it needs a value", "-p");
	refused_with("--on-limit: it needs a value: report|stop|kill (example: --on-limit report)",
		     "--on-limit");
	refused_with("'' is not a file name", "--json", "", "-a");
	accepted("--json", "-", "-a");
	cr_expect_str_eq(options.json, "-");
}

Test(options, letters_share_a_word)
{
	accepted("-vvqa");
	cr_expect_eq(options.verbose, 2);
	cr_expect(options.quiet);
	cr_expect_eq(options.target, CLI_TARGET_ALL);
	accepted("-vp", "5");
	cr_expect_eq(options.pids[0], 5);
}

Test(options, a_name_longer_than_the_kernel_keeps_would_match_nothing)
{
	accepted("--comm", "fifteen-letters");
	refused("--comm: 'sixteen-letters-' is longer than the 15 characters the kernel keeps of a "
		"name (example: --comm 'sixteen-letters')",
		"--comm", "sixteen-letters-");
}

Test(options, a_user_needs_a_command)
{
	accepted("--user", "root", "--", "id");
	cr_expect_str_eq(options.user, "root");
	refused_with("there is no command to run", "--user", "root", "-a");
}

Test(options, a_sample_is_taken_one_way_of_a_command)
{
	accepted("--", "true");
	cr_expect_eq(options.sampling, CLI_SAMPLE_ALL);
	accepted("--sample-bytes", "524288", "--sample-seed", "7", "--", "true");
	cr_expect_eq(options.sampling, CLI_SAMPLE_BYTES);
	cr_expect_eq(options.sample_bytes, 524288);
	cr_expect_eq(options.sample_seed, 7);
	accepted("--sampling-rate", "0.1", "--lane", "preload", "--", "true");
	cr_expect_eq(options.sampling, CLI_SAMPLE_RATE);
	cr_expect_eq(options.sampling_rate, 0.1);
	accepted("--sampling-rate=0", "--", "true");
	cr_expect_eq(options.sampling, CLI_SAMPLE_RATE);
	accepted("--sample-bytes=0", "--", "true");
	cr_expect_eq(options.sampling, CLI_SAMPLE_BYTES);
}

Test(options, samples_that_cannot_be_are_refused)
{
	refused("--sampling-rate: '1.5' is not a probability from 0 to 1 (example: --sampling-rate 0.1)",
		"--sampling-rate", "1.5", "--", "true");
	refused_with("from 0 to 1099511627776", "--sample-bytes", "1099511627777", "--", "true");
	refused_with("not a number of bytes", "--sample-bytes", "512K", "--", "true");
	refused_with("leave one out", "--sample-bytes", "1", "--sampling-rate", "1", "--", "true");
	refused_with("only a command can be sampled", "--sample-bytes", "4096", "-p", "1");
	refused_with("only a command can be sampled", "--sampling-rate", "0.5", "-a");
	refused_with("only a command can be sampled", "--sample-bytes", "0", "--comm", "x");
	refused_with("the uprobe lane takes no samples", "--lane", "uprobe", "--sample-bytes", "1",
		     "--", "true");
	refused_with("nothing is sampled", "--sample-seed", "3", "--", "true");
	refused_with("no gate can trip", "--sample-bytes", "0", "--fail-on", "leak", "--", "true");
	accepted("--sample-bytes", "1", "--fail-on", "leak", "--", "true");
}

Test(options, nobody_stops_the_whole_machine_by_a_default)
{
	refused_with("say which limit you mean", "-a", "--on-limit", "kill");
	accepted("-a", "--on-limit", "kill", "--limit-mb", "4000");
	accepted("-p", "1", "--on-limit", "kill");
	refused_with("there is no limit", "-p", "1", "--on-limit", "stop", "--limit-mb", "0");
}

Test(options, help_and_version_win_over_what_else_is_wrong_behind_them)
{
	accepted("--help", "--nonsense");
	cr_expect_eq(options.action, CLI_HELP);
	accepted("-h");
	cr_expect_eq(options.action, CLI_HELP);
	accepted("-p", "1", "--version", "-a");
	cr_expect_eq(options.action, CLI_VERSION);
}

Test(options, an_error_is_one_line_whatever_was_typed)
{
	char *junk = malloc(5001);

	memset(junk, 'a', 5000);
	junk[5000] = 0;
	junk[10] = '\n';
	junk[11] = '\x1b';
	refused_with("example: --limit-mb 250", "--limit-mb", junk, "-a");
	cr_expect_null(strpbrk(why.text, "\n\x1b"));
	refused_with("put -- before the command", junk);
	cr_expect_null(strpbrk(why.text, "\n\x1b"));
	free(junk);
}

Test(options, help_fits_a_screen_and_names_every_option)
{
	static const char *const names[] = {
		"-p, --pid PID", "-a, --all", "--comm NAME", "--cgroup PATH", "--interval SECS",
		"--duration SECS", "--min-age SECS", "--min-size BYTES",
		"--min-leak-bytes BYTES", "--leak-interval SECS", "--top N", "--json FILE",
		"--limit-mb N", "--on-limit report|stop|kill", "--fail-on limit,leak[=BYTES]",
		"--lane auto|uprobe|preload", "--sample-bytes N", "--sampling-rate P",
		"--sample-seed N", "--stacks auto|dwarf|fp|none", "--cache-dir DIR", "--stack-depth N",
		"--debuginfod", "--follow news|exact|none",
		"--max-memory-mb N", "--user NAME", "--ready-fd N", "-v, --verbose", "-q, --quiet",
		"--version", "-h, --help",
	};
	size_t lines = 0, column = 0, size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	options_help(out);
	fclose(out);
	for (const char *c = text; *c; c++) {
		column = *c == '\n' ? 0 : column + 1;
		lines += *c == '\n';
		cr_expect_leq(column, 80, "line %zu is wider than 80 columns", lines + 1);
	}
	cr_expect(lines >= 24 && lines <= 50, "%zu lines", lines);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_expect(strstr(text, names[i]), "%s", names[i]);
	free(text);
}

Test(value, a_failure_leaves_the_variable_alone)
{
	uint64_t count = 7;
	double seconds = 7;

	cr_expect_eq(value_count("7x", &count), -EINVAL);
	cr_expect_eq(value_count("18446744073709551616", &count), -ERANGE);
	cr_expect_eq(count, 7);
	cr_expect_eq(value_seconds("7s", &seconds), -EINVAL);
	cr_expect_eq(seconds, 7);
	cr_expect_eq(value_count("18446744073709551615", &count), 0);
	cr_expect_eq(count, UINT64_MAX);
}
