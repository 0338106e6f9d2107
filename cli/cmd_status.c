/* status: how each source is, why, and what to do; and the books (cli/books.h). */
#include "alarms/ledger.h"
#include "cli/books.h"
#include "cli/certificate.h"
#include "cli/registry.h"
#include "cli/reload.h"
#include "cli/sinks.h"
#include "cli/status.h"
#include "cli/status_table.h"
#include "core/clock.h"
#include "core/json.h"
#include <stdlib.h>

static const char *words_of(uint64_t us, char out[CLOCK_TEXT_MAX])
{
    clock_ago(1, us + 1, out);
    char *ago = strstr(out, " ago");
    if (ago)
        *ago = 0;
    return out;
}

static void print_push(const struct source_status *s, uint64_t now, char out[96])
{
    char ago[CLOCK_TEXT_MAX], t[2][CLOCK_TEXT_MAX];
    if (s->source->webhook_off)
        snprintf(out, 96, "off");
    else if (!s->live)
        snprintf(out, 96, "no server runs");
    else if (s->counts.refusing_since_us)
        clock_iso_s(s->counts.refusing_since_us, ago), snprintf(out, 96, "rejecting since %.5s", ago + 11);
    else if (s->broken)
        snprintf(out, 96, "broken at provider");
    else if (s->watched.silent)
        snprintf(out, 96, "silent %s (usual: %s)", words_of(s->watched.quiet_us, t[0]), words_of(s->watched.usual_us, t[1]));
    else if (!s->counts.last_accepted_us)
        snprintf(out, 96, "nothing yet");
    else if (clock_ago(s->counts.last_accepted_us, now, ago), s->watched.per_second >= 0.05)
        snprintf(out, 96, "%.1f/s, last %s", s->watched.per_second, ago);
    else
        snprintf(out, 96, "last %s", ago);
}

static void print_pull(const struct source_status *s, uint64_t now, char out[96])
{
    char ago[CLOCK_TEXT_MAX];
    if (!s->runs)
        snprintf(out, 96, "never");
    else if (s->running)
        snprintf(out, 96, "running");
    else
        clock_ago(s->last_run_us, now, ago), snprintf(out, 96, "%s", ago);
}

static void print_line(const struct command_io *io, const struct source_status *s, uint64_t now)
{
    char push[96], pull[96], lag[CLOCK_TEXT_MAX] = "0 s", b[3][32];
    print_push(s, now, push);
    print_pull(s, now, pull);
    if (s->oldest_waiting_us && s->oldest_waiting_us < now)
        snprintf(lag, sizeof lag, "%llu s", (unsigned long long)((now - s->oldest_waiting_us) / 1000000));
    fprintf(io->out, "%-14s %-9s %-22s %-16s %12s %8s %6s %7s\n", s->source->name, health_name(s->health), push, pull,
            thousands(s->rows_day, b[0]), lag, thousands(s->dead, b[1]), thousands(s->missed, b[2]));
}

/* The door in a sentence. */
static void print_door(const struct command_io *io, const struct source_status *s, uint64_t now)
{
    char ago[CLOCK_TEXT_MAX];
    fprintf(io->out, "push: %s", s->source->webhook_off ? "off" : "enabled");
    if (s->checked_us)
        clock_ago(s->checked_us, now, ago), fprintf(io->out, ", %sas registered (checked %s)", s->drift ? "NOT " : "", ago);
    if (!s->live)
        fprintf(io->out, ", no server runs");
    if (s->live && !s->source->webhook_off)
        fprintf(io->out, ", %.2f/s", s->watched.per_second);
    if (s->counts.last_accepted_us)
        clock_ago(s->counts.last_accepted_us, now, ago), fprintf(io->out, ", last accepted %s", ago);
    if (s->counts.last_rejected_us)
        clock_ago(s->counts.last_rejected_us, now, ago),
            fprintf(io->out, ", last rejected %s as %s", ago, outcome_name(s->counts.last_rejected));
    fputs("\n\n", io->out);
}

static void print_findings(const struct command_io *io, const struct source_status *s, bool bad)
{
    for (size_t i = 0; i < s->n_findings; i++) {
        const struct finding *f = &s->findings[i];
        if (f->bad != bad)
            continue;
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

static void add_push(struct buf *b, const struct source_status *s, const struct source_books *books)
{
    buf_addf(b, ",\"push\":{\"received\":%llu", (unsigned long long)books->door.received);
    json_add_count(b, "accepted", books->door.journalled);
    json_add_count(b, "duplicate", books->door.duplicate);
    json_add_count(b, "handshake", books->door.handshake);
    buf_addz(b, ",\"rejected\":{");
    const char *comma = "";
    for (int o = 0; o < OUT_COUNT; o++) {
        if (!outcome_is_rejection((enum outcome)o))
            continue;
        buf_addf(b, "%s\"%s\":%llu", comma, outcome_name((enum outcome)o), (unsigned long long)s->counts.by_outcome[o]);
        comma = ",";
    }
    buf_addz(b, "}");
    json_add_time(b, "last_accepted_at", s->counts.last_accepted_us);
    json_add_time(b, "last_rejected_at", s->counts.last_rejected_us);
    json_add_time(b, "rejecting_since", s->counts.refusing_since_us);
    buf_addf(b, ",\"last_rejected_as\":\"%s\"", s->counts.last_rejected_us ? outcome_name(s->counts.last_rejected) : "");
    buf_addf(b, ",\"enabled\":%s,\"as_registered\":%s", s->source->webhook_off ? "false" : "true",
             !s->checked_us ? "null" : s->drift ? "false" : "true");
    json_add_time(b, "checked_at", s->checked_us);
    buf_addf(b, ",\"per_second\":%.3f,\"silent\":%s", s->watched.per_second, s->watched.silent ? "true" : "false");
    json_add_count(b, "usual_gap_seconds", s->watched.usual_us / 1000000);
    buf_addc(b, '}');
}

struct table_writing {
    const struct command_io *io;
    struct buf *json; /* NULL: for people */
    uint64_t staged_us, now_us;
    size_t n;
};

static bool write_table(void *ctx, const struct table_status *t)
{
    struct table_writing *w = ctx;
    if (w->json && w->n)
        buf_addc(w->json, ',');
    if (w->json)
        table_status_json(w->json, t, w->staged_us, w->now_us);
    else
        table_status_line(w->io, t, w->staged_us, w->now_us);
    w->n++;
    return true;
}

static void add_source(struct buf *b, const struct source_status *s, const struct source_books *books)
{
    buf_addf(b, "{\"source\":\"%s\",\"health\":\"%s\",\"findings\":[", s->source->name, health_name(s->health));
    for (size_t i = 0; i < s->n_findings; i++) {
        buf_addz(b, i ? ",{\"cause\":" : "{\"cause\":");
        json_write_string(b, span_of(s->findings[i].text));
        buf_addz(b, ",\"next\":");
        json_write_string(b, span_of(s->findings[i].next));
        buf_addc(b, '}');
    }
    buf_addc(b, ']');
    add_push(b, s, books);
    json_add_count(b, "rows", s->rows);
    json_add_count(b, "rows_24h", s->rows_day);
    json_add_count(b, "dead", s->dead);
    json_add_count(b, "missed", s->missed);
    buf_addf(b, ",\"pull_running\":%s", s->running ? "true" : "false");
}

static void add_books(struct buf *b, const char *name, const struct source_books *s)
{
    const struct books *d = &s->door;
    buf_addf(b, "{\"source\":\"%s\",\"balanced\":%s", name, s->balanced ? "true" : "false");
    json_add_count(b, "received", d->received);
    json_add_count(b, "journalled", d->journalled);
    json_add_count(b, "rejected", d->rejected);
    json_add_count(b, "duplicate", d->duplicate);
    json_add_count(b, "handshake", d->handshake);
    json_add_count(b, "pages", d->pages);
    json_add_count(b, "staged", d->staged);
    json_add_count(b, "ignored", d->ignored);
    json_add_count(b, "dead", d->dead);
    json_add_count(b, "waiting", s->entries_waiting);
    json_add_count(b, "damaged", s->damaged);
    json_add_count(b, "rows_staged", d->rows_staged);
    json_add_count(b, "rows_merged", s->rows_merged);
    json_add_count(b, "rows_waiting", s->rows_waiting);
    buf_addc(b, '}');
}

struct sink_status {
    const char *name;
    char place[300];
    uint64_t behind, oldest_us;
    bool known, healthy; /* known: a server runs */
};

static bool read_sinks(struct instance *in, struct sink_status sinks[SINKS_MAX], size_t *ret_n, struct err *err)
{
    const char *names[SINKS_MAX];
    size_t n = sinks_configured(in->config, names);
    for (size_t i = 0; i < n; i++) {
        struct sink_status *s = &sinks[i];
        char words[8];
        uint64_t since;
        *s = (struct sink_status){.name = names[i], .known = in->live != NULL};
        s->healthy = s->known && !sink_trouble(in, s->name, words, sizeof words, &since);
        sink_place(in->config, s->name, s->place, sizeof s->place);
        if (!sink_behind(in, s->name, &s->behind, err) || !sink_oldest(in, s->name, &s->oldest_us, err))
            return false;
    }
    *ret_n = n;
    return true;
}

static uint64_t age_s(uint64_t then_us, uint64_t now)
{
    return then_us && then_us < now ? (now - then_us) / 1000000 : 0;
}

static void print_sinks(const struct command_io *io, const struct sink_status *sinks, size_t n, uint64_t now)
{
    fprintf(io->out, "%-14s %-9s %12s %10s  %s\n", "SINK", "HEALTH", "BEHIND", "OLDEST", "PLACE");
    for (size_t i = 0; i < n; i++) {
        const struct sink_status *s = &sinks[i];
        char behind[32], oldest[32];
        snprintf(oldest, sizeof oldest, "%llu s", (unsigned long long)age_s(s->oldest_us, now));
        fprintf(io->out, "%-14s %-9s %12s %10s  %s\n", s->name, !s->known ? "unknown" : s->healthy ? "healthy" : "failing",
                thousands(s->behind, behind), oldest, s->place);
    }
    fputc('\n', io->out);
}

static void add_sinks(struct buf *b, const struct sink_status *sinks, size_t n, uint64_t now)
{
    for (size_t i = 0; i < n; i++) {
        const struct sink_status *s = &sinks[i];
        buf_addf(b, "%s{\"sink\":\"%s\",\"place\":", i ? "," : "", s->name);
        json_write_string(b, span_of(s->place));
        json_add_count(b, "behind", s->behind);
        json_add_count(b, "oldest_seconds", age_s(s->oldest_us, now));
        buf_addf(b, ",\"healthy\":%s}", !s->known ? "null" : s->healthy ? "true" : "false");
    }
}

struct collected {
    struct source_status *status;
    struct source_books *books;
    size_t n;
    struct sink_status sinks[SINKS_MAX];
    size_t n_sinks;
    char certificate[600]; /* what is to be said of the listener's, or "" */
    char reload[800];      /* and of the last change of the configuration */
    bool tables;           /* of the one source */
    struct buf alarms;     /* as JSON */
    char unshipped[700], posts[700]; /* what is to be said of these alarms, and of posting */
};

static bool print_tables(struct instance *in, const struct command_io *io, const struct collected *c, uint64_t now,
                         struct err *err)
{
    bool ok = true;
    for (size_t i = 0; ok && c->tables && i < c->n; i++) {
        struct table_writing w = {.io = io, .staged_us = c->status[i].oldest_waiting_us, .now_us = now};
        print_door(io, &c->status[i], now);
        table_status_head(io);
        ok = table_status_each(in, c->status[i].source, write_table, &w, err);
        fputc('\n', io->out);
    }
    return ok;
}

static bool print_text(struct instance *in, const struct command_io *io, const struct collected *c, uint64_t now, struct err *err)
{
    fprintf(io->out, "%-14s %-9s %-22s %-16s %12s %8s %6s %7s\n", "SOURCE", "HEALTH", "PUSH", "PULL", "ROWS/24H", "LAG", "DEAD",
            "MISSED");
    for (size_t i = 0; i < c->n; i++)
        print_line(io, &c->status[i], now);
    fputc('\n', io->out);
    if (!print_tables(in, io, c, now, err))
        return false;
    print_sinks(io, c->sinks, c->n_sinks, now);
    if (c->certificate[0])
        fprintf(io->out, "%s %s\n", glyph_warn(io), c->certificate);
    if (c->reload[0])
        fprintf(io->out, "%s %s\n", glyph_warn(io), c->reload);
    if (c->unshipped[0])
        fprintf(io->out, "%s %s\n", glyph_warn(io), c->unshipped);
    if (c->posts[0])
        fprintf(io->out, "%s %s\n", glyph_bad(io), c->posts);
    for (size_t i = 0; i < c->n; i++)
        print_findings(io, &c->status[i], true);
    for (size_t i = 0; i < c->n; i++)
        print_findings(io, &c->status[i], false);
    for (size_t i = 0; i < c->n; i++)
        print_books(io, &c->books[i], c->status[i].source->name);
    return true;
}

static bool print_json(struct instance *in, const struct command_io *io, const struct collected *c, bool balanced, uint64_t now,
                       struct err *err)
{
    struct buf b;
    bool ok = true;
    buf_init(&b, 16 << 20);
    buf_addz(&b, "{\"sources\":[");
    for (size_t i = 0; ok && i < c->n; i++) {
        struct table_writing w = {.io = io, .json = &b, .staged_us = c->status[i].oldest_waiting_us, .now_us = now};
        buf_addz(&b, i ? "," : "");
        add_source(&b, &c->status[i], &c->books[i]);
        buf_addz(&b, ",\"tables\":[");
        ok = table_status_each(in, c->status[i].source, write_table, &w, err);
        buf_addz(&b, "]}");
    }
    buf_addf(&b, "],\"books\":{\"balanced\":%s,\"sources\":[", balanced ? "true" : "false");
    for (size_t i = 0; i < c->n; i++) {
        buf_addz(&b, i ? "," : "");
        add_books(&b, c->status[i].source->name, &c->books[i]);
    }
    buf_addz(&b, "]},\"sinks\":[");
    add_sinks(&b, c->sinks, c->n_sinks, now);
    buf_addz(&b, "],\"warnings\":[");
    const char *const warnings[] = {c->certificate, c->reload, c->unshipped, c->posts};
    const char *comma = "";
    for (size_t i = 0; i < sizeof warnings / sizeof warnings[0]; i++) {
        if (!warnings[i][0])
            continue;
        buf_addz(&b, comma);
        json_write_string(&b, span_of(warnings[i]));
        comma = ",";
    }
    buf_addz(&b, "],\"alarms\":[");
    buf_adds(&b, buf_span(&c->alarms));
    buf_addz(&b, "]}");
    if (ok)
        fprintf(io->out, "%s\n", buf_z(&b));
    buf_release(&b);
    return ok;
}

static bool read_alarm(void *ctx, const struct alarm *a)
{
    struct collected *c = ctx;
    struct buf *b = &c->alarms;
    buf_addz(b, b->n ? ",{\"kind\":" : "{\"kind\":");
    json_write_string(b, a->kind);
    buf_addz(b, ",\"source\":");
    json_write_string(b, a->source);
    buf_addz(b, ",\"subject\":");
    json_write_string(b, a->subject);
    buf_addz(b, ",\"cause\":");
    json_write_string(b, a->cause);
    buf_addz(b, ",\"next\":");
    json_write_string(b, a->next);
    json_add_time(b, "raised_at", a->raised_us);
    buf_addc(b, '}');
    if (span_eqz(a->kind, alarm_kind_name(ALARM_UNSHIPPED)))
        snprintf(c->unshipped, sizeof c->unshipped, "%.*s", SPAN_ARG(a->cause));
    return true;
}

/* What stands, and whether it could be told. */
static bool read_alarms(struct instance *in, struct collected *c, struct err *err)
{
    struct state *state;
    struct posts_waiting posts;
    char ago[CLOCK_TEXT_MAX];
    buf_init(&c->alarms, 4 << 20);
    if (!instance_state(in, &state, err) || !ledger_each(state, true, read_alarm, c, err) ||
        !ledger_waiting(state, &posts, err))
        return false;
    clock_ago(posts.oldest_us, in->io->world->now_us(in->io), ago);
    if (posts.tries)
        snprintf(c->posts, sizeof c->posts,
                 "alarms are not told: %llu wait to be posted, the first came up %s: %s; look at alarms.post",
                 (unsigned long long)posts.n, ago, posts.error);
    return true;
}

static void read_reload(const struct instance *in, char *out, size_t n)
{
    struct reload_state state = {.ok = true};
    out[0] = 0;
    if (in->live)
        reload_state(in->live->reload, &state);
    if (!state.ok)
        snprintf(out, n, "the last change of the configuration was refused, the one before is in force: %s; sluice config check",
                 state.words);
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
    ok = ok && read_sinks(in, c.sinks, &c.n_sinks, &err) && read_alarms(in, &c, &err);
    if (in->config->tls_cert &&
        !certificate_warning(in->config->tls_cert, in->io->world->now_us(in->io), c.certificate, sizeof c.certificate))
        c.certificate[0] = 0;
    read_reload(in, c.reload, sizeof c.reload);
    c.tables = only != NULL;
    if (ok)
        ok = a->json ? print_json(in, io, &c, balanced, in->io->world->now_us(in->io), &err)
                     : print_text(in, io, &c, in->io->world->now_us(in->io), &err);
    int code = !ok ? command_fail(io, &err) : balanced && !failing ? EXIT_DONE : EXIT_FAILED;
    buf_release(&c.alarms);
    free(c.status);
    free(c.books);
    return code;
}
