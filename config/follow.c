/* What a running process takes from a configuration that replaces its first one, and what it cannot. */
#include "config/internal.h"

/* Keys that are taken up while the process runs; of the others a start's value stays. */
static bool is_live(const char *path)
{
    static const char *const live[] = {"public_url",  "staging.objects.cut_bytes", "staging.objects.cut_age", "merge.every",
                                       "retention.raw", "retention.runs",          "secret_grace",            "log.format",
                                       "log.level",   "alarms.post",               "alarms.format",           "alarms.secret",
                                       "alarms.learn", "alarms.unshipped",         "alarms.check",            "catch_up"};
    for (size_t i = 0; i < sizeof live / sizeof live[0]; i++)
        if (strcmp(path, live[i]) == 0)
            return true;
    return false;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_ref(const struct secret_ref *a, const struct secret_ref *b)
{
    return a->kind == b->kind && same_text(a->at, b->at);
}

static bool same_properties(const struct kafka_config *a, const struct kafka_config *b)
{
    bool same = a->n_properties == b->n_properties;
    for (size_t i = 0; same && i < a->n_properties; i++)
        same = same_text(a->properties[i].name, b->properties[i].name) &&
               same_text(a->properties[i].text, b->properties[i].text) &&
               same_ref(&a->properties[i].ref, &b->properties[i].ref);
    return same;
}

static bool same_blocks(const struct config *a, const struct config *b)
{
    return a->n_proxies == b->n_proxies &&
           (!a->n_proxies || memcmp(a->proxies, b->proxies, a->n_proxies * sizeof *a->proxies) == 0);
}

static bool same(const struct key_row *row, const struct config *a, const struct config *b)
{
    const char *x = (const char *)a + row->offset, *y = (const char *)b + row->offset;
    if (row->type == KEY_PROPERTIES)
        return same_properties(&a->kafka, &b->kafka);
    if (row->type == KEY_BLOCKS)
        return same_blocks(a, b);
    if (strcmp(row->path, "staging.objects.url") == 0)
        return same_text(a->objects_dir, b->objects_dir) && same_text(a->objects.bucket, b->objects.bucket) &&
               same_text(a->objects.prefix, b->objects.prefix);
    switch (row->type) {
    case KEY_ADDRESS: {
        const struct listen_addr *l = (const void *)x, *m = (const void *)y;
        return same_text(l->host, m->host) && l->port == m->port;
    }
    case KEY_SECRET:
    case KEY_REF:
        return same_ref((const void *)x, (const void *)y);
    case KEY_PATH:
    case KEY_URL:
    case KEY_TEXT:
        return same_text(*(const char *const *)(const void *)x, *(const char *const *)(const void *)y);
    default:
        return memcmp(x, y, row->width) == 0;
    }
}

void config_follow(struct config *next, const struct config *first, struct buf *ret)
{
    for (const struct key_row *row = config_keys; row->path; row++) {
        if (is_live(row->path))
            continue;
        if (!same(row, next, first))
            buf_addf(ret, "%s%s", ret->n ? ", " : "", row->path);
        if (row->width)
            memcpy((char *)next + row->offset, (const char *)first + row->offset, row->width);
    }
    next->objects_dir = first->objects_dir;
    next->objects = first->objects;
    next->kafka = first->kafka;
    next->proxies = first->proxies;
    next->n_proxies = first->n_proxies;
}

static bool same_secrets(const struct source_config *a, const struct source_config *b)
{
    bool same = a->n_secrets == b->n_secrets;
    for (size_t i = 0; same && i < a->n_secrets; i++)
        same = same_ref(&a->secrets[i], &b->secrets[i]) && a->secrets[i].retire_at_us == b->secrets[i].retire_at_us;
    return same;
}

static bool same_values(const struct source_config *a, const struct source_config *b)
{
    bool same = a->n_values == b->n_values;
    for (size_t i = 0; same && i < a->n_values; i++) {
        const struct config_value *x = &a->values[i], *y = &b->values[i];
        same = strcmp(x->name, y->name) == 0 && x->secret == y->secret &&
               (x->secret ? same_ref(&x->ref, &y->ref) : same_text(x->text, y->text));
    }
    return same;
}

static bool same_tables(const struct source_config *a, const struct source_config *b)
{
    bool same = a->all_tables == b->all_tables && a->n_tables == b->n_tables;
    for (size_t i = 0; same && i < a->n_tables; i++)
        same = strcmp(a->tables[i].name, b->tables[i].name) == 0 && a->tables[i].every_us == b->tables[i].every_us &&
               a->tables[i].flag_deletes == b->tables[i].flag_deletes;
    return same;
}

bool config_same_source(const struct source_config *a, const struct source_config *b)
{
    return a->fingerprint == b->fingerprint && same_secrets(a, b) && same_values(a, b) && same_tables(a, b) &&
           same_text(a->base_url, b->base_url) && same_text(a->public_url, b->public_url) && a->unverified == b->unverified &&
           a->webhook_off == b->webhook_off && a->accounts_many == b->accounts_many &&
           a->backfill_from_us == b->backfill_from_us && a->secrets_until_us == b->secrets_until_us;
}
