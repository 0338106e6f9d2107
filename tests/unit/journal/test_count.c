/* lane_count says what reading says, from wherever it is asked: of what this process wrote, of what another one did before it, after
 * commits that failed, after what is past was forgotten or removed. And a reader begins at the sequence that it was opened for. */
#include "tests/unit/journal/harness.h"

#define MANY 3000
#define SOURCES 3

static const char *const names[SOURCES] = {"shop", "bank", "a-source-with-a-longer-name"};

struct told { /* by source */
    uint64_t entries[2][SOURCES], oldest_us[2][SOURCES];
};

static size_t place(struct span source)
{
    for (size_t i = 0; i < SOURCES; i++)
        if (span_eqz(source, names[i]))
            return i;
    ck_abort_msg("a source that nobody wrote: '%.*s'", SPAN_ARG(source));
    return 0;
}

static void take(void *ctx, const struct lane_counted *c)
{
    struct told *t = ctx;
    size_t s = place(c->source);
    for (int k = 0; k < 2; k++) {
        ck_assert_uint_eq(t->entries[k][s], 0);
        t->entries[k][s] = c->entries[k];
        t->oldest_us[k][s] = c->oldest_us[k];
    }
}

static struct lane *events(struct journal *j)
{
    return journal_lane(j, LANE_EVENTS);
}

/* What a reader says, which begins at the lane's beginning. */
static struct told read_all(struct journal *j, const uint64_t from[2])
{
    struct told t = {0};
    struct reader *r = reader_open(events(j), 1);
    struct entry e;
    bool any = true;
    struct err err = {0};
    while (reader_next(r, &e, &any, NULL, &err) && any) {
        size_t s = place(e.source);
        for (int k = 0; k < 2; k++) {
            if (e.seq < from[k])
                continue;
            t.entries[k][s]++;
            if (!t.oldest_us[k][s] || e.received_us < t.oldest_us[k][s])
                t.oldest_us[k][s] = e.received_us;
        }
    }
    reader_close(&r);
    return t;
}

static void same(struct journal *j, uint64_t a, uint64_t b)
{
    const uint64_t from[2] = {a, b};
    struct told counted = {0}, read;
    struct err err = {0};
    ck_assert_msg(lane_count(events(j), from, take, &counted, &err), "%s", err.msg);
    read = read_all(j, from);
    for (int k = 0; k < 2; k++) {
        for (size_t s = 0; s < SOURCES; s++) {
            ck_assert_msg(counted.entries[k][s] == read.entries[k][s], "%s from %llu: %llu counted, %llu read", names[s],
                          (unsigned long long)from[k], (unsigned long long)counted.entries[k][s],
                          (unsigned long long)read.entries[k][s]);
            ck_assert_uint_eq(counted.oldest_us[k][s], read.oldest_us[k][s]);
        }
    }
}

static void same_anywhere(struct journal *j, uint64_t *seed, int times)
{
    uint64_t end = lane_durable(events(j)) + 3;
    for (int i = 0; i < times; i++) {
        uint64_t a = check_random(seed) % end, b = check_random(seed) % end;
        same(j, a, b);
        struct reader *r = reader_open(events(j), a);
        struct entry e;
        bool any;
        struct err err = {0};
        ck_assert_msg(reader_next(r, &e, &any, NULL, &err), "%s", err.msg);
        uint64_t first = lane_first(events(j)), wanted = a > first ? a : first;
        ck_assert_msg(any == (wanted <= lane_durable(events(j))) && (!any || e.seq == wanted), "%llu was wanted",
                      (unsigned long long)a);
        reader_close(&r);
    }
}

struct sent {
    struct ticket ticket; /* first */
    bool done;
};

static void told_done(struct ticket *t, const struct err *err)
{
    (void)err;
    ((struct sent *)(void *)t)->done = true;
}

static void append_some(struct journal *j, uint64_t *seed, unsigned n)
{
    static struct sent sent[MANY];
    char body[BODY_MAX];
    for (unsigned i = 0; i < n; i++) {
        struct err err = {0};
        struct entry e = entry_of(body_of(i, body));
        e.source = span_of(names[check_random(seed) % SOURCES]);
        e.received_us = 1800000000000000 + check_random(seed) % 1000000;
        sent[i] = (struct sent){.ticket = {.done = told_done}};
        if (i % 7 && i + 1 < n)
            (void)lane_append(events(j), &e, &sent[i].ticket, &err);
        else
            (void)lane_append_wait(events(j), &e, NULL, &err); /* who waits, waits for all before him */
    }
}

static struct journal *reopen(struct disk *d, struct journal *j, uint64_t segment_bytes)
{
    struct err err = {0};
    if (j)
        journal_close(&j);
    struct journal_opts o = opts_of(d);
    o.segment_bytes = segment_bytes;
    ck_assert_msg(journal_open(&o, &j, &err), "%s", err.msg);
    return j;
}

START_TEST(counting_says_what_reading_says)
{
    static const uint64_t segments[] = {4096, 60000, 1 << 22};
    uint64_t seed = check_seed();
    struct disk *d = disk_new(seed);
    struct journal *j = reopen(d, NULL, segments[_i]);
    struct err err = {0};
    same_anywhere(j, &seed, 3);
    for (int round = 0; round < 3; round++) {
        append_some(j, &seed, 400 + (unsigned)(check_random(&seed) % 400));
        same_anywhere(j, &seed, 12);
        j = reopen(d, j, segments[_i]);
        if (round % 2)
            append_some(j, &seed, 50); /* before anybody asked for what is older */
        same_anywhere(j, &seed, 12);
    }
    uint64_t past = lane_durable(events(j)) / 2;
    lane_count_forget(events(j), past);
    same_anywhere(j, &seed, 12);
    ck_assert(lane_remove(events(j), past, UINT64_MAX, &err));
    same_anywhere(j, &seed, 12);
    lane_count_forget(events(j), past);
    same(j, past, lane_durable(events(j)) + 1);
    append_some(j, &seed, 300);
    same_anywhere(j, &seed, 12);
    journal_close(&j);
    disk_free(&d);
}
END_TEST

START_TEST(what_was_refused_is_not_counted)
{
    uint64_t seed = check_seed();
    struct disk *d = disk_new(seed);
    struct journal *j = reopen(d, NULL, 60000);
    for (int i = 0; i < 40; i++) {
        append_some(j, &seed, 60);
        disk_fail_at(d, 1 + check_random(&seed) % 9, DISK_EIO, false);
        append_some(j, &seed, 60);
        disk_fail_at(d, 0, DISK_EIO, false);
        same_anywhere(j, &seed, 2);
    }
    same_anywhere(j, &seed, 20);
    j = reopen(d, j, 60000);
    same_anywhere(j, &seed, 20);
    journal_close(&j);
    disk_free(&d);
}
END_TEST

/* An entry whose bytes went bad is known to be there as long as nobody has read it; who opens the journal anew reads. */
START_TEST(damage_is_not_counted_once_it_is_read)
{
    uint64_t seed = check_seed();
    struct disk *d = disk_new(seed);
    struct journal *j = reopen(d, NULL, 1 << 22);
    const char *files[4];
    append_some(j, &seed, 500);
    journal_close(&j);
    ck_assert_uint_eq(disk_names(d, ".seg", files, 4), 1);
    disk_flip(d, files[0], (uint64_t)disk_size(d, files[0]) / 2, 1);
    j = reopen(d, NULL, 1 << 22);
    append_some(j, &seed, 10);
    const uint64_t from[2] = {1, 1};
    struct told t = {0};
    struct err err = {0};
    ck_assert_msg(lane_count(events(j), from, take, &t, &err), "%s", err.msg);
    ck_assert_uint_eq(t.entries[0][0] + t.entries[0][1] + t.entries[0][2], 509);
    journal_close(&j);
    disk_free(&d);
}
END_TEST

CHECK_SUITE("journal count", t)
{
    tcase_add_loop_test(t, counting_says_what_reading_says, 0, 3);
    tcase_add_test(t, what_was_refused_is_not_counted);
    tcase_add_test(t, damage_is_not_counted_once_it_is_read);
}
