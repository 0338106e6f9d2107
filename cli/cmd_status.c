/* status: how each source is, why, and what to do; and the books (cli/books.h). */
#include "cli/books.h"
#include "cli/registry.h"
#include "cli/status.h"
#include "core/clock.h"
#include <jansson.h>
#include <stdlib.h>

static void print_push(const struct source_status *s, uint64_t now, char out[48])
{
    char ago[CLOCK_TEXT_MAX];
    if (s->source->webhook_off)
        snprintf(out, 48, "off");
    else if (!s->live)
        snprintf(out, 48, "no server runs");
    else if (!s->counts.last_accepted_us)
        snprintf(out, 48, "%s", s->health == HEALTH_FAILING ? "rejecting all" : "nothing yet");
    else
        clock_ago(s->counts.last_accepted_us, now, ago), snprintf(out, 48, "last %s", ago);
}

static void print_pull(const struct source_status *s, uint64_t now, char out[48])
{
    char ago[CLOCK_TEXT_MAX];
    if (!s->runs)
        snprintf(out, 48, "never");
    else if (s->running)
        snprintf(out, 48, "running");
    else
        clock_ago(s->last_run_us, now, ago), snprintf(out, 48, "%s", ago);
}

static void print_line(const struct command_io *io, const struct source_status *s, uint64_t now)
{
    char push[48], pull[48], lag[CLOCK_TEXT_MAX] = "0 s", b[3][32];
    print_push(s, now, push);
    print_pull(s, now, pull);
    if (s->oldest_waiting_us && s->oldest_waiting_us < now)
        snprintf(lag, sizeof lag, "%llu s", (unsigned long long)((now - s->oldest_waiting_us) / 1000000));
    fprintf(io->out, "%-14s %-9s %-22s %-16s %12s %8s %6s %7s\n", s->source->name, health_name(s->health), push, pull,
            thousands(s->rows, b[0]), lag, thousands(s->dead, b[1]), thousands(s->missed, b[2]));
}

static void print_findings(const struct command_io *io, const struct source_status *s)
{
    for (size_t i = 0; i < s->n_findings; i++) {
        const struct finding *f = &s->findings[i];
        fprintf(io->out, "%s %-10s %s\n", f->bad ? glyph_bad(io) : glyph_warn(io), s->source->name, f->text);
        if (f->next[0])
            fprintf(io->out, "  %-10s %s %s\n", "", io->utf8 ? "→" : "->", f->next);
    }
}

static void print_books(const struct command_io *io, const struct source_books *b, const char *name)
{
    char t[8][32];
    fprintf(io->out, "%s %s: received %s = %s journalled + %s rejected + %s duplicate + %s handshake\n",
            b->balanced ? "books balance" : "BOOKS ARE OFF", name, thousands(b->door.received, t[0]),
            thousands(b->door.journalled, t[1]), thousands(b->door.rejected, t[2]), thousands(b->door.duplicate, t[3]),
            thousands(b->door.handshake, t[4]));
    fprintf(io->out, "  entries: %s events + %s pages = %s staged + %s ignored + %s dead + %s waiting + %s damaged\n",
            thousands(b->door.journalled, t[0]), thousands(b->door.pages, t[1]), thousands(b->door.staged, t[2]),
            thousands(b->door.ignored, t[3]), thousands(b->door.dead, t[4]), thousands(b->entries_waiting, t[5]),
            thousands(b->damaged, t[6]));
    fprintf(io->out, "  rows:    %s staged = %s merged + %s waiting\n", thousands(b->door.rows_staged, t[0]),
            thousands(b->rows_merged, t[1]), thousands(b->rows_waiting, t[2]));
}

static json_t *rejected_json(const struct source_status *s)
{
    json_t *r = json_object();
    for (int o = 0; o < OUT_COUNT; o++)
        if (outcome_is_rejection((enum outcome)o))
            json_object_set_new(r, outcome_name((enum outcome)o), json_integer((json_int_t)s->counts.by_outcome[o]));
    return r;
}

static json_t *source_json(const struct source_status *s, const struct source_books *b)
{
    json_t *findings = json_array();
    for (size_t i = 0; i < s->n_findings; i++)
        json_array_append_new(findings,
                              json_pack("{s:s s:s}", "cause", s->findings[i].text, "next", s->findings[i].next));
    json_t *push = json_pack("{s:I s:I s:I s:I s:o}", "received", (json_int_t)b->door.received, "accepted",
                             (json_int_t)b->door.journalled, "duplicate", (json_int_t)b->door.duplicate, "handshake",
                             (json_int_t)b->door.handshake, "rejected", rejected_json(s));
    return json_pack("{s:s s:s s:o s:o s:I s:I s:I s:b}", "source", s->source->name, "health", health_name(s->health),
                     "findings", findings, "push", push, "rows", (json_int_t)s->rows, "dead", (json_int_t)s->dead, "missed",
                     (json_int_t)s->missed, "pull_running", s->running);
}

static json_t *books_json(const char *name, const struct source_books *b)
{
    return json_pack("{s:s s:b s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I s:I}", "source", name, "balanced",
                     b->balanced, "received", (json_int_t)b->door.received, "journalled", (json_int_t)b->door.journalled,
                     "rejected", (json_int_t)b->door.rejected, "duplicate", (json_int_t)b->door.duplicate, "handshake",
                     (json_int_t)b->door.handshake, "pages", (json_int_t)b->door.pages, "staged",
                     (json_int_t)b->door.staged, "ignored", (json_int_t)b->door.ignored, "dead", (json_int_t)b->door.dead,
                     "waiting", (json_int_t)b->entries_waiting, "damaged", (json_int_t)b->damaged, "rows_staged",
                     (json_int_t)b->door.rows_staged, "rows_merged", (json_int_t)b->rows_merged, "rows_waiting",
                     (json_int_t)b->rows_waiting);
}

struct collected {
    struct source_status *status;
    struct source_books *books;
    size_t n;
};

static void print_text(const struct command_io *io, const struct collected *c, uint64_t now)
{
    fprintf(io->out, "%-14s %-9s %-22s %-16s %12s %8s %6s %7s\n", "SOURCE", "HEALTH", "PUSH", "PULL", "ROWS", "LAG", "DEAD",
            "MISSED");
    for (size_t i = 0; i < c->n; i++)
        print_line(io, &c->status[i], now);
    fputc('\n', io->out);
    for (size_t i = 0; i < c->n; i++)
        print_findings(io, &c->status[i]);
    for (size_t i = 0; i < c->n; i++)
        print_books(io, &c->books[i], c->status[i].source->name);
}

static void print_json(const struct command_io *io, const struct collected *c, bool balanced)
{
    json_t *sources = json_array(), *books = json_array();
    for (size_t i = 0; i < c->n; i++) {
        json_array_append_new(sources, source_json(&c->status[i], &c->books[i]));
        json_array_append_new(books, books_json(c->status[i].source->name, &c->books[i]));
    }
    json_t *all = json_pack("{s:o s:{s:b s:o}}", "sources", sources, "books", "balanced", balanced, "sources", books);
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    fprintf(io->out, "%s\n", text ? text : "{}");
    free(text);
    json_decref(all);
}

int cmd_status(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *name = NULL;
    int n;
    if (!command_options(a, io, "status", NULL, &name, 0, 1, &n))
        return EXIT_USAGE;
    const struct source_config *only = n ? instance_source(in, name, io) : NULL;
    if (n && !only)
        return EXIT_USAGE;
    struct err err = {0};
    struct collected c = {.status = mem_alloc((in->config->n_sources + 1) * sizeof *c.status),
                          .books = mem_alloc((in->config->n_sources + 1) * sizeof *c.books)};
    bool ok = books_read(in, c.books, &err), balanced = true, failing = false;
    size_t kept = 0;
    for (size_t i = 0; ok && i < in->config->n_sources; i++) {
        const struct source_config *s = &in->config->sources[i];
        if (only && s != only)
            continue;
        c.books[kept] = c.books[i];
        ok = status_read(in, s, &c.books[i], &c.status[kept], &err);
        balanced = balanced && c.books[kept].balanced;
        failing = failing || c.status[kept].health == HEALTH_FAILING;
        kept++;
    }
    c.n = kept;
    int code = !ok ? command_fail(io, &err) : balanced && !failing ? EXIT_DONE : EXIT_FAILED;
    if (ok && a->json)
        print_json(io, &c, balanced);
    else if (ok)
        print_text(io, &c, in->io->world->now_us(in->io));
    free(c.status);
    free(c.books);
    return code;
}
