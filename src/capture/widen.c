// SPDX-License-Identifier: MIT
#include "capture/widen.h"

#include <math.h>

#include "capture/preload.h"
#include "capture/session.h"
#include "model/overhead.h"

#define SAMPLING_RATE_MIN 1e-5

bool widen_possible(const struct memtrace *s)
{
	return s->preload && s->options.max_overhead_percent;
}

struct mt_preload_config widen_first_sampling(const struct memtrace_options *options)
{
	struct mt_preload_config config = preload_sampling(options);

	if (options->max_overhead_percent && config.mode == MT_PRELOAD_EXACT) {
		config.mode = MT_PRELOAD_BY_CALLS;
		config.probability = MT_PRELOAD_PROBABILITY_ONE;
	}
	return config;
}

/* By classes of powers of two: the middle of each. */
static double mean_bytes(const struct memtrace *s)
{
	double blocks = 0, bytes = 0;
	struct mt_percpu counters;

	tables_percpu(&s->tables, &counters);
	for (int i = 0; i < MT_SIZE_CLASSES; i++) {
		blocks += (double)counters.size_classes[i];
		bytes += (double)counters.size_classes[i] * ldexp(1.5, i);
	}
	return blocks > 0 ? bytes / blocks : 1;
}

/* The next wider sample; false when there is none. */
static bool choose_wider(struct memtrace *s, double percent)
{
	struct memtrace_options *options = &s->options;
	double times = percent / options->max_overhead_percent;

	switch (options->sampling) {
	case MEMTRACE_SAMPLING_NONE:
		options->sampling = MEMTRACE_SAMPLING_BYTES;
		options->sample_bytes = overhead_sample_bytes(mean_bytes(s), times);
		return true;
	case MEMTRACE_SAMPLING_BYTES:
		if (options->sample_bytes >= OVERHEAD_SAMPLE_BYTES_MAX)
			return false;
		options->sample_bytes = overhead_sample_bytes((double)options->sample_bytes, times);
		return true;
	case MEMTRACE_SAMPLING_RATE:
		options->sampling_rate /= fmax(times, 4);
		return options->sampling_rate >= SAMPLING_RATE_MIN;
	}
	return false;
}

bool widen_sample(struct memtrace *s, double percent)
{
	struct mt_preload_config config;

	if (!widen_possible(s) || !choose_wider(s, percent))
		return false;
	config = preload_sampling(&s->options);
	if (preload_configure(s->preload, &config))
		return false;
	s->tables.sampled = true;
	return true;
}
