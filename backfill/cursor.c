#include "backfill/cursor.h"
#include "core/json.h"

#define NEXT_BYTES_MAX 16384

void cursor_init(struct cursor *c, unsigned n_levels)
{
    memset(c, 0, sizeof *c);
    c->n_levels = n_levels;
    for (unsigned i = 0; i < LEVELS_MAX; i++)
        buf_init(&c->levels[i].next, NEXT_BYTES_MAX);
}

void cursor_release(struct cursor *c)
{
    for (unsigned i = 0; i < LEVELS_MAX; i++)
        buf_release(&c->levels[i].next);
}

void cursor_write(const struct cursor *c, struct buf *out)
{
    buf_addf(out,
             "{\"level\":%u,\"pages\":%llu,\"rows\":%llu,\"began\":%llu,\"mark\":%llu,\"stop\":%s,\"capped\":%s,\"levels\":[",
             c->level, (unsigned long long)c->pages, (unsigned long long)c->rows, (unsigned long long)c->began_us,
             (unsigned long long)c->mark_us, c->stop ? "true" : "false", c->capped ? "true" : "false");
    for (unsigned i = 0; i < c->n_levels; i++) {
        const struct level_state *l = &c->levels[i];
        buf_addz(out, i ? ",{\"next\":" : "{\"next\":");
        json_write_string(out, buf_span(&l->next));
        buf_addf(out, ",\"started\":%s,\"more\":%s,\"seq\":%llu,\"index\":%llu,\"pages\":%llu", l->started ? "true" : "false",
                 l->more ? "true" : "false", (unsigned long long)l->seq, (unsigned long long)l->index,
                 (unsigned long long)l->pages);
        buf_addf(out, ",\"ring\":[%llu,%llu,%llu]}", (unsigned long long)l->mark, (unsigned long long)l->lap,
                 (unsigned long long)l->power);
    }
    buf_addz(out, "]}");
}

static bool number(struct json obj, const char *name, uint64_t *ret)
{
    int64_t v;
    if (!json_int64(json_get(obj, span_of(name)), &v) || v < 0)
        return false;
    *ret = (uint64_t)v;
    return true;
}

/* Cursors of an earlier form have no ring; then looking for one begins here. */
static void read_ring(struct json level, struct level_state *l)
{
    struct json ring = json_get(level, SPAN_LIT("ring"));
    uint64_t *const at[] = {&l->mark, &l->lap, &l->power};
    int64_t v;
    if (!number(level, "pages", &l->pages))
        l->pages = 0;
    for (size_t i = 0; i < 3; i++)
        *at[i] = json_int64(json_at(ring, i), &v) && v > 0 ? (uint64_t)v : 0;
}

static bool flag(struct json obj, const char *name)
{
    return json_get(obj, span_of(name)).type == JSON_TRUE;
}

bool cursor_read(struct span text, struct cursor *c, struct err *err)
{
    struct json v, level;
    uint64_t at;
    if (!json_parse(text, &v, err))
        return err_prefix(err, "the cursor of a run");
    struct json levels = json_get(v, SPAN_LIT("levels"));
    bool ok = number(v, "level", &at) && number(v, "pages", &c->pages) && number(v, "rows", &c->rows) &&
              number(v, "began", &c->began_us) && number(v, "mark", &c->mark_us) && at < c->n_levels &&
              json_count(levels) == c->n_levels;
    c->level = (unsigned)at;
    c->stop = flag(v, "stop");
    c->capped = flag(v, "capped");
    struct json_iter it = json_iter(levels);
    for (unsigned i = 0; ok && json_next(&it, NULL, &level); i++) {
        struct level_state *l = &c->levels[i];
        buf_clear(&l->next);
        ok = json_text(json_get(level, SPAN_LIT("next")), &l->next) && number(level, "seq", &l->seq) &&
             number(level, "index", &l->index);
        l->started = flag(level, "started");
        l->more = flag(level, "more");
        read_ring(level, l);
    }
    return ok || err_set(err, ERR_INPUT, "the cursor of a run is of another version: `sluice backfill --full` begins anew");
}
