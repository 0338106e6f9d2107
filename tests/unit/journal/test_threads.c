/* Many threads append while others read and one removes, on the real disk. The thread sanitizer looks on. */
#include "tests/unit/journal/harness.h"
#include <pthread.h>
#include <stdatomic.h>

#define WRITERS 4
#define EACH 300

struct crowd {
    struct journal *journal;
    atomic_uint_fast64_t acknowledged;
    uint64_t seqs[WRITERS * EACH];
    atomic_bool over;
};
struct writer {
    struct crowd *crowd;
    uint64_t from;
};

static void *write_some(void *arg)
{
    struct writer *w = arg;
    for (uint64_t n = w->from; n < w->from + EACH; n++) {
        ck_assert((n % 3 ? append : append_alone)(w->crowd->journal, n, &w->crowd->seqs[n]));
        atomic_fetch_add(&w->crowd->acknowledged, 1);
    }
    return NULL;
}

/* Reads to the end and waits for more; every entry once, whole, in order, from wherever the oldest was when it began. */
static void *read_all(void *arg)
{
    struct crowd *c = arg;
    struct lane *lane = journal_lane(c->journal, LANE_EVENTS);
    struct reader *r = reader_open(lane, 1);
    uint64_t last = 0;
    for (;;) {
        struct entry e;
        bool any, over = atomic_load(&c->over);
        uint64_t damage = 0;
        struct err err = {0};
        ck_assert_msg(reader_next(r, &e, &any, &damage, &err), "%s", err.msg);
        ck_assert_uint_eq(damage, 0);
        if (any) {
            ck_assert(e.seq == last + 1);
            last = e.seq;
            number_of(e.message.body);
        } else if (over) {
            break;
        } else {
            lane_wait(lane, last, 10000);
        }
    }
    ck_assert_uint_eq(last, WRITERS * EACH);
    reader_close(&r);
    return NULL;
}

static void *remove_some(void *arg)
{
    struct crowd *c = arg;
    struct lane *lane = journal_lane(c->journal, LANE_BACKFILL); /* a lane of its own: the readers above want all */
    for (uint64_t n = 0; !atomic_load(&c->over); n++) {
        char body[BODY_MAX];
        struct err err = {0};
        uint64_t seq;
        struct entry e = entry_of(body_of(n, body));
        ck_assert(lane_append_wait(lane, &e, &seq, &err));
        ck_assert(lane_remove(lane, seq, UINT64_MAX, &err));
        struct journal_stats stats;
        journal_stats(c->journal, &stats);
    }
    return NULL;
}

START_TEST(a_crowd)
{
    char dir[CHECK_DIR_MAX], journal_dir[CHECK_DIR_MAX + 16];
    static struct crowd crowd;
    pthread_t writers[WRITERS], readers[2], remover;
    struct writer args[WRITERS];
    struct err err = {0};
    check_dir_make(dir);
    snprintf(journal_dir, sizeof journal_dir, "%s/journal", dir);
    struct journal_opts o = {.io = io_posix(), .dir = journal_dir, .name = "sluice", .segment_bytes = 16384, .entry_bytes_max = 1 << 16};
    ck_assert_msg(journal_open(&o, &crowd.journal, &err), "%s", err.msg);
    for (int i = 0; i < 2; i++)
        pthread_create(&readers[i], NULL, read_all, &crowd);
    pthread_create(&remover, NULL, remove_some, &crowd);
    for (int i = 0; i < WRITERS; i++) {
        args[i] = (struct writer){&crowd, (uint64_t)i * EACH};
        pthread_create(&writers[i], NULL, write_some, &args[i]);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    atomic_store(&crowd.over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    pthread_join(remover, NULL);
    ck_assert_uint_eq(crowd.acknowledged, WRITERS * EACH);
    static bool taken[WRITERS * EACH + 1];
    for (int i = 0; i < WRITERS * EACH; i++) {
        ck_assert(crowd.seqs[i] <= WRITERS * EACH && !taken[crowd.seqs[i]]);
        taken[crowd.seqs[i]] = true;
    }
    journal_close(&crowd.journal);
    check_dir_remove(dir);
}
END_TEST

CHECK_SUITE("journal threads", t)
{
    tcase_add_test(t, a_crowd);
}
