/* log: one line a message on stderr, key=value, ids and never payloads or secrets.
 *   time=2026-… level=warn msg="segment is damaged" segment=… offset=…
 * `msg` is constant text; fields follow as printf'ed pairs. Rate limiting is per call site
 * (log_limited: at most one line a second for a place, then "suppressed=N").
 * Threads: any. Life: works with defaults before log_open. */
#pragma once
#include "core/err.h"
#include <stdint.h>
#include <stdio.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_open(enum log_level least, bool json); /* also later: the next line is so */
bool log_wants(enum log_level level);            /* whether a line of this level is written */
void log_line(enum log_level level, const char *msg, const char *fields_fmt, ...) __attribute__((format(printf, 3, 4)));
#define log_debug(msg, ...) log_line(LOG_DEBUG, msg, __VA_ARGS__)
#define log_info(msg, ...) log_line(LOG_INFO, msg, __VA_ARGS__)
#define log_warn(msg, ...) log_line(LOG_WARN, msg, __VA_ARGS__)
#define log_error(msg, ...) log_line(LOG_ERROR, msg, __VA_ARGS__)

struct log_limit {
    uint64_t last_us;
    uint64_t suppressed;
};
/* At most one line a second for `limit` (a static of the call site, touched atomically). */
void log_limited(struct log_limit *limit, enum log_level level, const char *msg, const char *fields_fmt, ...)
    __attribute__((format(printf, 4, 5)));
