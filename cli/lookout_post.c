/* Posting what is to be told: in order, each until the receiver took it. */
#include "cli/lookout_internal.h"

#define POST_US_MAX (600 * SECOND) /* longest pause between two tries */
#define POST_GIVE_UP_US (3 * 86400 * SECOND)

static void post_later(struct lookout *w, const struct post *p, const struct err *why)
{
    static struct log_limit limit;
    uint64_t pause = 2 * SECOND << (p->tries < 9 ? p->tries : 9), random = 0;
    w->io->world->random(w->io, &random, sizeof random);
    pause = pause < POST_US_MAX ? pause : POST_US_MAX;
    w->post_us = w->now_us + pause / 2 + random % (pause / 2);
    w->failed++;
    log_limited(&limit, LOG_WARN, "an alarm could not be posted; tried again", "kind=%.*s source=%.*s try=%llu error=\"%s\"",
                SPAN_ARG(p->alarm.kind), SPAN_ARG(p->alarm.source), (unsigned long long)p->tries + 1, why->msg);
}

static bool post_one(struct lookout *w, struct buf *text, bool *ret_more, struct err *err)
{
    struct post p;
    struct err why = {0};
    bool found;
    *ret_more = false;
    if (!ledger_post(w->state, &p, text, &found, err) || !found)
        return !err->cls;
    bool nobody = !w->in->config->alarms_post.at, old = p.at_us + POST_GIVE_UP_US < w->now_us;
    if (nobody || old) {
        w->given_up++;
        log_error("an alarm is not posted", "kind=%.*s source=%.*s reason=\"%s\"", SPAN_ARG(p.alarm.kind),
                  SPAN_ARG(p.alarm.source),
                  nobody ? "alarms.post is not set any more" : "nobody took it for three days");
        *ret_more = true;
        return ledger_posted(w->state, p.id, err);
    }
    if (poster_send(w->poster, w->in->config, &p, &why)) {
        w->taken++;
        *ret_more = true;
        return ledger_posted(w->state, p.id, err);
    }
    if (w->stop)
        return true; /* it was not refused: the next start posts it */
    post_later(w, &p, &why);
    return ledger_not_posted(w->state, p.id, why.msg, err);
}

bool lookout_post(struct lookout *w, struct err *err)
{
    struct buf text;
    bool ok = true, more = w->now_us >= w->post_us;
    buf_init(&text, 1 << 16);
    while (ok && more && !w->stop)
        ok = post_one(w, &text, &more, err);
    buf_release(&text);
    return ok;
}
