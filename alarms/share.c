#include "alarms/share.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND UINT64_C(1000000)
#define RECENT_S 600.0
#define USUAL_S (7 * 86400.0)
#define BAD_LEAST 5
#define SHARE_LEAST 0.02
#define PAST_BAD 1.0 /* what a source without a past is taken to have had */
#define PAST 20.0
#define GOOD_IN_ROW 10
#define QUIET_US (300 * SECOND)
#define LOOK_US_MAX (120 * SECOND) /* nothing decays while nobody looks */

static double usual(const struct share *s)
{
    return (s->usual_bad + PAST_BAD) / (s->usual_good + s->usual_bad + PAST);
}

static bool has_risen(const struct share *s)
{
    double n = s->recent_good + s->recent_bad, expected = usual(s) * n;
    return s->recent_bad >= BAD_LEAST - 0.5 && s->recent_bad > SHARE_LEAST * n &&
           s->recent_bad > 3 * expected + 4 * sqrt(expected);
}

static bool is_over(const struct share *s, uint64_t now_us)
{
    double n = s->recent_good + s->recent_bad, line = 3 * usual(s) > SHARE_LEAST ? 3 * usual(s) : SHARE_LEAST;
    bool fallen = s->recent_bad < n * line / 2, gone = s->recent_bad < 1;
    return fallen || gone || (s->good_in_row >= GOOD_IN_ROW && now_us > s->bad_us + QUIET_US);
}

void share_look(struct share *s, uint64_t now_us, uint64_t good, uint64_t bad)
{
    uint64_t dt = s->looked_us && now_us > s->looked_us ? now_us - s->looked_us : 0;
    double seconds = (double)(dt < LOOK_US_MAX ? dt : LOOK_US_MAX) / (double)SECOND;
    double keep = exp2(-seconds / RECENT_S), long_ago = exp2(-seconds / USUAL_S);
    s->looked_us = now_us;
    if (!s->risen) { /* what leaves the recent ones becomes usual */
        s->usual_good = s->usual_good * long_ago + s->recent_good * (1 - keep);
        s->usual_bad = s->usual_bad * long_ago + s->recent_bad * (1 - keep);
    }
    s->recent_good = s->recent_good * keep + (double)good;
    s->recent_bad = s->recent_bad * keep + (double)bad;
    if (bad) {
        s->bad_us = now_us;
        s->good_in_row = 0;
    } else {
        s->good_in_row += good;
    }
    if (!s->risen) {
        s->risen = has_risen(s);
    } else if (is_over(s, now_us)) {
        s->risen = false;
        s->recent_good = s->recent_bad = 0; /* a fault that is over is neither recent nor usual */
    }
}

void share_write(const struct share *s, struct buf *out)
{
    buf_addf(out, "1 %.6g %.6g %.6g %.6g %llu %llu %llu %d\n", s->recent_good, s->recent_bad, s->usual_good, s->usual_bad,
             (unsigned long long)s->looked_us, (unsigned long long)s->bad_us, (unsigned long long)s->good_in_row, s->risen);
}

bool share_read(struct span text, struct share *ret)
{
    struct share s = {0};
    unsigned long long looked, bad, row;
    char line[256];
    int risen, end = 0;
    snprintf(line, sizeof line, "%.*s", SPAN_ARG(text));
    if (sscanf(line, "1 %lf %lf %lf %lf %llu %llu %llu %d%n", &s.recent_good, &s.recent_bad, &s.usual_good, &s.usual_bad, &looked,
               &bad, &row, &risen, &end) != 8 ||
        !end)
        return false;
    s.looked_us = looked;
    s.bad_us = bad;
    s.good_in_row = row;
    s.risen = risen != 0;
    *ret = s;
    return true;
}
