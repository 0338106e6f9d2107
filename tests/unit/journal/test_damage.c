/* Damage on the platter: every bit of a small journal flipped, every length of a segment tried. What is whole stays readable, what
 * is not is told of with its place and kept aside, and nothing made up is ever given out. */
#include "tests/unit/journal/harness.h"

#define ENTRIES 6
#define NAMES 16

struct told {
    size_t n;
    uint64_t offset;
    char segment[40];
};

static void tell(void *ctx, const struct damage *d)
{
    struct told *t = ctx;
    if (t->n++ == 0) {
        t->offset = d->offset;
        snprintf(t->segment, sizeof t->segment, "%s", d->segment);
    }
}

static struct told check(struct journal *j, uint64_t *ret_entries)
{
    struct told told = {0};
    struct err err = {0};
    ck_assert_msg(lane_check(journal_lane(j, LANE_EVENTS), tell, &told, ret_entries, &err), "%s", err.msg);
    return told;
}

/* Entries 0…n-1, a commit each; every one in a segment of its own where `alone`. */
static struct disk *filled(uint64_t n, bool alone)
{
    struct disk *d = disk_new(9);
    struct journal_opts o = opts_of(d);
    struct journal *j = NULL;
    struct err err = {0};
    uint64_t seq;
    o.segment_bytes = alone ? 1 : 1 << 16;
    ck_assert(journal_open(&o, &j, &err));
    for (uint64_t i = 0; i < n; i++)
        ck_assert(append(j, i, &seq));
    journal_close(&j);
    return d;
}

/* The entries that are read must be what was written, each once; returns how many. */
static size_t read_some(struct journal *j, uint64_t n, uint64_t *ret_damage)
{
    uint64_t numbers[ENTRIES + 1];
    size_t k = read_numbers(j, 1, numbers, ENTRIES + 1, ret_damage);
    for (size_t i = 0; i < k; i++)
        ck_assert(numbers[i] < n && (i == 0 || numbers[i] > numbers[i - 1]));
    return k;
}

/* One flipped byte costs at most the entry that it lies in; the segment's head costs none. */
static void flip_every_byte(bool alone, uint64_t seed)
{
    const char *names[NAMES];
    struct disk *whole = filled(ENTRIES, alone);
    size_t n_names = disk_names(whole, ".seg", names, NAMES);
    ck_assert_uint_eq(n_names, alone ? ENTRIES : 1);
    for (size_t file = 0; file < n_names; file++) {
        for (uint64_t at = 0; at < (uint64_t)disk_size(whole, names[file]); at++) {
            struct disk *d = disk_copy(whole, 10);
            const char *bad[NAMES];
            uint64_t damage = 0, entries = 0, seq = 0;
            disk_flip(d, names[file], at, (unsigned char)(1u << (check_random(&seed) % 8)));
            struct journal *j = open_or_fail(d);
            size_t k = read_some(j, ENTRIES, &damage);
            bool head = at < 192, last = file + 1 == n_names && k + 1 == ENTRIES;
            ck_assert_msg(k >= ENTRIES - 1 && (!head || k == ENTRIES), "byte %llu: %zu of %d entries are left", (unsigned long long)at, k, ENTRIES);
            struct told told = check(j, &entries);
            ck_assert_uint_eq(entries, k);
            struct journal_stats stats;
            journal_stats(j, &stats);
            /* The last entry's end looks like one that was torn; it is cut off, and its bytes counted. */
            ck_assert_msg(told.n || damage || stats.torn_bytes || stats.quarantined, "byte %llu: nobody tells", (unsigned long long)at);
            if (!last) {
                ck_assert_msg(told.n == 1, "byte %llu: told of %zu times", (unsigned long long)at, told.n);
                ck_assert(told.offset <= at && strstr(names[file], told.segment));
            }
            if (stats.quarantined)
                ck_assert_uint_ge(disk_names(d, ".bad", bad, NAMES), 1);
            ck_assert(append(j, ENTRIES, &seq));
            journal_close(&j);
            disk_free(&d);
        }
    }
    disk_free(&whole);
}

START_TEST(flipped_bits_cost_one_entry)
{
    flip_every_byte(false, 1);
    flip_every_byte(true, 2);
}
END_TEST

/* A segment that ends too early: of the newest it is a torn write, of an older one damage. */
START_TEST(every_length)
{
    const char *names[NAMES];
    bool newest = _i == 0;
    struct disk *whole = filled(ENTRIES, !newest);
    disk_names(whole, ".seg", names, NAMES);
    for (uint64_t n = 0; n < (uint64_t)disk_size(whole, names[0]); n++) {
        struct disk *d = disk_copy(whole, 10);
        disk_shorten(d, names[0], n);
        struct journal *j = open_or_fail(d);
        uint64_t entries, damage, seq = 0;
        size_t k = read_some(j, ENTRIES, &damage);
        struct told told = check(j, &entries);
        ck_assert_uint_eq(entries, k);
        if (newest) {
            ck_assert_uint_eq(told.n, 0);
            ck_assert(append(j, k, &seq)); /* goes on where the whole entries end */
            ck_assert_uint_eq(seq, k + 1);
        } else {
            ck_assert_uint_eq(k, ENTRIES - 1);
            ck_assert_uint_ge(told.n, 1);
            ck_assert(append(j, ENTRIES, &seq));
            ck_assert_uint_eq(seq, ENTRIES + 1);
        }
        journal_close(&j);
        disk_free(&d);
    }
    disk_free(&whole);
}
END_TEST

/* A body may hold what looks like an entry: where the real head before it is damaged, it must not come out. */
START_TEST(a_body_cannot_pass_for_an_entry)
{
    struct disk *d = disk_new(3);
    struct journal *j = open_or_fail(d);
    const char *names[NAMES];
    struct err err = {0};
    uint64_t seq, damage = 0;
    char mine[BODY_MAX];
    ck_assert(append(j, 0, &seq));
    /* A whole entry from the file of another journal, made by the same program. */
    struct disk *other = filled(1, false);
    disk_names(other, ".seg", names, NAMES);
    const struct io *io = disk_io(other);
    int fd = io->file->open(io, names[0], 0, 0);
    ssize_t n = io->file->pread(io, fd, mine, sizeof mine, 192);
    io->file->close(io, fd);
    struct entry e = entry_of((struct span){mine, (size_t)n});
    ck_assert(lane_append_wait(journal_lane(j, LANE_EVENTS), &e, &seq, &err));
    ck_assert(append(j, 2, &seq));
    journal_close(&j);
    disk_names(d, ".seg", names, NAMES);
    char head[64];
    fd = disk_io(d)->file->open(disk_io(d), names[0], 0, 0);
    ck_assert_int_eq(disk_io(d)->file->pread(disk_io(d), fd, head, sizeof head, 192), sizeof head);
    disk_io(d)->file->close(disk_io(d), fd);
    uint32_t first = (uint32_t)(unsigned char)head[4] | (uint32_t)(unsigned char)head[5] << 8;
    disk_flip(d, names[0], 192 + 32 + first + 8, 1); /* the second entry's sequence */
    j = open_or_fail(d);
    uint64_t numbers[4];
    ck_assert_uint_eq(read_numbers(j, 1, numbers, 4, &damage), 2);
    ck_assert_uint_eq(numbers[0], 0);
    ck_assert_uint_eq(numbers[1], 2);
    journal_close(&j);
    disk_free(&d);
    disk_free(&other);
}
END_TEST

/* The last entry of the open segment goes bad after it was synced, and more is appended: a reader that has looked at the end before
 * goes on with what is behind the damage, not behind the durable end. */
START_TEST(damage_while_it_is_written)
{
    struct disk *d = disk_new(3);
    struct journal_opts o = opts_of(d);
    struct journal *j = NULL;
    struct err err = {0};
    const char *names[NAMES];
    struct entry e;
    bool any;
    uint64_t seq, damage = 0;
    o.segment_bytes = 1 << 20;
    ck_assert(journal_open(&o, &j, &err));
    ck_assert(append(j, 0, &seq));
    ck_assert_uint_eq(disk_names(d, ".seg", names, NAMES), 1);
    struct reader *r = reader_open(journal_lane(j, LANE_EVENTS), 1);
    struct journal_stats stats;
    journal_stats(j, &stats);
    uint64_t end = stats.bytes;
    ck_assert(append(j, 1, &seq));
    disk_flip(d, names[0], end + 40, 1);
    ck_assert(reader_next(r, &e, &any, &damage, &err) && any && number_of(e.message.body) == 0);
    ck_assert(append(j, 2, &seq));
    disk_flip(d, names[0], end + 40, 1); /* again: entry 2 shares its block, which was written anew */
    ck_assert(reader_next(r, &e, &any, &damage, &err) && any);
    ck_assert_uint_eq(number_of(e.message.body), 2);
    ck_assert_uint_gt(damage, 0);
    reader_close(&r);
    journal_close(&j);
    disk_free(&d);
}
END_TEST

CHECK_SUITE("journal damage", t)
{
    tcase_add_test(t, damage_while_it_is_written);
    tcase_add_test(t, flipped_bits_cost_one_entry);
    tcase_add_loop_test(t, every_length, 0, 2);
    tcase_add_test(t, a_body_cannot_pass_for_an_entry);
}
