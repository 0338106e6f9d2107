/* Which source a request is for, and whom it is from. */
#include "server/door.h"

static struct door_source *source_of(const struct door *door, struct span url)
{
    struct span query, prefix = SPAN_LIT("/in/"), path = span_cut(url, '?', &query);
    if (!span_starts(path, prefix))
        return NULL;
    path = span_skip(path, prefix.n);
    struct door_source *d = door_find(door, path);
    return d && !d->config->webhook_off ? d : NULL;
}

bool gather_head(struct request *r)
{
    struct server *s = r->server;
    r->client = r->x->trusted ? forwarded_client(s->config, &r->message, r->x->peer) : r->x->peer;
    if (!r->door)
        r->door = door_take(s, r->x->worker);
    r->source = source_of(r->door, r->message.url);
    if (!r->source) {
        counts_unknown(&s->counts);
        return false;
    }
    r->source_index = r->source->slot;
    counts_arrive(&s->counts, r->source_index);
    r->arrived = true;
    return true;
}
