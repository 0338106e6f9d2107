/* Dead letters tried again: each entry is one small cut of its own, lane replay-<lane>, range seq..seq. What came to nothing for
 * the objects came to nothing for Kafka, too: its rows go there as well, in the running sink's own time. */
#include "staging/books.h"
#include "staging/internal.h"
#include "staging/sinks.h"
#include <stdio.h>

struct entries { /* ids of entries, each once: a character that says whose letters there are, the id, NUL */
    struct buf ids;
    int64_t wanted; /* a letter's id, or 0 */
    char last[ENTRY_ID_MAX];
};

#define LETTERS_OBJECTS 'o' /* and maybe of another sink */
#define LETTERS_OTHER 'k'

static char *find_id(const struct buf *ids, struct span id)
{
    for (size_t i = 0; i < ids->n; i += strlen(ids->p + i) + 1) {
        if (span_eqz(id, ids->p + i + 1))
            return ids->p + i;
    }
    return NULL;
}

static bool gather_entry(void *ctx, const struct dead_letter *d)
{
    struct entries *g = ctx;
    if (g->wanted && d->id != g->wanted)
        return true;
    bool objects = span_eqz(d->sink, SINK_OBJECTS);
    /* Letters of one entry mostly follow each other; the full search is for those that do not. */
    if (objects && span_eqz(d->entry, g->last))
        return true;
    char *found = find_id(&g->ids, d->entry);
    if (!found) {
        buf_addc(&g->ids, objects ? LETTERS_OBJECTS : LETTERS_OTHER);
        buf_adds(&g->ids, d->entry);
        buf_addc(&g->ids, '\0');
    } else if (objects) {
        *found = LETTERS_OBJECTS;
    }
    if (objects)
        (void)snprintf(g->last, sizeof(g->last), "%.*s", SPAN_ARG(d->entry));
    return true;
}

static struct lane *lane_of(struct stager *s, struct span name)
{
    for (enum lane_id i = 0; i < LANE_COUNT; i++) {
        if (span_eqz(name, lane_name(i)))
            return journal_lane(s->o.journal, i);
    }
    return NULL;
}

/* *ret_found false: the journal does not have it any more. The entry borrows the reader. */
static bool find_entry(struct stager *s, struct span id, struct reader **reader, struct entry *ret, bool *ret_found,
                       struct err *err)
{
    struct span node, lane;
    uint64_t seq, damage;
    bool any = false;
    char found[ENTRY_ID_MAX];
    *ret_found = false;
    if (!entry_id_parse(id, &node, &lane, &seq) || !lane_of(s, lane))
        return true;
    *reader = reader_open(lane_of(s, lane), seq);
    if (!*reader)
        return err_set(err, ERR_NOMEM, "cannot read lane %.*s of the journal", SPAN_ARG(lane));
    if (!reader_next(*reader, ret, &any, &damage, err))
        return false;
    if (any) {
        entry_id(ret, found);
        *ret_found = span_eqz(id, found);
    }
    return true;
}

static bool retry_entry(struct stager *s, const struct staged_source *source, const struct entry *e, bool *ret_fixed,
                        struct err *err)
{
    char lane[40], id[ENTRY_ID_MAX];
    struct transform_result result;
    (void)snprintf(lane, sizeof(lane), "replay-%.*s", SPAN_ARG(e->lane));
    entry_id(e, id);
    struct cut *c = cut_new(s->o.store, journal_node(s->o.journal), lane, err);
    if (!c)
        return false;
    c->replay = true;
    c->gzip = s->o.config->objects.gzip;
    bool own = false;
    bool ok = cut_entry(c, source, e, stager_now(s), &result, err) && stager_store_cut(s, c, e->seq, e->seq, err) &&
              state_tx_begin(&s->state, &own, err);
    if (ok) {
        ok = ledger_replayed(&s->state, c, e->source, span_of(id), stager_now(s), err) &&
             (!s->o.config->kafka.brokers || sink_resend(&s->state, SINK_KAFKA, e->source, span_of(id), err));
        ok = state_tx_end(&s->state, own, ok, err);
    }
    if (ok)
        *ret_fixed = result.dead == 0;
    if (ok && c->n_outputs && s->o.published)
        s->o.published(s->o.published_ctx);
    cut_free(&c);
    return ok;
}

static bool retry_all(struct stager *s, struct span source, const struct buf *ids, uint64_t *ret_fixed, uint64_t *ret_still,
                      struct err *err)
{
    for (size_t i = 0; i < ids->n; i += strlen(ids->p + i) + 1) {
        struct reader *reader = NULL;
        struct entry e;
        bool found, fixed = false;
        const char *id = ids->p + i + 1;
        bool ok = find_entry(s, span_of(id), &reader, &e, &found, err);
        if (ok && found && ids->p[i] == LETTERS_OBJECTS) {
            ok = retry_entry(s, stager_source(s, source), &e, &fixed, err);
        } else if (ok && found && s->o.config->kafka.brokers) {
            ok = sink_resend(&s->state, SINK_KAFKA, source, span_of(id), err);
            fixed = ok;
        }
        reader_close(&reader);
        if (!ok)
            return err_prefix(err, "entry %s", id);
        *ret_fixed += fixed;
        *ret_still += !fixed;
    }
    return true;
}

bool stager_retry_dead(struct stager *s, struct span source, int64_t id, uint64_t *ret_fixed, uint64_t *ret_still,
                       struct err *err)
{
    struct entries g = {.wanted = id};
    uint64_t fixed = 0, still = 0;
    pthread_mutex_lock(&s->work);
    bool ok = state_dead_each(&s->state, source, INT64_MAX, gather_entry, &g, err);
    if (ok && !buf_ok(&g.ids))
        ok = err_set(err, ERR_NOMEM, "out of memory for the list of dead letters");
    if (ok && id && !g.ids.n)
        ok = err_set(err, ERR_INPUT, "source '%.*s' has no dead letter %lld", SPAN_ARG(source), (long long)id);
    ok = ok && retry_all(s, source, &g.ids, &fixed, &still, err);
    pthread_mutex_unlock(&s->work);
    buf_release(&g.ids);
    if (ok) {
        *ret_fixed = fixed;
        *ret_still = still;
    }
    return ok;
}
