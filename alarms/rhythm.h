/* rhythm: when the silence of a source is unusual for this source.
 *
 * Two measures, both of what was seen of the source alone:
 *   longest gap   the longest silence of the last four to five weeks. A silence of SILENT_TIMES it is unusual.
 *   expected      how many events the silence should have had, by what the same hours of the week usually have (an exponentially
 *                 weighted mean by hour of the week, of which the least of an hour and its two neighbours counts, so that summer
 *                 time and a day that begins late are no silence). SILENT_TIMES the most that any gap of the last weeks had, and
 *                 at least SILENT_EVENTS, is unusual. It is used once each hour was seen in two weeks, and gaps were measured so
 *                 for a third.
 * The first needs no clock and is slow where nights are quiet; the second knows nights and week-ends, and is quick by day. A
 * source has a rhythm once it was watched for `learn` and had RHYTHM_GAPS gaps; before, its silence is never unusual.
 * Time in which nobody looked (the program was down, the machine slept) is no silence. A silence that was called unusual is
 * learnt as half again the longest, so that one outage does not hide the next, and a source that became slower is understood
 * in the end.
 * With exponential gaps, a silence of four times the longest of n is met by chance once in about n^4/24 gaps.
 * Threads: plain values. Times: microseconds since 1970. */
#pragma once
#include "core/buf.h"
#include <stdbool.h>
#include <stdint.h>

#define RHYTHM_HOURS 168 /* of a week */
#define RHYTHM_WEEKS 5   /* the one that runs and four before */
#define RHYTHM_GAPS 50
#define SILENT_TIMES 4
#define SILENT_EVENTS 30
#define RHYTHM_LOOK_US_MAX (UINT64_C(120) * 1000000) /* looks further apart: nobody looked between them */

struct rhythm_week {
    uint64_t number;         /* weeks since 1970; another week: the rest is of an old one */
    uint64_t gap_us;         /* the longest that ended in it */
    double gap_expected;     /* the most events that one should have had */
    uint64_t gaps, measured; /* how many ended; how many of them by expected, too */
    uint64_t events, watched_us;
};
struct rhythm {
    uint64_t watched_us, looked_us; /* in all; the last look, 0: none yet */
    uint64_t quiet_us;              /* watched since the newest event */
    double expected;                /* events that it should have had; 0 where the hours are not known */
    bool began;                     /* there was an event: what is before the first is no gap */
    struct rhythm_week weeks[RHYTHM_WEEKS];
    double rate[RHYTHM_HOURS];      /* events an hour */
    uint8_t seen[RHYTHM_HOURS];     /* in how many weeks, at most 255 */
    uint64_t hour, hour_events, hour_watched_us; /* the hour that runs, since 1970 */
};

/* Every few seconds: how many events came since the last look. silent: the silence that they may end was called unusual. */
void rhythm_look(struct rhythm *r, uint64_t now_us, uint64_t events, bool silent);
/* Whether the silence is unusual. *ret_usual_us: the mean gap; *ret_longest_us: the longest of the last weeks. */
bool rhythm_is_silent(const struct rhythm *r, uint64_t learn_us, uint64_t *ret_usual_us, uint64_t *ret_longest_us);

/* As text, a line; read fails on another form, and leaves *ret as it is. */
void rhythm_write(const struct rhythm *r, struct buf *out);
bool rhythm_read(struct span text, struct rhythm *ret);
