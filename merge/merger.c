/* merger: holds the target and follows the store. */
#include "core/clock.h"
#include "core/log.h"
#include "core/wait.h"
#include "merge/account.h"
#include "merge/internal.h"
#include "merge/tables.h"
#include <stdlib.h>

#define BACKOFF_US_MIN (UINT64_C(1) * 1000000)
#define BACKOFF_US_MAX (UINT64_C(60) * 1000000)
#define FULL_EVERY_US_MIN (UINT64_C(2) * 1000000) /* listing that is cheaper than this allows is done each time */
#define FULL_EVERY_US_MAX (UINT64_C(600) * 1000000)
#define SETTLE_EVERY_US (UINT64_C(5) * 1000000)
#define LISTING_SHARE 20 /* listing everything may take one part in so many of the time */

/* Two tables must not share a public name: shop + a_b and shop_a + b are both shop_a_b in SQL. */
static bool check_names(const struct config *c, struct err *err)
{
    struct buf names = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < c->n_sources; i++) {
        const struct source_config *s = &c->sources[i];
        for (size_t k = 0; ok && k <= s->manifest->n_tables; k++) {
            const char *table = k < s->manifest->n_tables ? s->manifest->tables[k].name : manifest_events_table.name;
            if (!source_has_table(s, span_of(table)))
                continue;
            size_t at = names.n;
            table_public_name(span_of(s->name), span_of(table), &names);
            buf_addc(&names, '\0');
            for (size_t other = 0; ok && buf_ok(&names) && other < at; other += strlen(names.p + other) + 1) {
                if (strcasecmp(names.p + other, names.p + at) == 0)
                    ok = err_set(err, ERR_CONFIG, "two tables would be called %s in the target: rename source '%s'",
                                 names.p + at, s->name);
            }
        }
    }
    if (ok && !buf_ok(&names))
        ok = err_set(err, ERR_NOMEM, "out of memory for the names of tables");
    buf_release(&names);
    return ok;
}

static bool make_folder(const struct merger *m, struct err *err)
{
    const char *db = m->config->merge_db, *slash = strrchr(db, '/');
    if (!slash || slash == db)
        return true;
    char *dir = strndup(db, (size_t)(slash - db));
    bool ok = dir ? io_mkdirs(m->io, dir, 0700, err) : err_set(err, ERR_NOMEM, "out of memory for a path");
    free(dir);
    return ok;
}

bool merger_new(const struct merger_opts *o, struct merger **ret, struct err *err)
{
    struct merger *m = calloc(1, sizeof(*m));
    if (!m)
        return err_set(err, ERR_NOMEM, "out of memory for the merger");
    m->config = o->config;
    m->store = o->store;
    m->io = o->io;
    m->data_dir = o->data_dir;
    m->gives_way = o->gives_way;
    m->gives_way_ctx = o->gives_way_ctx;
    m->unsettled = o->data_dir != NULL;
    m->lock.fd = -1;
    pthread_mutex_init(&m->mutex, NULL);
    wait_cond_init(&m->changed);
    if (!check_names(o->config, err) || !make_folder(m, err) || !lock_take(&m->lock, o->config->merge_db, err) ||
        !target_open_sqlite(o->config->merge_db, &m->target, err)) {
        merger_free(&m);
        return false;
    }
    *ret = m;
    return true;
}

void merger_free(struct merger **at)
{
    struct merger *m = *at;
    if (!m)
        return;
    if (m->target)
        m->target->ops->close(&m->target);
    state_close(&m->state);
    lock_release(&m->lock);
    if (m->orders_open)
        state_close(&m->orders);
    if (m->next)
        config_drop(&m->next);
    if (m->adopted)
        config_drop(&m->adopted);
    buf_release(&m->keys);
    buf_release(&m->bad);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->mutex);
    free(m);
    *at = NULL;
}

bool merger_follow(struct merger *m, const struct config *c, struct err *err)
{
    if (!check_names(c, err))
        return false;
    pthread_mutex_lock(&m->mutex);
    const struct config *before = m->next;
    m->next = config_hold(c);
    m->woken = true;
    pthread_cond_signal(&m->changed);
    pthread_mutex_unlock(&m->mutex);
    if (before)
        config_drop(&before);
    return true;
}

/* What the target knows of tables is of the old configuration, so it is opened anew. */
static bool adopt(struct merger *m, struct err *err)
{
    pthread_mutex_lock(&m->mutex);
    const struct config *next = m->next;
    m->next = NULL;
    pthread_mutex_unlock(&m->mutex);
    if (next) {
        if (m->target)
            m->target->ops->close(&m->target);
        if (m->adopted)
            config_drop(&m->adopted);
        m->config = m->adopted = next;
    }
    return m->target || target_open_sqlite(m->config->merge_db, &m->target, err);
}

void merger_wake(struct merger *m)
{
    pthread_mutex_lock(&m->mutex);
    m->woken = true;
    pthread_cond_signal(&m->changed);
    pthread_mutex_unlock(&m->mutex);
}

void merger_stop(struct merger *m)
{
    pthread_mutex_lock(&m->mutex);
    atomic_store(&m->stop, true);
    pthread_cond_signal(&m->changed);
    pthread_mutex_unlock(&m->mutex);
}

bool merger_trouble(struct merger *m, char *ret_words, size_t n, uint64_t *ret_since_us)
{
    pthread_mutex_lock(&m->mutex);
    bool trouble = m->since_us != 0;
    if (trouble) {
        snprintf(ret_words, n, "%s", m->words);
        *ret_since_us = m->since_us;
    }
    pthread_mutex_unlock(&m->mutex);
    return trouble;
}

/* Until stopped, woken (where that counts) or the time is over. */
static void rest(struct merger *m, uint64_t us, bool until_woken)
{
    struct timespec until = wait_until(us);
    pthread_mutex_lock(&m->mutex);
    int rc = 0;
    while (!atomic_load(&m->stop) && !(until_woken && m->woken) && rc == 0)
        rc = pthread_cond_timedwait(&m->changed, &m->mutex, &until);
    m->woken = false;
    pthread_mutex_unlock(&m->mutex);
}

static void note_trouble(struct merger *m, const struct err *err)
{
    pthread_mutex_lock(&m->mutex);
    if (!err)
        m->since_us = 0;
    else if (!m->since_us)
        m->since_us = m->io->world->now_us(m->io);
    if (err)
        snprintf(m->words, sizeof(m->words), "%s", err->msg);
    pthread_mutex_unlock(&m->mutex);
}

static void tell(const struct merge_counts *c)
{
    if (c->rows)
        log_debug("merged", "objects=%llu rows=%llu inserted=%llu updated=%llu deleted=%llu kept_out=%llu missed=%llu",
                  (unsigned long long)c->objects, (unsigned long long)c->rows, (unsigned long long)c->inserted,
                  (unsigned long long)c->updated, (unsigned long long)c->deleted, (unsigned long long)c->kept_out,
                  (unsigned long long)c->missed);
    if (c->rejected)
        log_warn("rows were rejected by the merge; the others are in the table", "rows=%llu see=_sluice_rejected",
                 (unsigned long long)c->rejected);
}

/* A store that has grown large is listed whole only now and then; in between the newest folders are, where nearly
 * everything appears. *full_at: when the whole is due again, on the monotonic clock. */
static bool one_pass(struct merger *m, uint64_t *full_at, struct err *err)
{
    struct merge_counts counts = {0};
    uint64_t now = m->io->world->monotonic_us(m->io);
    m->recent = now < *full_at;
    m->held = 0;
    bool ok = merger_pass(m, (struct span){NULL, 0}, (struct span){NULL, 0}, &counts, err);
    if (!m->recent) {
        uint64_t pause = m->listing_us * LISTING_SHARE;
        *full_at = pause < FULL_EVERY_US_MIN ? 0 : now + (pause > FULL_EVERY_US_MAX ? FULL_EVERY_US_MAX : pause);
    }
    if (m->held != m->held_before) /* a table that is resumed may have objects of long ago */
        *full_at = 0;
    m->held_before = m->held;
    m->recent = false;
    m->unsettled = m->data_dir && (m->unsettled || counts.objects);
    tell(&counts);
    return ok;
}

bool merger_settle(struct merger *m, struct err *err)
{
    struct tables tables;
    if (!m->state.db.handle && !state_open(&m->state, m->data_dir, false, err))
        return false;
    if (!tables_open(&tables, m->config, err))
        return false;
    bool ok = account_settle(&tables, &m->state, err);
    tables_close(&tables);
    return ok;
}

/* The books are right without it, only slower to read. */
static void settle(struct merger *m)
{
    static struct log_limit limit;
    struct err err = {0};
    uint64_t now = m->io->world->monotonic_us(m->io);
    if (!m->unsettled || (m->settled_us && now - m->settled_us < SETTLE_EVERY_US))
        return;
    m->settled_us = now;
    m->unsettled = !merger_settle(m, &err);
    if (m->unsettled)
        log_limited(&limit, LOG_WARN, "what is merged could not be noted in the books; tried again later", "error=\"%s\"",
                    err.msg);
}

static uint64_t rest_us(const struct merger *m, uint64_t full_at)
{
    uint64_t now = m->io->world->monotonic_us(m->io), every = m->config->merge_every_us;
    return full_at && full_at < now + every ? (full_at > now ? full_at - now : 0) : every;
}

void merger_run(struct merger *m)
{
    uint64_t backoff = BACKOFF_US_MIN, full_at = 0;
    while (!atomic_load(&m->stop)) {
        struct err err = {0};
        bool ok = adopt(m, &err) && one_pass(m, &full_at, &err);
        if (ok) {
            note_trouble(m, NULL);
            backoff = BACKOFF_US_MIN;
            settle(m);
            rest(m, rest_us(m, full_at), true);
        } else if (err.cls != ERR_STOPPED) {
            note_trouble(m, &err);
            full_at = 0;
            log_warn("the merge failed; it is retried", "after_ms=%llu error=\"%s\"", (unsigned long long)(backoff / 1000),
                     err.msg);
            rest(m, backoff, false);
            backoff = 2 * backoff > BACKOFF_US_MAX ? BACKOFF_US_MAX : 2 * backoff;
        }
    }
}
