#include "transforms/instant.h"
#include "core/clock.h"

static bool all_digits(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return s.n > 0;
}

/* "1714560000.25": digits past the microsecond are cut. */
static bool parse_digits(struct span text, enum time_unit unit, uint64_t *ret_us)
{
    struct span fraction;
    struct span whole = span_cut(text, '.', &fraction);
    uint64_t us, place = unit == UNIT_S ? 100000 : 100;
    if (!all_digits(whole) || (fraction.p && !all_digits(fraction)))
        return false;
    if (!clock_parse_digits(whole, unit == UNIT_S ? 's' : 'm', &us))
        return false;
    for (size_t i = 0; i < fraction.n && place; i++, place /= 10) {
        uint64_t add = (uint64_t)(fraction.p[i] - '0') * place;
        if (us > UINT64_MAX - add)
            return false;
        us += add;
    }
    *ret_us = us;
    return true;
}

bool instant_parse(struct span text, enum time_unit unit, uint64_t *ret_us)
{
    text = span_trim(text);
    if ((unit == UNIT_S || unit == UNIT_MS) && parse_digits(text, unit, ret_us))
        return true;
    return clock_parse_iso(text, ret_us);
}
