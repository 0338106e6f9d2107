/* Which source a request is for, and whom it is from. */
#include "server/door.h"

static struct door_source *source_of(struct server *s, struct span url, size_t *ret_index)
{
    struct span query, prefix = SPAN_LIT("/in/"), path = span_cut(url, '?', &query);
    if (!span_starts(path, prefix))
        return NULL;
    path = span_skip(path, prefix.n);
    for (size_t i = 0; i < s->n_sources; i++) {
        if (span_eqz(path, s->sources[i].config->name)) {
            *ret_index = i;
            return s->sources[i].config->webhook_off ? NULL : &s->sources[i];
        }
    }
    return NULL;
}

bool gather_head(struct request *r)
{
    struct server *s = r->server;
    r->client = r->x->trusted ? forwarded_client(s->config, &r->message, r->x->peer) : r->x->peer;
    r->source = source_of(s, r->message.url, &r->source_index);
    if (!r->source) {
        counts_unknown(&s->counts);
        return false;
    }
    counts_arrive(&s->counts, r->source_index);
    r->arrived = true;
    return true;
}
