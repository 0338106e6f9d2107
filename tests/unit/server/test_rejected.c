/* Rejected requests: bounds, form, files and their pace, faults, threads. The disk and its clock are simulated. */
#include "server/rejected.h"
#include "core/mem.h"
#include "tests/unit/support/disk.h"
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define DIR "/disk/data"
#define FILE_OF_A DIR "/rejected/a.json"
#define NOW_US UINT64_C(1777630272345678)
#define SECOND UINT64_C(1000000)

static const char *const names[] = {"a", "b", "c"};
static struct disk *disk;
static const struct io *io;

static void begin(void)
{
    struct err err = {0};
    disk = disk_new(1);
    io = disk_io(disk);
    ck_assert(io_mkdirs(io, DIR, 0700, &err));
}

static void end(void)
{
    disk_free(&disk);
}

static struct rejected *open_with(uint32_t keep_max, const char *warning)
{
    struct buf warnings;
    buf_init(&warnings, 1 << 16);
    struct rejected_opts o = {.io = io, .data_dir = DIR, .names = names, .n_names = 3, .keep_max = keep_max};
    struct rejected *r = rejected_open(&o, &warnings);
    if (warning)
        ck_assert_msg(strstr(buf_z(&warnings), warning) != NULL, "%s", buf_z(&warnings));
    else
        ck_assert_str_eq(buf_z(&warnings), "");
    buf_release(&warnings);
    return r;
}

static void keep(struct rejected *r, size_t source, unsigned id, struct span body)
{
    char url[64], text[64];
    snprintf(url, sizeof url, "/in/x?id=%u", id);
    snprintf(text, sizeof text, "h%u", id);
    struct http_header headers[] = {{SPAN_LIT("Host"), SPAN_LIT("x")}, {SPAN_LIT("X-Id"), span_of(text)}};
    struct record record = {.message = {.method = SPAN_LIT("POST"), .url = span_of(url), .headers = headers, .n_headers = 2, .body = body},
                            .received_us = NOW_US + id,
                            .outcome = OUT_BAD_SIGNATURE};
    rejected_keep(r, source, &record);
}

/* The list, parsed; `text` holds it. */
static struct json list_of(struct rejected *r, size_t source, size_t max, struct buf *text, size_t n)
{
    struct json list;
    struct err err = {0};
    buf_init(text, REJECTED_FILE_MAX);
    ck_assert_uint_eq(rejected_newest(r, source, max, text), n);
    ck_assert_msg(json_parse(buf_span(text), &list, &err), "%s", err.msg);
    ck_assert_uint_eq(json_count(list), n);
    return list;
}

static void check_ids(struct rejected *r, size_t source, size_t max, const unsigned *ids, size_t n)
{
    struct buf text;
    struct json list = list_of(r, source, max, &text, n);
    for (size_t i = 0; i < n; i++) {
        char url[64];
        snprintf(url, sizeof url, "/in/x?id=%u", ids[i]);
        ck_assert(json_eqz(json_get(json_at(list, i), SPAN_LIT("url")), url));
    }
    buf_release(&text);
}

static void write_now(struct rejected *r)
{
    struct err err = {0};
    ck_assert_msg(rejected_write(r, true, &err), "%s", err.msg);
}

/* ---- bounds ---- */

START_TEST(the_newest_stay)
{
    struct rejected *r = open_with(3, NULL);
    check_ids(r, 0, SIZE_MAX, NULL, 0);
    for (unsigned i = 1; i <= 5; i++)
        keep(r, 0, i, SPAN_LIT("{}"));
    keep(r, 1, 9, SPAN_LIT(""));
    check_ids(r, 0, SIZE_MAX, (unsigned[]){5, 4, 3}, 3);
    check_ids(r, 0, 2, (unsigned[]){5, 4}, 2);
    check_ids(r, 0, 0, NULL, 0);
    check_ids(r, 1, SIZE_MAX, (unsigned[]){9}, 1);
    check_ids(r, 2, SIZE_MAX, NULL, 0);
    rejected_close(&r);
    ck_assert_ptr_null(r);
}
END_TEST

START_TEST(memory_is_bounded)
{
    struct rejected *r = open_with(100000, NULL);
    char *body = mem_alloc(1 << 20);
    memset(body, 0xfe, 1 << 20);
    for (unsigned i = 1; i <= 300; i++)
        keep(r, 0, i, (struct span){body, 1 << 20});
    struct buf text;
    buf_init(&text, REJECTED_FILE_MAX);
    size_t n = rejected_newest(r, 0, SIZE_MAX, &text);
    ck_assert_uint_ge(n, REJECTED_BYTES_MAX / REJECTED_BODY_MAX - 2);
    ck_assert_uint_lt(n, REJECTED_BYTES_MAX / REJECTED_BODY_MAX);
    ck_assert(buf_ok(&text) && strstr(buf_z(&text), "id=300\"") && !strstr(buf_z(&text), "id=200\""));
    buf_release(&text);
    /* One that alone is too large is not kept, and drives nothing out. */
    struct http_header big = {{body, REJECTED_BYTES_MAX / 8}, {body, REJECTED_BYTES_MAX / 8}};
    struct http_header many[] = {big, big, big, big, big};
    struct record record = {.message = {.method = SPAN_LIT("POST"), .url = SPAN_LIT("/"), .headers = many, .n_headers = 5},
                            .outcome = OUT_EXPIRED};
    rejected_keep(r, 0, &record);
    buf_init(&text, REJECTED_FILE_MAX);
    ck_assert_uint_eq(rejected_newest(r, 0, SIZE_MAX, &text), n);
    buf_release(&text);
    rejected_close(&r);
    free(body);
}
END_TEST

START_TEST(small_ones_drive_out_large_ones)
{
    struct rejected *r = open_with(2000, NULL);
    char *body = mem_alloc(REJECTED_BODY_MAX);
    for (unsigned i = 0; i < 100; i++)
        keep(r, 0, i, (struct span){body, REJECTED_BODY_MAX});
    for (unsigned i = 100; i < 2200; i++)
        keep(r, 0, i, SPAN_LIT("{}"));
    struct buf text;
    list_of(r, 0, SIZE_MAX, &text, 2000);
    ck_assert_ptr_null(strstr(buf_z(&text), "AAAAAAAAAAAAAAAA"));
    buf_release(&text);
    rejected_close(&r);
    free(body);
}
END_TEST

static const struct {
    size_t bytes;
    bool cut;
} bodies[] = {{0, false}, {1, false}, {REJECTED_BODY_MAX, false}, {REJECTED_BODY_MAX + 1, true}, {1000000, true}};

START_TEST(long_bodies_are_cut)
{
    struct rejected *r = open_with(10, NULL);
    char *body = mem_alloc(1000001);
    for (size_t i = 0; i < 1000000; i++)
        body[i] = (char)(i * 31);
    keep(r, 0, 1, (struct span){body, bodies[_i].bytes});
    struct buf text;
    struct record record;
    ck_assert(record_read(json_at(list_of(r, 0, 1, &text, 1), 0), &record));
    size_t n = bodies[_i].cut ? REJECTED_BODY_MAX : bodies[_i].bytes;
    ck_assert(span_eq(record.message.body, (struct span){body, n}));
    ck_assert_int_eq(record.body_cut, bodies[_i].cut);
    ck_assert_uint_eq(record.body_bytes, bodies[_i].cut ? bodies[_i].bytes : 0);
    record_release(&record);
    buf_release(&text);
    rejected_close(&r);
    free(body);
}
END_TEST

/* ---- files ---- */

START_TEST(all_of_it_survives)
{
    static const struct http_header headers[] = {{SPAN_LIT("A"), SPAN_LIT("\"q\" \\ \t")}, {SPAN_LIT("A"), SPAN_LIT("")},
                                                 {SPAN_LIT("Zoë"), SPAN_LIT("€")}};
    static const struct record records[] = {
        {.message = {.method = SPAN_LIT("POST"), .url = SPAN_LIT("/in/a?x=%20\"&y"), .headers = headers, .n_headers = 3,
                     .body = {"\0\xff\n\x80", 4}}, .received_us = NOW_US, .outcome = OUT_EXPIRED, .scheme = SPAN_LIT("v1")},
        {.message = {.method = SPAN_LIT("PUT"), .url = SPAN_LIT("/")}, .received_us = NOW_US + 1, .outcome = OUT_CANNOT_JUDGE,
         .body_cut = true, .body_bytes = 77},
        {.message = {.method = SPAN_LIT("POST"), .url = SPAN_LIT("/in/a")}, .outcome = OUT_MALFORMED, .body_cut = true, .blanked = true},
    };
    struct rejected *r = open_with(10, NULL);
    for (size_t i = 0; i < 3; i++)
        rejected_keep(r, 0, &records[i]);
    struct buf before, after, file;
    struct json list = list_of(r, 0, SIZE_MAX, &before, 3);
    for (size_t i = 0; i < 3; i++) {
        struct record got;
        const struct record *put = &records[2 - i];
        ck_assert(record_read(json_at(list, i), &got));
        ck_assert(span_eq(got.message.method, put->message.method) && span_eq(got.message.url, put->message.url));
        ck_assert(span_eq(got.message.body, put->message.body) && span_eq(got.scheme, put->scheme));
        ck_assert_uint_eq(got.message.n_headers, put->message.n_headers);
        for (size_t k = 0; k < got.message.n_headers; k++)
            ck_assert(span_eq(got.headers[k].name, headers[k].name) && span_eq(got.headers[k].value, headers[k].value));
        ck_assert_uint_eq(got.received_us, put->received_us);
        ck_assert_int_eq(got.outcome, put->outcome);
        ck_assert(got.body_cut == put->body_cut && got.body_bytes == put->body_bytes && got.blanked == put->blanked);
        record_release(&got);
    }
    write_now(r);
    rejected_close(&r);
    disk_cut_power(disk);
    r = open_with(10, NULL);
    list_of(r, 0, SIZE_MAX, &after, 3);
    ck_assert(span_eq(buf_span(&before), buf_span(&after)));
    size_t n;
    struct err err = {0};
    buf_init(&file, REJECTED_FILE_MAX);
    ck_assert_msg(rejected_read_file(io, DIR, "a", 1, &file, &n, &err), "%s", err.msg);
    ck_assert_uint_eq(n, 1);
    buf_clear(&after);
    rejected_newest(r, 0, 1, &after);
    ck_assert(span_eq(buf_span(&file), buf_span(&after)));
    uint64_t operations = disk_operations(disk);
    write_now(r); /* nothing is new */
    ck_assert_uint_eq(disk_operations(disk), operations);
    buf_clear(&file);
    ck_assert(rejected_read_file(io, DIR, "c", 9, &file, &n, &err) && n == 0);
    rejected_close(&r);
    buf_release(&before);
    buf_release(&after);
    buf_release(&file);
}
END_TEST

START_TEST(fewer_are_kept_after_a_change)
{
    struct rejected *r = open_with(5, NULL);
    for (unsigned i = 1; i <= 5; i++)
        keep(r, 0, i, SPAN_LIT("{}"));
    write_now(r);
    rejected_close(&r);
    r = open_with(2, NULL);
    check_ids(r, 0, SIZE_MAX, (unsigned[]){5, 4}, 2);
    write_now(r);
    rejected_close(&r);
    r = open_with(5, NULL);
    check_ids(r, 0, SIZE_MAX, (unsigned[]){5, 4}, 2);
    rejected_close(&r);
    r = open_with(0, NULL); /* none: and those of before go */
    ck_assert(!rejected_keeps(r));
    keep(r, 0, 6, SPAN_LIT("{}"));
    check_ids(r, 0, SIZE_MAX, NULL, 0);
    write_now(r);
    rejected_close(&r);
    ck_assert_int_eq(disk_size(disk, FILE_OF_A), -1);
}
END_TEST

START_TEST(a_flood_is_written_slowly)
{
    struct rejected *r = open_with(100, NULL);
    struct err err = {0};
    char *body = mem_alloc(REJECTED_BODY_MAX);
    keep(r, 0, 1, SPAN_LIT("{}"));
    ck_assert(rejected_write(r, false, &err)); /* after a quiet time at once */
    int64_t first = disk_size(disk, FILE_OF_A);
    ck_assert_int_gt(first, 0);
    keep(r, 0, 2, SPAN_LIT("{}"));
    uint64_t operations = disk_operations(disk);
    ck_assert(rejected_write(r, false, &err));
    ck_assert_uint_eq(disk_operations(disk), operations);
    io->world->sleep_us(io, SECOND);
    ck_assert(rejected_write(r, false, &err));
    ck_assert_int_gt(disk_size(disk, FILE_OF_A), first);
    /* A thousand seconds, each with a forgery of the longest kind and a look. */
    int64_t written = 0;
    uint64_t from = io->world->monotonic_us(io), last_operations = disk_operations(disk);
    for (unsigned i = 0; i < 1000; i++) {
        keep(r, 0, i, (struct span){body, REJECTED_BODY_MAX});
        ck_assert(rejected_write(r, false, &err));
        if (disk_operations(disk) != last_operations)
            written += disk_size(disk, FILE_OF_A);
        last_operations = disk_operations(disk);
        io->world->sleep_us(io, SECOND);
    }
    uint64_t seconds = (io->world->monotonic_us(io) - from) / SECOND;
    ck_assert_int_gt(written, 0);
    ck_assert_int_le(written, (int64_t)(seconds * REJECTED_BYTES_PER_S + 2 * REJECTED_BYTES_MAX));
    rejected_close(&r);
    free(body);
}
END_TEST

static const struct {
    const char *text, *warning;
    size_t n; /* that are read all the same */
} files[] = {
    {"", "a: the rejected requests of before are lost", 0},
    {"{}", "is not a list", 0},
    {"[{\"format\":1", "a: the rejected requests of before are lost", 0},
    {"[]", NULL, 0},
    {"[1,null,\"x\",[],{}]", NULL, 0},
    {"[{\"format\":2,\"received_at\":\"2026-05-01T10:11:12Z\",\"method\":\"POST\",\"url\":\"/\",\"headers\":[],\"body_base64\":\"\"}]", NULL, 0},
    {"[{\"format\":1,\"received_at\":\"2026-05-01T10:11:12Z\",\"method\":\"POST\",\"url\":\"/\",\"headers\":[],\"body_base64\":\"\",\"new\":1}]", NULL, 1},
    {"[{\"format\":1,\"received_at\":\"yesterday\",\"method\":\"POST\",\"url\":\"/\",\"headers\":[],\"body_base64\":\"\"}]", NULL, 0},
    {"[{\"format\":1,\"received_at\":\"2026-05-01T10:11:12Z\",\"method\":\"POST\",\"url\":\"/\",\"headers\":[[\"a\"]],\"body_base64\":\"\"}]", NULL, 0},
    {"[{\"format\":1,\"received_at\":\"2026-05-01T10:11:12Z\",\"method\":\"POST\",\"url\":\"/\",\"headers\":{},\"body_base64\":\"\"}]", NULL, 0},
    {"[{\"format\":1,\"received_at\":\"2026-05-01T10:11:12Z\",\"method\":\"POST\",\"url\":\"/\",\"headers\":[],\"body_base64\":\"!\"}]", NULL, 0},
    {"[{\"format\":1,\"received_at\":\"2026-05-01T10:11:12Z\",\"method\":\"POST\",\"url\":\"/\",\"headers\":[],\"body_base64\":\"QUJD\",\"body_bytes\":2}]", NULL, 0},
    {"[{\"format\":1,\"received_at\":\"2026-05-01T10:11:12Z\",\"method\":\"POST\",\"url\":\"/\",\"headers\":[],\"body_base64\":\"\",\"outcome\":\"odd\"}]", NULL, 0},
};

START_TEST(damaged_files_do_not_stop_a_start)
{
    struct err err = {0};
    ck_assert(io_mkdirs(io, DIR "/rejected", 0700, &err));
    ck_assert(io_write_file_atomic(io, FILE_OF_A, 0600, span_of(files[_i].text), &err));
    struct rejected *r = open_with(5, files[_i].warning);
    struct buf text;
    list_of(r, 0, SIZE_MAX, &text, files[_i].n);
    buf_release(&text);
    keep(r, 0, 7, SPAN_LIT("{}"));
    write_now(r);
    rejected_close(&r);
    r = open_with(5, NULL);
    list_of(r, 0, SIZE_MAX, &text, files[_i].n + 1);
    buf_release(&text);
    rejected_close(&r);
}
END_TEST

/* Every operation of a write fails once, or the machine ends there: the file has the old list or the new one. */
START_TEST(faults_leave_a_whole_file)
{
    static const enum disk_fault kinds[] = {DISK_EIO, DISK_ENOSPC, DISK_SHORT, DISK_END};
    for (uint64_t at = 1, done = 0; !done; at++) {
        end();
        begin();
        struct rejected *r = open_with(5, NULL);
        struct err err = {0};
        keep(r, 0, 1, SPAN_LIT("{}"));
        write_now(r);
        keep(r, 0, 2, SPAN_LIT("{}"));
        disk_fail_at(disk, at, kinds[_i], false);
        bool ok = rejected_write(r, true, &err);
        done = !disk_failed(disk);
        ck_assert(ok || !done);
        if (kinds[_i] != DISK_END) {
            disk_fail_at(disk, 0, DISK_EIO, false);
            write_now(r); /* tried again, if it was told as failed */
            check_ids(r, 0, SIZE_MAX, (unsigned[]){2, 1}, 2);
        }
        rejected_close(&r);
        disk_cut_power(disk);
        r = open_with(5, NULL);
        struct buf text;
        buf_init(&text, REJECTED_FILE_MAX);
        size_t n = rejected_newest(r, 0, SIZE_MAX, &text);
        ck_assert_msg(n >= (kinds[_i] == DISK_END && !ok ? 1 : 2), "operation %d: %zu are left", (int)at, n);
        buf_release(&text);
        rejected_close(&r);
    }
}
END_TEST

/* ---- threads ---- */

#define KEEPERS 8
#define EACH 1500u

struct shared {
    struct rejected *r;
    atomic_bool stop;
};
struct keeper {
    struct shared *shared;
    unsigned at;
};

static void *keep_many(void *arg)
{
    struct keeper *k = arg;
    char body[32];
    for (unsigned i = 0; i < EACH; i++) {
        unsigned id = k->at * EACH + i;
        int n = snprintf(body, sizeof body, "{\"id\":%u}", id);
        keep(k->shared->r, id % 3, id, (struct span){body, (size_t)n});
    }
    return NULL;
}

/* A request is never seen in part: its URL, its header and its body speak of the same. */
static void check_whole(struct rejected *r, size_t source)
{
    struct buf text;
    struct json list, item;
    buf_init(&text, REJECTED_FILE_MAX);
    rejected_newest(r, source, 20, &text);
    ck_assert(json_parse(buf_span(&text), &list, NULL));
    struct json_iter it = json_iter(list);
    while (json_next(&it, NULL, &item)) {
        struct record record;
        char body[32], header[32];
        unsigned id;
        ck_assert(record_read(item, &record));
        ck_assert_int_eq(sscanf(record.message.url.p, "/in/x?id=%u", &id), 1);
        snprintf(body, sizeof body, "{\"id\":%u}", id);
        snprintf(header, sizeof header, "h%u", id);
        ck_assert(span_eqz(record.message.body, body) && span_eqz(record.headers[1].value, header));
        ck_assert_uint_eq(id % 3, source);
        record_release(&record);
    }
    buf_release(&text);
}

static void *look_often(void *arg)
{
    struct shared *s = arg;
    for (size_t i = 0; !s->stop; i++)
        check_whole(s->r, i % 3);
    return NULL;
}

static void *write_often(void *arg)
{
    struct shared *s = arg;
    struct err err = {0};
    while (!s->stop)
        ck_assert(rejected_write(s->r, true, &err));
    return NULL;
}

START_TEST(many_threads)
{
    struct shared shared = {.r = open_with(20, NULL)};
    struct keeper keepers[KEEPERS];
    pthread_t threads[KEEPERS], looker, writer;
    ck_assert_int_eq(pthread_create(&looker, NULL, look_often, &shared), 0);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_often, &shared), 0);
    for (unsigned i = 0; i < KEEPERS; i++) {
        keepers[i] = (struct keeper){&shared, i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, keep_many, &keepers[i]), 0);
    }
    for (unsigned i = 0; i < KEEPERS; i++)
        pthread_join(threads[i], NULL);
    shared.stop = true;
    pthread_join(looker, NULL);
    pthread_join(writer, NULL);
    write_now(shared.r);
    rejected_close(&shared.r);
    struct rejected *r = open_with(20, NULL);
    for (size_t i = 0; i < 3; i++) {
        struct buf text;
        list_of(r, i, SIZE_MAX, &text, 20);
        buf_release(&text);
        check_whole(r, i);
    }
    rejected_close(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rejected");
    TCase *c = tcase_create("rejected");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, begin, end);
    suite_add_tcase(s, c);
    tcase_add_test(c, the_newest_stay);
    tcase_add_test(c, memory_is_bounded);
    tcase_add_test(c, small_ones_drive_out_large_ones);
    tcase_add_loop_test(c, long_bodies_are_cut, 0, (int)(sizeof bodies / sizeof bodies[0]));
    tcase_add_test(c, all_of_it_survives);
    tcase_add_test(c, fewer_are_kept_after_a_change);
    tcase_add_test(c, a_flood_is_written_slowly);
    tcase_add_loop_test(c, damaged_files_do_not_stop_a_start, 0, (int)(sizeof files / sizeof files[0]));
    tcase_add_loop_test(c, faults_leave_a_whole_file, 0, 4);
    tcase_add_test(c, many_threads);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
