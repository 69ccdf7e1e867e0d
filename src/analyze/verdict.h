/* SPDX-License-Identifier: MIT */
/*
 * verdict.h - is a call path that holds old memory leaking, and how bad is it?
 *
 *	leaking  its curve grows steadily (growth.h), by min_leak_bytes or more, which 16 intervals
 *		 or more show; and, where the ages of its blocks can tell, at least half of what it
 *		 added a while ago is there still
 *	suspect  it grows steadily, but its blocks are replaced by new ones, or the intervals are
 *		 fewer; it grew in steps; it levels off and still grows; or there is no curve, and
 *		 what is left is four blocks or more of min_leak_bytes or more, not all made at the
 *		 start
 *	steady	 everything else: it did all its growing at the start or in one step, levelled off,
 *		 goes up and down, shrinks, does not change, or grew by less than min_leak_bytes
 *
 * The ages that can tell: octaves of the histogram that lie between an eighth and three quarters of
 * the time the trend is of. Younger blocks may be work that goes on; older ones may be from before
 * the trend.
 *
 * The impact is the highest of these, of what is not steady:
 *
 *			    low	  medium    high      critical
 *	of the limit	     	  1/20	    1/5	      1/2	held by it
 *	what is left of it 	  in 3 d    in 6 h    in 10 min	filled by its growth alone
 *	without a limit    	  10 MiB    100 MiB   1 GiB	held by it
 *			    	  50 MiB    1 GiB     10 GiB	its growth in a day
 */
#ifndef MEMTRACE_ANALYZE_VERDICT_H
#define MEMTRACE_ANALYZE_VERDICT_H

#include "analyze/leaks.h"
#include "memtrace/memtrace.h"

/* Judges all rows, and counts verdicts. */
void verdicts_find(const struct memtrace_snapshot *snapshot, struct leaks_result *leaks);

/* How fast it grows, bytes per second; NAN when that is not known, or it does not. */
double leak_rate(const struct leak *leak);

/* "leaking", "suspect", "steady" */
const char *leak_verdict_name(enum leak_verdict verdict);

/* "low", "medium", "high", "critical"; NULL of none */
const char *leak_impact_name(enum leak_impact impact);

/* "start", "throughout", "end"; NULL of unknown */
const char *leak_made_name(enum leak_made made);

#endif
