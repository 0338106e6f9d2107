#include "core/log.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/io.h"
#include "core/json.h"
#include <stdatomic.h>
#include <unistd.h>

static atomic_int least_level = LOG_INFO;
static atomic_bool as_json;

void log_open(enum log_level least, bool json)
{
    atomic_store(&least_level, (int)least);
    atomic_store(&as_json, json);
}

bool log_wants(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

/* Fields beyond this are left out; each of their bytes may become six in JSON. */
#define FIELDS_BYTES_MAX ((size_t)1 << 15)
#define LINE_BYTES_MAX (8 * FIELDS_BYTES_MAX)

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* Takes one pair off `key=value` or `key="value"` fields; false at the end. */
static bool take_field(struct span *rest, struct span *key, struct span *value)
{
    while (rest->n && rest->p[0] == ' ')
        *rest = span_skip(*rest, 1);
    if (!rest->n)
        return false;
    struct span after;
    *key = span_cut(*rest, '=', &after);
    if (!after.p)
        after = (struct span){rest->p + rest->n, 0};
    if (after.n && after.p[0] == '"') {
        size_t i = 1;
        while (i < after.n && after.p[i] != '"')
            i++;
        /* The value may hold quotes: the field ends with a quote that a space or the end follows. */
        while (i + 1 < after.n && after.p[i + 1] != ' ') {
            i++;
            while (i < after.n && after.p[i] != '"')
                i++;
        }
        *value = (struct span){after.p + 1, i < after.n ? i - 1 : after.n - 1};
        *rest = span_skip(after, i < after.n ? i + 1 : after.n);
        return true;
    }
    struct span tail;
    *value = span_cut(after, ' ', &tail);
    *rest = tail.p ? tail : (struct span){after.p + after.n, 0};
    return true;
}

static void add_json(struct buf *line, const char *at, const char *level, const char *msg, struct span fields)
{
    buf_addf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", at, level);
    json_write_string(line, span_of(msg));
    struct span key, value;
    while (take_field(&fields, &key, &value)) {
        buf_addc(line, ',');
        json_write_string(line, key);
        buf_addc(line, ':');
        json_write_string(line, value);
    }
    buf_addz(line, "}\n");
}

static void write_line(enum log_level level, const char *msg, struct span fields)
{
    struct buf line;
    char at[CLOCK_TEXT_MAX];
    const struct io *io = io_posix();
    buf_init(&line, LINE_BYTES_MAX);
    clock_iso_us(io->world->now_us(io), at);
    if (atomic_load(&as_json))
        add_json(&line, at, level_names[level], msg, fields);
    else
        buf_addf(&line, "time=%s level=%s msg=\"%s\"%s%.*s\n", at, level_names[level], msg, fields.n ? " " : "",
                 SPAN_ARG(fields));
    /* One write a line, so that lines of several threads do not mix. A log that cannot be written is
     * nobody's reason to fail. */
    if (buf_ok(&line) && write(STDERR_FILENO, line.p, line.n) < 0)
        (void)0;
    buf_release(&line);
}

static void log_va(enum log_level level, const char *msg, const char *fmt, va_list ap, uint64_t suppressed)
{
    if ((int)level < atomic_load(&least_level))
        return;
    struct buf fields;
    buf_init(&fields, FIELDS_BYTES_MAX);
    buf_addv(&fields, fmt, ap);
    if (!buf_ok(&fields)) {
        buf_clear(&fields);
        buf_addz(&fields, "fields=\"left out: too long\"");
    }
    if (suppressed)
        buf_addf(&fields, " suppressed=%llu", (unsigned long long)suppressed);
    for (size_t i = 0; i < fields.n; i++) /* a line break would forge a line, an escape drives a terminal */
        if ((unsigned char)fields.p[i] < 0x20 || fields.p[i] == 0x7f)
            fields.p[i] = ' ';
    write_line(level, msg, buf_span(&fields));
    buf_release(&fields);
}

void log_line(enum log_level level, const char *msg, const char *fields_fmt, ...)
{
    va_list ap;
    va_start(ap, fields_fmt);
    log_va(level, msg, fields_fmt, ap, 0);
    va_end(ap);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *msg, const char *fields_fmt, ...)
{
    const struct io *io = io_posix();
    uint64_t now = io->world->monotonic_us(io), last = __atomic_load_n(&limit->last_us, __ATOMIC_RELAXED);
    if ((last && now - last < 1000000) ||
        !__atomic_compare_exchange_n(&limit->last_us, &last, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_add_fetch(&limit->suppressed, 1, __ATOMIC_RELAXED);
        return;
    }
    uint64_t suppressed = __atomic_exchange_n(&limit->suppressed, 0, __ATOMIC_RELAXED);
    va_list ap;
    va_start(ap, fields_fmt);
    log_va(level, msg, fields_fmt, ap, suppressed);
    va_end(ap);
}
