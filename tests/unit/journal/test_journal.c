/* Lanes from the outside: what is appended is read, over restarts, rotation, removal and limits; copies have another name. */
#include "tests/unit/journal/harness.h"
#include <fcntl.h>

#define MANY 200
#define ROOM (UINT64_C(4) << 20) /* what a lane takes ahead */

static size_t names_of(struct disk *d, const char *suffix)
{
    const char *names[MANY];
    return disk_names(d, suffix, names, MANY);
}

START_TEST(entries_come_back_over_restarts)
{
    struct disk *d = disk_new(1);
    uint64_t seq, numbers[MANY];
    for (uint64_t n = 0; n < 60; n++) {
        struct journal *j = open_or_fail(d);
        ck_assert(append(j, n, &seq));
        ck_assert_uint_eq(seq, n + 1);
        ck_assert_uint_eq(lane_durable(journal_lane(j, LANE_EVENTS)), seq);
        ck_assert_uint_eq(read_numbers(j, 1, numbers, MANY, NULL), n + 1);
        journal_close(&j);
    }
    ck_assert_uint_eq(names_of(d, ".bad"), 0);
    disk_free(&d);
}
END_TEST

/* A process that ended between taking a new segment's room and writing its head (_i: how much room) left nothing that was damaged. */
START_TEST(a_segment_that_was_only_begun_is_none)
{
    static const size_t rooms[] = {0, 1, 192, 4096, 70000};
    static const char zeros[70000];
    struct disk *d = disk_new(1);
    struct journal *j = open_or_fail(d);
    struct journal_stats stats;
    uint64_t seq;
    for (uint64_t n = 0; n < 5; n++)
        ck_assert(append(j, n, &seq));
    journal_close(&j);
    const struct io *io = disk_io(d);
    int fd = io->file->open(io, "/disk/journal/events/00000000000000000006.seg", O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(rooms[_i] ? io->file->pwrite(io, fd, zeros, rooms[_i], 0) : 0, (ssize_t)rooms[_i]);
    io->file->close(io, fd);
    j = open_or_fail(d);
    journal_stats(j, &stats);
    ck_assert_uint_eq(stats.quarantined, 0);
    ck_assert_uint_eq(stats.damaged_entries_bytes, 0);
    ck_assert(append(j, 5, &seq));
    ck_assert_uint_eq(seq, 6);
    struct reader *r = reader_open(journal_lane(j, LANE_EVENTS), 1);
    struct entry e;
    struct err err;
    bool any;
    uint64_t damage = 0;
    for (uint64_t n = 0; n < 6; n++) {
        ck_assert(reader_next(r, &e, &any, &damage, &err) && any);
        ck_assert_uint_eq(number_of(e.message.body), n);
    }
    ck_assert_uint_eq(damage, 0);
    reader_close(&r);
    journal_close(&j);
    disk_free(&d);
}
END_TEST

START_TEST(segments_are_cut_at_their_size)
{
    struct disk *d = disk_new(1);
    struct journal *j = open_or_fail(d);
    const char *names[MANY];
    uint64_t seq, numbers[MANY];
    for (uint64_t n = 0; n < 100; n++)
        ck_assert(append(j, n, &seq));
    size_t n_names = disk_names(d, ".seg", names, MANY);
    ck_assert_uint_gt(n_names, 5);
    for (size_t i = 0; i + 1 < n_names; i++) /* the last has room taken ahead */
        ck_assert_int_le(disk_size(d, names[i]), 4096);
    for (uint64_t from = 1; from <= 100; from += 7) {
        ck_assert_uint_eq(read_numbers(j, from, numbers, MANY, NULL), 101 - from);
        ck_assert_uint_eq(numbers[0], from - 1);
    }
    ck_assert_uint_eq(read_numbers(j, 101, numbers, MANY, NULL), 0);
    journal_close(&j);
    disk_free(&d);
}
END_TEST

START_TEST(an_entry_keeps_all_of_its_fields)
{
    struct disk *d = disk_new(1);
    struct journal *j = open_or_fail(d);
    struct http_header headers[] = {{SPAN_LIT("X-Empty"), SPAN_LIT("")}, {SPAN_LIT("X"), SPAN_LIT("a\tb")}, {SPAN_LIT("X"), SPAN_LIT("second")}};
    struct entry e = {.kind = ENTRY_PAGE,
                      .received_us = 11,
                      .source = SPAN_LIT("s"),
                      .message = {.method = SPAN_LIT("GET"), .url = SPAN_LIT("https://x/y?z"), .headers = headers, .n_headers = 3,
                                  .body = {"\0\1\2", 3}, .status = 206},
                      .scheme = SPAN_LIT("sch"), .secret_id = SPAN_LIT("sec"), .verified_us = 12, .dedupe = {13, 14},
                      .table = SPAN_LIT("t"), .run = SPAN_LIT("r"), .cursor = SPAN_LIT("{}"), .parents = SPAN_LIT("{\"a\":1}"),
                      .observed_us = 15, .began_us = 16, .is_feed = true, .is_last = true};
    struct err err = {0};
    uint64_t seq;
    ck_assert(lane_append_wait(journal_lane(j, LANE_BACKFILL), &e, &seq, &err));
    struct reader *r = reader_open(journal_lane(j, LANE_BACKFILL), 1);
    struct entry got;
    bool any;
    ck_assert(reader_next(r, &got, &any, NULL, &err) && any);
    ck_assert_int_eq(got.kind, ENTRY_PAGE);
    ck_assert_uint_eq(got.received_us, 11);
    ck_assert(span_eqz(got.source, "s") && span_eqz(got.message.method, "GET") && span_eqz(got.message.url, "https://x/y?z"));
    ck_assert_uint_eq(got.message.n_headers, 3);
    for (size_t i = 0; i < 3; i++)
        ck_assert(span_eq(got.message.headers[i].name, headers[i].name) && span_eq(got.message.headers[i].value, headers[i].value));
    ck_assert(span_eq(got.message.body, e.message.body));
    ck_assert_uint_eq(got.message.status, 206);
    ck_assert(span_eqz(got.scheme, "sch") && span_eqz(got.secret_id, "sec") && span_eqz(got.table, "t") && span_eqz(got.run, "r"));
    ck_assert(span_eqz(got.cursor, "{}") && span_eqz(got.parents, "{\"a\":1}"));
    ck_assert(got.verified_us == 12 && got.dedupe.lo == 13 && got.dedupe.hi == 14 && got.observed_us == 15 && got.began_us == 16);
    ck_assert(got.is_feed && got.is_last);
    ck_assert(span_eqz(got.node, journal_node(j)) && span_eqz(got.lane, "backfill"));
    char id[ENTRY_ID_MAX];
    struct span node, lane;
    entry_id(&got, id);
    ck_assert(entry_id_parse(span_of(id), &node, &lane, &seq) && span_eq(node, got.node) && span_eq(lane, got.lane) && seq == 1);
    ck_assert(!entry_id_parse(SPAN_LIT("a/b"), &node, &lane, &seq) && !entry_id_parse(SPAN_LIT("a/b/c"), &node, &lane, &seq));
    ck_assert(!entry_id_parse(SPAN_LIT("a/b/18446744073709551616"), &node, &lane, &seq));
    reader_close(&r);
    journal_close(&j);
    disk_free(&d);
}
END_TEST

/* Fields cut anywhere, or with a bit flipped, decode to something or to an error: never beyond their bytes (the sanitizers look). */
START_TEST(broken_fields_are_refused)
{
    struct buf fields;
    char body[BODY_MAX];
    struct entry e = entry_of(body_of(3, body)), got;
    struct http_header headers[ENTRY_HEADERS_MAX];
    struct err err = {0};
    uint64_t random = 7;
    buf_init(&fields, 1 << 16);
    entry_encode(&e, &fields);
    for (size_t n = 0; n < fields.n; n++) {
        char *exact = malloc(n + 1); /* so that a read behind its end is seen */
        memcpy(exact, fields.p, n);
        exact = realloc(exact, n ? n : 1);
        got = (struct entry){0};
        entry_decode((struct span){exact, n}, headers, &got, &err);
        free(exact);
    }
    for (int i = 0; i < 20000; i++) {
        size_t at = check_random(&random) % fields.n;
        fields.p[at] ^= (char)(1 << check_random(&random) % 8);
        got = (struct entry){0};
        entry_decode(buf_span(&fields), headers, &got, &err);
    }
    buf_release(&fields);
}
END_TEST

START_TEST(old_segments_go_and_readers_go_on)
{
    struct disk *d = disk_new(1);
    struct journal *j = open_or_fail(d);
    struct lane *lane = journal_lane(j, LANE_EVENTS);
    uint64_t seq, numbers[MANY];
    struct err err = {0};
    for (uint64_t n = 0; n < 100; n++)
        ck_assert(append(j, n, &seq));
    struct reader *slow = reader_open(lane, 1);
    struct entry e;
    bool any;
    ck_assert(reader_next(slow, &e, &any, NULL, &err) && any && e.seq == 1);
    size_t before = names_of(d, ".seg");
    ck_assert(lane_remove(lane, 50, 0, &err)); /* nothing is that old */
    ck_assert_uint_eq(names_of(d, ".seg"), before);
    ck_assert(lane_remove(lane, 50, UINT64_MAX, &err));
    ck_assert_uint_lt(names_of(d, ".seg"), before);
    uint64_t first = lane_first(lane);
    ck_assert(first > 1 && first <= 50);
    ck_assert_uint_eq(read_numbers(j, 1, numbers, MANY, NULL), 101 - first);
    ck_assert_uint_eq(numbers[0], first - 1);
    /* Who stands in a removed segment reads it to its end, then goes on with what is there. */
    uint64_t last = 1;
    while (reader_next(slow, &e, &any, NULL, &err) && any) {
        ck_assert(e.seq > last);
        last = e.seq;
    }
    ck_assert_uint_eq(last, 100);
    reader_close(&slow);
    ck_assert(lane_remove(lane, 1000, UINT64_MAX, &err)); /* never the newest */
    ck_assert_uint_eq(names_of(d, ".seg"), 1);
    journal_close(&j);
    j = open_or_fail(d);
    ck_assert(append(j, 100, &seq));
    ck_assert_uint_eq(seq, 101);
    journal_close(&j);
    disk_free(&d);
}
END_TEST

START_TEST(limits_are_told_before_anything_is_written)
{
    struct disk *d = disk_new(1);
    struct journal_opts o = opts_of(d);
    struct journal *j = NULL;
    struct err err = {0};
    uint64_t seq = 0, n = 0;
    o.bytes_max = 40000;
    o.reserve_bytes = 1000;
    o.entry_bytes_max = 8192;
    ck_assert(journal_open(&o, &j, &err));
    while (append(j, n, &seq))
        ck_assert_uint_lt(n++, MANY);
    char body[BODY_MAX];
    struct entry e = entry_of(body_of(n, body));
    ck_assert(!lane_append_wait(journal_lane(j, LANE_EVENTS), &e, NULL, &err));
    ck_assert_int_eq(err.cls, ERR_FULL);
    struct journal_stats stats;
    journal_stats(j, &stats);
    ck_assert_uint_le(stats.bytes, 40000);
    ck_assert(lane_remove(journal_lane(j, LANE_EVENTS), seq, UINT64_MAX, &err));
    ck_assert(append(j, n, &seq)); /* there is room again */
    disk_set_free(d, 999 + LANE_COUNT * ROOM);
    disk_io(d)->world->sleep_us(disk_io(d), 1000000); /* it looks now and then */
    ck_assert(!append(j, n + 1, &seq));
    disk_set_free(d, 2000 + LANE_COUNT * ROOM);
    disk_io(d)->world->sleep_us(disk_io(d), 1000000);
    ck_assert(append(j, n + 1, &seq));
    static char large[9000];
    e = entry_of((struct span){large, sizeof large});
    ck_assert(!lane_append_wait(journal_lane(j, LANE_EVENTS), &e, NULL, &err));
    ck_assert_int_eq(err.cls, ERR_INPUT);
    ck_assert(append(j, n + 2, &seq));
    journal_close(&j);
    disk_free(&d);
}
END_TEST

START_TEST(trouble_is_told_while_it_lasts)
{
    struct disk *d = disk_new(1);
    const struct io *io = disk_io(d);
    struct journal_opts o = opts_of(d);
    struct journal *j = NULL;
    struct err err = {0};
    struct histogram_snapshot times;
    char why[200] = "";
    uint64_t seq = 0;
    static char large[100000];
    o.bytes_max = 200000;
    o.reserve_bytes = 1000;
    o.entry_bytes_max = 150000;
    ck_assert(journal_open(&o, &j, &err));
    struct lane *lane = journal_lane(j, LANE_EVENTS);
    struct entry e = entry_of((struct span){large, sizeof large});
    ck_assert(!lane_trouble(lane, why, sizeof why));
    ck_assert(lane_append_wait(lane, &e, &seq, &err));
    ck_assert(!lane_trouble(lane, why, sizeof why));
    ck_assert(!lane_append_wait(lane, &e, &seq, &err));
    ck_assert(lane_trouble(lane, why, sizeof why)); /* the room is there, but not for what was refused */
    ck_assert_ptr_nonnull(strstr(why, "limit of 200000 bytes"));
    ck_assert(append(j, 1, &seq)); /* a small one is taken, so it was not for good */
    ck_assert(!lane_trouble(lane, why, sizeof why));
    disk_set_free(d, 999 + LANE_COUNT * ROOM);
    io->world->sleep_us(io, 1000000);
    ck_assert(lane_trouble(lane, why, sizeof why));
    ck_assert_ptr_nonnull(strstr(why, "reserve of 1000 bytes"));
    disk_set_free(d, 2000 + LANE_COUNT * ROOM);
    io->world->sleep_us(io, 1000000);
    ck_assert(!lane_trouble(lane, why, sizeof why));
    disk_fail_at(d, 1, DISK_EIO, true);
    ck_assert(!append(j, 2, &seq));
    ck_assert(lane_trouble(lane, why, sizeof why));
    ck_assert_ptr_nonnull(strstr(why, "Input/output error"));
    disk_fail_at(d, 0, DISK_EIO, false);
    ck_assert(lane_trouble(lane, why, sizeof why)); /* nothing has shown yet that it is over */
    io->world->sleep_us(io, LANE_FAILING_US);
    ck_assert(!lane_trouble(lane, why, sizeof why)); /* time to try again */
    ck_assert(append(j, 2, &seq));
    ck_assert(!lane_trouble(lane, why, sizeof why));
    journal_commit_times(j, &times);
    ck_assert_uint_eq(times.count, 4); /* the failed one, too */
    ck_assert_uint_gt(times.sum_us, 0);
    journal_close(&j);
    disk_free(&d);
}
END_TEST

START_TEST(a_copy_draws_a_lineage_of_its_own)
{
    struct disk *d = disk_new(1);
    struct journal *j = open_or_fail(d);
    uint64_t seq, numbers[MANY];
    char node[NODE_MAX];
    snprintf(node, sizeof node, "%s", journal_node(j));
    ck_assert(strncmp(node, "sluice-", 7) == 0 && strlen(node) == 15);
    for (uint64_t n = 0; n < 5; n++)
        ck_assert(append(j, n, &seq));
    journal_close(&j);
    j = open_or_fail(d);
    ck_assert_str_eq(journal_node(j), node); /* a restart keeps it */
    journal_close(&j);
    struct disk *copy = disk_copy(d, 2);
    j = open_or_fail(copy);
    ck_assert_str_ne(journal_node(j), node);
    ck_assert_uint_eq(read_numbers(j, 1, numbers, MANY, NULL), 5);
    /* What was written under the old name keeps it; what comes now has the new one. */
    ck_assert(append(j, 5, &seq));
    struct reader *r = reader_open(journal_lane(j, LANE_EVENTS), 5);
    struct entry e;
    bool any;
    struct err err = {0};
    ck_assert(reader_next(r, &e, &any, NULL, &err) && any && span_eqz(e.node, node));
    ck_assert(reader_next(r, &e, &any, NULL, &err) && any && span_eqz(e.node, journal_node(j)));
    reader_close(&r);
    journal_close(&j);
    disk_free(&copy);
    disk_free(&d);
}
END_TEST

START_TEST(readonly_changes_nothing)
{
    struct disk *d = disk_new(1);
    struct journal_opts o = opts_of(d);
    struct journal *j = NULL;
    struct err err = {0};
    uint64_t seq, numbers[MANY];
    const char *names[MANY];
    o.readonly = true;
    ck_assert(journal_open(&o, &j, &err)); /* nothing there: empty */
    ck_assert_uint_eq(read_numbers(j, 1, numbers, MANY, NULL), 0);
    journal_close(&j);
    ck_assert_uint_eq(names_of(d, ""), 1);
    j = open_or_fail(d);
    for (uint64_t n = 0; n < 5; n++)
        ck_assert(append(j, n, &seq));
    journal_close(&j);
    disk_names(d, ".seg", names, MANY);
    disk_shorten(d, names[0], (uint64_t)disk_size(d, names[0]) - 3);
    int64_t size = disk_size(d, names[0]);
    ck_assert(journal_open(&o, &j, &err));
    ck_assert_uint_eq(read_numbers(j, 1, numbers, MANY, NULL), 4);
    journal_close(&j);
    ck_assert_int_eq(disk_size(d, names[0]), size);
    disk_free(&d);
}
END_TEST

/* While the very first entry is on its way, the lane begins with it: a consumer that starts now must not begin behind it. */
START_TEST(the_first_entry_is_the_first)
{
    for (int i = 0; i < 300; i++) {
        struct disk *d = disk_new(1);
        struct journal *j = open_or_fail(d);
        struct lane *lane = journal_lane(j, LANE_EVENTS);
        char body[BODY_MAX];
        struct err err = {0};
        struct entry e = entry_of(body_of(0, body));
        static struct alone a; /* it outlives a failure */
        a = (struct alone){.ticket = {.done = alone_done}};
        ck_assert_uint_eq(lane_first(lane), 1);
        ck_assert(lane_append(lane, &e, &a.ticket, &err));
        do
            ck_assert_uint_eq(lane_first(lane), 1);
        while (!a.state);
        ck_assert_uint_eq(lane_first(lane), 1);
        journal_close(&j);
        disk_free(&d);
    }
}
END_TEST

CHECK_SUITE("journal", t)
{
    tcase_add_test(t, the_first_entry_is_the_first);
    tcase_add_test(t, entries_come_back_over_restarts);
    tcase_add_loop_test(t, a_segment_that_was_only_begun_is_none, 0, 5);
    tcase_add_test(t, segments_are_cut_at_their_size);
    tcase_add_test(t, an_entry_keeps_all_of_its_fields);
    tcase_add_test(t, broken_fields_are_refused);
    tcase_add_test(t, old_segments_go_and_readers_go_on);
    tcase_add_test(t, limits_are_told_before_anything_is_written);
    tcase_add_test(t, trouble_is_told_while_it_lasts);
    tcase_add_test(t, a_copy_draws_a_lineage_of_its_own);
    tcase_add_test(t, readonly_changes_nothing);
}
