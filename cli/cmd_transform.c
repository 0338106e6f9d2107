/* transform: which rows an event becomes, without a server or a data directory. */
#include "cli/captured.h"
#include "cli/registry.h"
#include "transforms/transform.h"
#include <stdlib.h>

struct printing {
    const struct command_io *io;
    struct buf line;
    uint64_t dead;
};

static bool print_row(void *ctx, const struct row *row, struct err *err)
{
    struct printing *p = ctx;
    buf_clear(&p->line);
    row_write(&p->line, row);
    if (!buf_ok(&p->line))
        return err_set(err, ERR_NOMEM, "a row is too large to print");
    fwrite(p->line.p, 1, p->line.n, p->io->out);
    return true;
}

static bool print_dead(void *ctx, const struct entry *entry, struct span table, uint64_t item, const char *reason,
                       struct err *err)
{
    (void)entry;
    (void)err;
    struct printing *p = ctx;
    p->dead++;
    fprintf(p->io->err, "%s dead letter: %.*s%srecord %llu: %s\n", glyph_bad(p->io), SPAN_ARG(table), table.n ? ", " : "",
            (unsigned long long)item, reason);
    return true;
}

/* Headers given as "Name: value"; returns how many. */
static size_t take_headers(const struct command_args *a, struct http_header *headers, size_t max)
{
    size_t n = 0;
    for (int i = 0; i + 1 < a->argc && n < max; i++) {
        if (strcmp(a->argv[i], "--header") != 0)
            continue;
        struct span value, name = span_cut(span_of(a->argv[++i]), ':', &value);
        headers[n++] = (struct http_header){span_trim(name), span_trim(value)};
    }
    return n;
}

static int run(const struct source_config *s, const struct http_message *message, const struct command_io *io, uint64_t now_us)
{
    struct entry e = {.kind = ENTRY_EVENT,
                      .seq = 1,
                      .received_us = now_us,
                      .node = SPAN_LIT("local-00000000"),
                      .lane = SPAN_LIT("events"),
                      .source = span_of(s->name),
                      .message = *message};
    struct err err = {0};
    struct transform *t = NULL;
    struct printing p = {.io = io};
    buf_init(&p.line, (size_t)128 << 20);
    struct transform_sink sink = {.ctx = &p, .emit = print_row, .dead = print_dead};
    struct transform_result r = {0};
    bool ok = (t = transform_new(s, 0, &err)) != NULL && transform_run(t, &e, &sink, &r, &err);
    transform_free(&t);
    buf_release(&p.line);
    if (!ok)
        return command_fail(io, &err);
    if (r.ignored)
        fprintf(io->err, "%s no row: %s\n", glyph_warn(io), r.why_ignored ? r.why_ignored : "ignored");
    return p.dead ? EXIT_FAILED : EXIT_DONE;
}

/* The configured source of that name, with its own columns and values; else the bare manifest. */
static int run_source(struct instance *in, const char *name, const char *file, const struct http_message *message,
                      uint64_t now_us, const struct command_io *io)
{
    struct report report;
    report_init(&report);
    struct err err = {0};
    int code;
    struct config *c = file ? NULL : config_load(in->config_file, &report, &err);
    const struct source_config *s = c ? config_source(c, span_of(name)) : NULL;
    struct manifest *m = NULL;
    if (s) {
        code = run(s, message, io, now_us);
    } else {
        report_release(&report);
        report_init(&report);
        m = file ? manifest_load_file(file, &report, &err) : manifest_load(".", span_of(name), &report, &err);
        struct source_config bare = {.name = name, .manifest = m, .all_tables = true};
        if (m)
            code = run(&bare, message, io, now_us);
        else if (report.count)
            code = (fwrite(report.text.p, 1, report.text.n, io->err), EXIT_USAGE);
        else
            code = command_fail(io, &err);
    }
    manifest_free(&m);
    config_free(&c);
    report_release(&report);
    return code;
}

static int run_captured(struct instance *in, const char *name, const char *file, const struct command_args *a,
                        const struct command_io *io)
{
    struct json json;
    struct err err = {0};
    struct captured *c = mem_alloc(sizeof *c);
    int code;
    if (!json_parse(a->input, &json, &err) || !captured_read(json, c, &err)) {
        err_prefix(&err, "--request");
        code = command_fail(io, &err);
    } else {
        uint64_t now_us = c->now_us ? c->now_us : in->io->world->now_us(in->io);
        if (c->body_cut)
            fprintf(io->err, "%s the body is not all there: of a refused request only its beginning is kept\n", glyph_warn(io));
        code = run_source(in, name, file, &c->message, now_us, io);
    }
    captured_release(c);
    free(c);
    return code;
}

int cmd_transform(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *name, *data = NULL, *request = NULL, *header = NULL, *file = NULL;
    const struct opt spec[] = {{"--data", OPT_VALUE, &data}, {"--request", OPT_VALUE, &request}, {"--header", OPT_VALUE, &header},
                               {"--manifest", OPT_VALUE, &file}, {NULL, 0, NULL}};
    int n;
    if (!command_options(a, io, "transform", spec, &name, 1, 1, &n))
        return EXIT_USAGE;
    if ((data != NULL) + (request != NULL) != 1) {
        fprintf(io->err, "sluice transform: give one of --data FILE (the event's body; - is stdin) and --request FILE "
                         "(a captured request)\n");
        return EXIT_USAGE;
    }
    if (request && header) {
        fprintf(io->err, "sluice transform: --header goes with --data; a captured request has its own headers\n");
        return EXIT_USAGE;
    }
    if (request)
        return run_captured(in, name, file, a, io);
    struct http_header headers[64];
    struct http_message message = {
        .method = SPAN_LIT("POST"), .url = SPAN_LIT("/in/local"), .headers = headers, .body = a->input};
    message.n_headers = take_headers(a, headers, 64);
    return run_source(in, name, file, &message, in->io->world->now_us(in->io), io);
}
