#include "staging/pages.h"
#include "staging/books.h"
#include <stdlib.h>

bool state_pages_mark(struct state *s, uint64_t *ret_seq, struct err *err)
{
    int64_t seq;
    if (!db_int(&s->db, &seq, 0, err, "SELECT seq FROM marks WHERE name = 'pages'", ""))
        return false;
    *ret_seq = (uint64_t)seq;
    return true;
}

/* Entries by source above the mark, up to `upto`. */
static bool count(struct lane *lane, uint64_t mark, uint64_t upto, const struct config *c, uint64_t *counts, struct err *err)
{
    struct reader *r = reader_open(lane, mark + 1);
    bool ok = true, any = true;
    while (ok && any) {
        struct entry e;
        ok = reader_next(r, &e, &any, NULL, err);
        if (!ok || !any || e.seq > upto)
            break;
        const struct source_config *s = config_source(c, e.source);
        if (s)
            counts[s - c->sources]++;
    }
    reader_close(&r);
    return ok;
}

bool state_pages_count(struct state *s, struct journal *j, const struct config *c, struct err *err)
{
    struct lane *lane = journal_lane(j, LANE_BACKFILL);
    uint64_t mark, upto = lane_durable(lane);
    uint64_t *counts = mem_alloc((c->n_sources + 1) * sizeof *counts);
    /* Begun before the mark is read: two counters at once must not count the same pages. */
    bool ok = db_begin(&s->db, err) && state_pages_mark(s, &mark, err) &&
              (mark >= upto || count(lane, mark, upto, c, counts, err));
    for (size_t i = 0; ok && i < c->n_sources; i++) {
        struct books delta = {.pages = counts[i]};
        if (counts[i])
            ok = books_sum(s, span_of(c->sources[i].name), &delta, err);
    }
    ok = ok && (mark >= upto || db_run(&s->db, err, "INSERT INTO marks(name, seq) VALUES('pages', ?) "
                                                     "ON CONFLICT(name) DO UPDATE SET seq = excluded.seq", "u", upto));
    ok = ok && db_commit(&s->db, err);
    if (!ok)
        db_rollback(&s->db);
    free(counts);
    return ok;
}
