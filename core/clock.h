/* clock: times as text and back. Times are uint64_t microseconds since 1970-01-01T00:00:00Z, named …_us.
 * A refused text leaves *ret_… untouched.
 * Threads: pure functions. */
#pragma once
#include "core/span.h"
#include <stdint.h>

#define CLOCK_TEXT_MAX 40

/* RFC 3339 / ISO 8601 instants: 2024-05-01T10:11[:12[.frac]](Z|±hh[[:]mm]), also a space for the T, a
 * comma for the point, small letters, and a missing zone (taken as UTC). What a fraction holds beyond
 * microseconds is cut off; second 60 is the next minute's first. Years 1970–9999. */
bool clock_parse_iso(struct span s, uint64_t *ret_us);
/* IMF-fixdate of RFC 9110 section 5.6.7: Sun, 06 Nov 1994 08:49:37 GMT. */
bool clock_parse_http(struct span s, uint64_t *ret_us);
/* Unsigned decimal digits only, scaled by the unit: 's', 'm' (milliseconds), 'u'. false: not digits or too large. */
bool clock_parse_digits(struct span s, char unit, uint64_t *ret_us);
void clock_iso_us(uint64_t us, char out[CLOCK_TEXT_MAX]);  /* 2024-05-01T10:11:12.345678Z, fixed width */
void clock_iso_s(uint64_t us, char out[CLOCK_TEXT_MAX]);   /* 2024-05-01T10:11:12Z */
void clock_date(uint64_t us, char out[CLOCK_TEXT_MAX]);    /* 2024-05-01 */
void clock_http(uint64_t us, char out[CLOCK_TEXT_MAX]);    /* Sun, 06 Nov 1994 08:49:37 GMT */
const char *clock_span(uint64_t us, char out[CLOCK_TEXT_MAX]); /* "3 s", "12 min", "5 h", "2 d"; returns out */
void clock_ago(uint64_t us, uint64_t now_us, char out[CLOCK_TEXT_MAX]); /* "3 s ago", "12 min ago", "2 d ago" */
/* Durations and sizes as configuration spells them: 300ms 60s 5m 24h 7d (also us, min); 64MiB 20GiB
 * 512KiB 100 (bytes; also TiB, and kB MB GB by thousands). A space before the unit is allowed. */
bool clock_parse_duration(struct span s, uint64_t *ret_us);
bool clock_parse_size(struct span s, uint64_t *ret_bytes);
