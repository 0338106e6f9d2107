/* transform_loop: our transform alone over the requests as entries, and the rows as the lines that staging gets; on one core.
 * Prints JSON. */
#include "bench/entries.h"
#include "config/config.h"
#include "core/io.h"
#include "transforms/transform.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct sink {
    struct buf line;
    uint64_t rows, written, dead;
    bool say; /* the first dead letters in words */
};

static bool take_row(void *ctx, const struct row *row, struct err *err)
{
    struct sink *s = ctx;
    buf_clear(&s->line);
    row_write(&s->line, row);
    s->rows++;
    s->written += s->line.n;
    return buf_ok(&s->line) || err_set(err, ERR_NOMEM, "a row is too large");
}

static bool take_dead(void *ctx, const struct entry *entry, struct span table, uint64_t item, const char *reason, struct err *err)
{
    struct sink *s = ctx;
    (void)err;
    (void)item;
    if (s->say && s->dead < 5)
        fprintf(stderr, "dead letter: %.*s %.*s: %s\n", SPAN_ARG(entry->source), SPAN_ARG(table), reason);
    s->dead++;
    return true;
}

struct prepared {
    struct bench_entry entry;
    struct transform *transform; /* of its source; borrowed */
};

static struct config *load_config(const char *file)
{
    struct report report;
    struct err err = {0};
    report_init(&report);
    struct config *c = config_load(file, &report, &err);
    errno = 0;
    if (!c)
        die("%s%s", report.count ? buf_z(&report.text) : "", err.msg);
    report_release(&report);
    return c;
}

static struct transform **make_transforms(const struct config *c)
{
    struct transform **list = calloc(c->n_sources + 1, sizeof(struct transform *));
    struct err err = {0};
    for (size_t i = 0; list && i < c->n_sources; i++) {
        list[i] = transform_new(&c->sources[i], 1, &err);
        errno = 0;
        if (!list[i])
            die("source %s: %s", c->sources[i].name, err.msg);
    }
    return list;
}

static struct prepared *prepare(const struct config *c, struct transform **transforms, const struct requests *r)
{
    struct prepared *list = calloc(r->n, sizeof *list);
    uint64_t now = io_posix()->world->now_us(io_posix());
    if (!list || !transforms)
        die("no memory for %zu entries", r->n);
    for (size_t i = 0; i < r->n; i++) {
        struct entry *e = &list[i].entry.entry;
        entry_of_request(&r->list[i], &list[i].entry);
        e->seq = i + 1;
        e->received_us = e->verified_us = now;
        for (size_t k = 0; k < c->n_sources; k++)
            if (span_eqz(e->source, c->sources[k].name))
                list[i].transform = transforms[k];
        errno = 0;
        if (!list[i].transform)
            die("the configuration has no source %.*s", SPAN_ARG(e->source));
    }
    return list;
}

static uint64_t pass(struct prepared *list, size_t n, struct sink *s)
{
    const struct transform_sink sink = {.ctx = s, .emit = take_row, .dead = take_dead};
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        struct transform_result result;
        struct err err = {0};
        errno = 0;
        if (!transform_run(list[i].transform, &list[i].entry.entry, &sink, &result, &err))
            die("request %zu: %s", i, err.msg);
        bytes += list[i].entry.entry.message.body.n;
    }
    return bytes;
}

int main(int argc, char **argv)
{
    const char *file = NULL, *config = NULL;
    uint64_t ms = 1000, n = 0, bytes = 0;
    const struct bench_option options[] = {
        {"config", &config, NULL, NULL, "sluice.yaml with the requests' sources"},
        {"requests", &file, NULL, NULL, "file of requests"},
        {"ms", NULL, &ms, NULL, "how long (1000)"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    bench_options(argc, argv, "the transform alone", options);
    if (!file || !config || !ms) {
        fprintf(stderr, "transform_loop: --config and --requests are needed, --ms must not be 0 (--help)\n");
        return 2;
    }
    struct requests r;
    struct sink first = {.say = true}, s = {.say = false};
    requests_load(file, &r);
    struct config *c = load_config(config);
    struct transform **transforms = make_transforms(c);
    struct prepared *list = prepare(c, transforms, &r);
    buf_init(&first.line, (size_t)64 << 20);
    buf_init(&s.line, (size_t)64 << 20);
    pass(list, r.n, &first);
    uint64_t begin = now_ns(), over = begin;
    for (; over - begin < ms * 1000000; over = now_ns()) {
        bytes += pass(list, r.n, &s);
        n += r.n;
    }
    double seconds = (double)(over - begin) / 1e9;
    printf("{\"events\": %llu, \"rows\": %llu, \"dead\": %llu, \"seconds\": %.4f, \"per_second\": %.1f, \"us_each\": %.3f, "
           "\"bytes_per_second\": %.0f, \"written\": %llu}\n",
           (unsigned long long)n, (unsigned long long)s.rows, (unsigned long long)s.dead, seconds, (double)n / seconds,
           seconds * 1e6 / (double)n, (double)bytes / seconds, (unsigned long long)s.written);
    for (size_t i = 0; i < c->n_sources; i++)
        transform_free(&transforms[i]);
    free(transforms);
    free(list);
    buf_release(&first.line);
    buf_release(&s.line);
    config_free(&c);
    requests_free(&r);
    return 0;
}
