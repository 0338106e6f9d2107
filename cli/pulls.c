#include "cli/pulls.h"
#include "cli/orders.h"
#include "core/clock.h"
#include "staging/controls.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

/* Whoever pulls from a source holds its lock; looking takes it for a moment, which one that begins waits for. */
static bool somebody_pulls(const struct config *c, const struct source_config *s)
{
    char path[4352];
    snprintf(path, sizeof path, "%s/backfill-%s.lock", c->data_dir, s->name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return held;
}

static void take_text(char *to, size_t n, struct span from)
{
    snprintf(to, n, "%.*s", SPAN_ARG(from));
}

static void take_run(struct table_pull *p, const struct run_record *r, bool held, uint64_t now)
{
    take_text(p->status, sizeof p->status, r->status);
    take_text(p->waiting, sizeof p->waiting, r->waiting);
    take_text(p->cause, sizeof p->cause, r->cause);
    take_text(p->error, sizeof p->error, r->error);
    p->started_us = r->started_us;
    p->finished_us = r->finished_us;
    p->page_us = r->page_us ? r->page_us : r->started_us;
    p->wait_until_us = r->wait_until_us;
    p->pages = r->pages;
    p->rows = r->rows;
    bool running = strcmp(p->status, "running") == 0;
    bool told = strcmp(p->waiting, "rate limit") == 0; /* the provider's word, with an end */
    p->interrupted = running && !held;
    p->stuck = running && held && !told && now > p->page_us + PULL_STUCK_US;
}

static bool read_one(struct instance *in, struct state *state, bool held, struct buf *text, struct table_pull *p,
                     struct err *err)
{
    struct table_control control;
    struct run_record r;
    bool found = false, marked = false, feed = p->table == &manifest_events_table;
    struct span source = span_of(p->source->name), name = feed ? SPAN_LIT("") : span_of(p->table->name);
    const struct table_config *t = source_table_config(p->source, span_of(p->table->name));
    uint64_t now = in->io->world->now_us(in->io);
    if (!controls_read(state, source, span_of(p->table->name), &control, err) ||
        !state_run_get(state, source, name, (struct span){NULL, 0}, &r, text, &found, err))
        return false;
    p->paused = control.paused;
    p->ordered = control.pull_us > 0;
    p->every_us = t ? t->every_us : 0;
    if (found)
        take_run(p, &r, held, now);
    if (in->live && p->every_us && !p->paused) /* the schedule counts from a pull's end, and pulls at its own start */
        p->next_us = p->finished_us > in->live->started_us ? p->finished_us + p->every_us : now;
    buf_clear(text);
    if (!state_watermark(state, source, name, text, &marked, err))
        return false;
    if (marked)
        (void)clock_parse_digits(buf_span(text), 'u', &p->watermark_us);
    return true;
}

bool pulls_each(struct instance *in, const struct source_config *s, const struct table_rule *table,
                bool (*each)(void *ctx, const struct table_pull *p), void *ctx, struct err *err)
{
    struct state *state;
    struct buf text;
    bool ok = instance_state(in, &state, err), go = true, held = ok && somebody_pulls(in->config, s);
    buf_init(&text, 1 << 18);
    for (size_t i = 0; ok && go && i <= s->manifest->n_tables; i++) {
        const struct table_rule *t = i < s->manifest->n_tables ? &s->manifest->tables[i] : &manifest_events_table;
        struct table_pull p = {.source = s, .table = t};
        bool feed = t == &manifest_events_table; /* it is pulled also where the table `events` is not in use */
        if ((table && table != t) || !orders_can_pull(s, t) || (!feed && !source_has_table(s, span_of(t->name))))
            continue;
        ok = read_one(in, state, held, &text, &p, err);
        go = ok && each(ctx, &p);
    }
    buf_release(&text);
    return ok;
}

/* ---- what is wrong ---- */

/* Where the source's credentials are, for who has to replace them. */
static void credentials_place(const struct source_config *s, char *out, size_t n)
{
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < s->n_values && at < n; i++) {
        const struct config_value *v = &s->values[i];
        if (!v->secret || !v->ref.at)
            continue;
        int more = snprintf(out + at, n - at, "%s%s in %s%s", at ? ", " : "", v->name,
                            v->ref.kind == SECRET_ENV ? "the environment as " : "", v->ref.at);
        at += more > 0 ? (size_t)more : 0;
    }
    if (!out[0])
        snprintf(out, n, "the credentials that sluice.yaml names");
}

static void failed(const struct instance *in, const struct table_pull *p, char *next, size_t n)
{
    const char *source = p->source->name, *table = p->table->name;
    char place[160];
    if (strcmp(p->cause, "auth") == 0) {
        credentials_place(p->source, place, sizeof place);
        snprintf(next, n, "replace %s; %s%s%s%s", place,
                 in->live && p->every_us ? "the pull then goes on by itself" : "then: sluice backfill ",
                 in->live && p->every_us ? "" : source, in->live && p->every_us ? "" : " ",
                 in->live && p->every_us ? "" : table);
    } else if (strcmp(p->cause, "scope") == 0) {
        snprintf(next, n, "grant it at the provider, then: sluice backfill %s %s", source, table);
    } else if (strcmp(p->cause, "network") == 0) {
        snprintf(next, n, "can this machine reach the provider (proxy, firewall, base_url)? then: sluice backfill %s %s", source,
                 table);
    } else {
        snprintf(next, n, "sluice backfill %s %s", source, table);
    }
}

bool pull_finding(const struct instance *in, const struct table_pull *p, bool *ret_bad, char *ret_cause, size_t cause_n,
                  char *ret_next, size_t next_n)
{
    const char *source = p->source->name, *table = p->table->name;
    char ago[CLOCK_TEXT_MAX];
    *ret_bad = false;
    clock_ago(p->page_us, in->io->world->now_us(in->io), ago);
    if (strcmp(p->status, "failed") == 0) {
        *ret_bad = strcmp(p->cause, "auth") == 0;
        snprintf(ret_cause, cause_n, "the last pull of %s failed%s: %s", table,
                 *ret_bad                             ? ": the provider does not take the credentials (expired, revoked or wrong)"
                 : strcmp(p->cause, "scope") == 0   ? ": the credentials lack a permission"
                 : strcmp(p->cause, "network") == 0 ? ": the provider cannot be reached"
                                                    : "",
                 p->error);
        failed(in, p, ret_next, next_n);
    } else if (strcmp(p->status, "limited") == 0) {
        snprintf(ret_cause, cause_n, "the last pull of %s stopped at the provider's rate limit after %llu rows; it resumes there",
                 table, (unsigned long long)p->rows);
        snprintf(ret_next, next_n, "sluice backfill %s %s%s", source, table, p->every_us ? ", or wait for the next one" : "");
    } else if (p->interrupted) {
        snprintf(ret_cause, cause_n, "the pull of %s was interrupted after %llu pages: the process that pulled is gone", table,
                 (unsigned long long)p->pages);
        snprintf(ret_next, next_n, "sluice backfill %s %s goes on there", source, table);
    } else if (p->stuck) {
        snprintf(ret_cause, cause_n, "the pull of %s is stuck: its last page came %s%s%s", table, ago, p->waiting[0] ? "; " : "",
                 p->waiting);
        snprintf(ret_next, next_n, "sluice table cancel %s %s, once the provider answers: sluice backfill %s %s", source, table,
                 source, table);
    } else {
        return false;
    }
    return true;
}
