/* The journal's promise, tried at every operation: whatever fails, whenever the process ends, wherever the power is cut, each
 * acknowledged entry is there afterwards, byte for byte and once, and none that was refused.
 *
 * EVERY=1 tries more seeds of each power cut. */
#include "journal/segment.h"
#include "tests/unit/journal/harness.h"
#include <pthread.h>

#define MANY 64
#define GROUP 4

enum fate { UNTOLD, ACKNOWLEDGED, REFUSED };

struct sent {
    struct ticket ticket; /* first */
    struct story *story;
    uint64_t number;
    enum fate fate;
};
/* What was promised, by number of the body. */
struct story {
    struct disk *disk;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    enum fate fates[MANY];
    uint64_t seqs[MANY];
    uint64_t next, waiting;
    uint64_t removed; /* sequences up to this one may be gone */
    bool power; /* whatever was refused after the fault may be there: several things failed at once */
};

/* After the process ended nobody hears an answer any more. */
static void told(struct ticket *t, const struct err *err)
{
    struct sent *s = (struct sent *)(void *)t;
    struct story *story = s->story;
    bool ended = disk_failed(story->disk) && err;
    pthread_mutex_lock(&story->lock);
    story->seqs[s->number] = t->seq;
    story->fates[s->number] = !err ? ACKNOWLEDGED : ended && story->power ? UNTOLD : REFUSED;
    story->waiting--;
    pthread_cond_signal(&story->cond);
    pthread_mutex_unlock(&story->lock);
}

/* A group of appends that may share a commit, and waiting for all of them. */
static void send_group(struct story *story, struct journal *j)
{
    static struct sent sent[MANY];
    for (int i = 0; i < GROUP; i++) {
        char body[BODY_MAX];
        struct err err = {0};
        uint64_t n = story->next++;
        struct entry e = entry_of(body_of(n, body));
        sent[n] = (struct sent){.ticket = {.done = told}, .story = story, .number = n};
        pthread_mutex_lock(&story->lock);
        story->waiting++;
        pthread_mutex_unlock(&story->lock);
        if (!lane_append(journal_lane(j, LANE_EVENTS), &e, &sent[n].ticket, &err)) {
            pthread_mutex_lock(&story->lock);
            story->fates[n] = story->power ? UNTOLD : REFUSED;
            story->waiting--;
            pthread_mutex_unlock(&story->lock);
        }
    }
    pthread_mutex_lock(&story->lock);
    while (story->waiting)
        pthread_cond_wait(&story->cond, &story->lock);
    pthread_mutex_unlock(&story->lock);
}

/* One append that commits in this very thread. */
static void send_alone(struct story *story, struct journal *j)
{
    uint64_t n = story->next++;
    bool ok = append_alone(j, n, &story->seqs[n]), ended = disk_failed(story->disk) && !ok;
    story->fates[n] = ok ? ACKNOWLEDGED : ended && story->power ? UNTOLD : REFUSED;
}

/* One life of a process: open, append, remove what is old, append, close. */
static void live(struct story *story)
{
    struct journal_opts o = opts_of(story->disk);
    struct journal *j = NULL;
    struct err err = {0};
    if (!journal_open(&o, &j, &err))
        return;
    struct lane *lane = journal_lane(j, LANE_EVENTS);
    for (int i = 0; i < 3; i++)
        send_group(story, j);
    send_alone(story, j);
    uint64_t upto = lane_durable(lane) / 2;
    story->removed = upto > story->removed ? upto : story->removed;
    (void)lane_remove(lane, upto, UINT64_MAX, &err);
    for (int i = 0; i < 2; i++)
        send_group(story, j);
    journal_close(&j);
}

static void check_what_is_there(struct story *story, const char *what, uint64_t at)
{
    struct journal *j = open_or_fail(story->disk);
    uint64_t numbers[MANY], there[MANY] = {0};
    size_t n = read_numbers(j, 1, numbers, MANY, NULL);
    for (size_t i = 0; i < n; i++)
        there[numbers[i]]++;
    for (uint64_t i = 0; i < story->next; i++) {
        bool may_be_gone = story->seqs[i] <= story->removed;
        ck_assert_msg(there[i] <= 1, "%s at operation %llu: %llu is there %llu times", what, (unsigned long long)at,
                      (unsigned long long)i, (unsigned long long)there[i]);
        ck_assert_msg(story->fates[i] != ACKNOWLEDGED || there[i] || may_be_gone, "%s at operation %llu: %llu is lost", what,
                      (unsigned long long)at, (unsigned long long)i);
        ck_assert_msg(story->fates[i] != REFUSED || !there[i], "%s at operation %llu: %llu was refused and is there", what,
                      (unsigned long long)at, (unsigned long long)i);
        if (there[i] && story->fates[i] == UNTOLD)
            story->fates[i] = ACKNOWLEDGED; /* given out: what was staged from it is built upon */
    }
    /* It works on, and never gives a sequence again that stands for something else. */
    uint64_t seq = 0, durable = lane_durable(journal_lane(j, LANE_EVENTS));
    ck_assert(append(j, story->next, &seq));
    ck_assert_uint_gt(seq, durable);
    for (uint64_t i = 0; i < story->next; i++)
        ck_assert(story->fates[i] != ACKNOWLEDGED || story->seqs[i] < seq);
    journal_close(&j);
    n = read_numbers(j = open_or_fail(story->disk), seq, numbers, MANY, NULL);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(numbers[0], story->next);
    story->fates[story->next] = ACKNOWLEDGED;
    story->seqs[story->next++] = seq;
    journal_close(&j);
}

struct plan {
    const char *what;
    enum disk_fault fault;
    bool all_after, power;
};
static const struct plan plans[] = {
    {"EIO", DISK_EIO, false, false},
    {"no space", DISK_ENOSPC, false, false},
    {"a short write", DISK_SHORT, false, false},
    {"an interrupt", DISK_EINTR, false, false},
    {"EIO from then on", DISK_EIO, true, true},
    {"no space from then on", DISK_ENOSPC, true, true},
    {"the process ended", DISK_END, false, true},
};

/* One run with the n-th operation of its second life failing; false: it came to no fault. */
static bool try_at(const struct plan *p, uint64_t n, uint64_t seed, bool cut)
{
    struct story story = {.disk = disk_new(seed), .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER,
                          .power = p->power || cut};
    if (n % 2) /* every other run begins with a journal that is there */
        live(&story);
    disk_fail_at(story.disk, n, cut ? DISK_END : p->fault, p->all_after);
    live(&story);
    bool failed = disk_failed(story.disk);
    if (cut)
        disk_cut_power(story.disk);
    else
        disk_restart(story.disk);
    check_what_is_there(&story, cut ? "the power was cut" : p->what, n);
    disk_cut_power(story.disk); /* nothing that was given out may still be on its way to the platter */
    check_what_is_there(&story, "the power was cut after it recovered", n);
    disk_free(&story.disk);
    return failed;
}

START_TEST(every_operation_may_fail)
{
    const struct plan *p = &plans[_i];
    uint64_t n = 1, quiet = 0;
    for (; quiet < 4; n++)
        quiet = try_at(p, n, n, false) ? 0 : quiet + 1;
    ck_assert_msg(n > 50, "%s: only %llu operations were tried", p->what, (unsigned long long)n);
}
END_TEST

START_TEST(the_power_may_be_cut_at_every_operation)
{
    uint64_t seed = check_seed();
    unsigned rounds = getenv("EVERY") ? 200 : 12;
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t quiet = 0;
        for (uint64_t n = 1; quiet < 4; n++)
            quiet = try_at(&plans[0], n, seed + round * 1000 + n, true) ? 0 : quiet + 1;
    }
}
END_TEST

/* The sync that failed is not tried again: who waited is refused, and what comes next goes into a new segment. */
START_TEST(a_failed_sync_ends_its_segment)
{
    struct disk *d = disk_new(1);
    struct journal *j = open_or_fail(d);
    uint64_t seq, numbers[8];
    const char *names[8];
    ck_assert(append(j, 0, &seq));
    disk_fail_at(d, 2, DISK_EIO, false); /* the write, then its sync */
    ck_assert(!append(j, 1, &seq));
    ck_assert(disk_failed(d));
    ck_assert(append(j, 2, &seq));
    ck_assert_uint_eq(seq, 2);
    ck_assert_uint_eq(disk_names(d, ".seg", names, 8), 2);
    ck_assert_uint_eq(read_numbers(j, 1, numbers, 8, NULL), 2);
    ck_assert_uint_eq(numbers[1], 2);
    journal_close(&j);
    disk_free(&d);
}
END_TEST

/* Where not even the cut works, the segment behind hides what was refused, also from a process that comes later. */
START_TEST(what_cannot_be_cut_is_hidden)
{
    struct disk *d = disk_new(1);
    struct journal *j = open_or_fail(d);
    uint64_t seq, numbers[8];
    ck_assert(append(j, 0, &seq));
    disk_fail_at(d, 2, DISK_ENOSPC, true); /* the sync, and the cut after it */
    ck_assert(!append(j, 1, &seq));
    disk_fail_at(d, 0, DISK_EIO, false);
    ck_assert(append(j, 2, &seq));
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(read_numbers(j, 1, numbers, 8, NULL), 2);
        ck_assert_uint_eq(numbers[0], 0);
        ck_assert_uint_eq(numbers[1], 2);
        journal_close(&j);
        j = open_or_fail(d);
    }
    journal_close(&j);
    disk_free(&d);
}
END_TEST

/* Offsets of the entries in a file, refused ones too; returns how many. */
static size_t entries_in(struct disk *d, const char *path, uint64_t ret[16])
{
    struct entry_head head;
    size_t n = 0, size = 0;
    char *bytes;
    struct err err = {0};
    ck_assert_msg(io_read_file(disk_io(d), path, 1 << 20, &bytes, &size, &err), "%s", err.msg);
    for (size_t at = SEGMENT_HEAD; at + ENTRY_HEAD <= size && n < 16; at++)
        if (entry_head_decode(bytes + at, &head))
            ret[n++] = at;
    free(bytes);
    return n;
}

/* Two entries, a commit of several that is refused and cannot be cut, and three entries behind it. false: the commit had one. */
static bool refused_and_left(struct disk *d, uint64_t *ret_next)
{
    struct story story = {.disk = d, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .power = true};
    struct journal *j = open_or_fail(d);
    const char *names[4];
    uint64_t seq, at[16];
    for (; story.next < 2; story.next++)
        ck_assert(append(j, story.next, &seq));
    disk_fail_at(d, 2, DISK_ENOSPC, true); /* the sync, and the cut after it */
    send_group(&story, j);
    disk_fail_at(d, 0, DISK_EIO, false);
    for (uint64_t n = story.next; n < story.next + 3; n++)
        ck_assert(append(j, n, &seq));
    journal_close(&j);
    *ret_next = story.next;
    return disk_names(d, ".seg", names, 4) >= 2 && entries_in(d, names[0], at) >= 4;
}

/* What stands before refused entries is damaged, and the first of them too: a reader that steps over the damage comes out among
 * the refused. It goes on with the first of the segment behind, whatever the refused one's sequence is. */
START_TEST(damage_before_what_was_refused)
{
    unsigned tried = 0;
    for (uint64_t seed = 1; seed <= 400 && tried < 5; seed++) {
        struct disk *d = disk_new(seed);
        const char *names[4];
        uint64_t at[16], numbers[16], next, damage = 0;
        if (refused_and_left(d, &next)) {
            ck_assert_uint_ge(disk_names(d, ".seg", names, 4), 2);
            ck_assert_uint_ge(entries_in(d, names[0], at), 4);
            disk_flip(d, names[0], at[1] + ENTRY_HEAD, 0x40);
            disk_flip(d, names[0], at[2] + ENTRY_HEAD, 0x40);
            struct journal *j = open_or_fail(d);
            ck_assert_uint_eq(read_numbers(j, 1, numbers, 16, &damage), 4);
            ck_assert(damage > 0 && numbers[0] == 0);
            for (uint64_t i = 0; i < 3; i++)
                ck_assert_uint_eq(numbers[1 + i], next + i);
            journal_close(&j);
            tried++;
        }
        disk_free(&d);
    }
    ck_assert_uint_ge(tried, 1);
}
END_TEST

/* The process ended between a write and its sync: the next one finds the entry, gives it out, and so must keep it. */
START_TEST(what_was_found_is_kept)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct disk *d = disk_new(seed);
        struct journal *j = open_or_fail(d);
        uint64_t seq, numbers[8];
        ck_assert(append(j, 0, &seq));
        disk_fail_at(d, 2, DISK_END, false); /* the write, then its sync */
        ck_assert(!append(j, 1, &seq));
        journal_close(&j);
        disk_restart(d);
        j = open_or_fail(d);
        ck_assert_uint_eq(lane_durable(journal_lane(j, LANE_EVENTS)), 2);
        journal_close(&j);
        disk_cut_power(d);
        ck_assert_uint_eq(read_numbers(j = open_or_fail(d), 1, numbers, 8, NULL), 2);
        journal_close(&j);
        disk_free(&d);
    }
}
END_TEST

CHECK_SUITE("journal faults", t)
{
    tcase_add_test(t, what_was_found_is_kept);
    tcase_add_loop_test(t, every_operation_may_fail, 0, CHECK_ROWS(plans));
    tcase_add_test(t, the_power_may_be_cut_at_every_operation);
    tcase_add_test(t, a_failed_sync_ends_its_segment);
    tcase_add_test(t, what_cannot_be_cut_is_hidden);
    tcase_add_test(t, damage_before_what_was_refused);
}
