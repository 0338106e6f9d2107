/* The directory as an object store: names, provisional objects, order, lines, damage. */
#include "faulty.h"
#include "staging/archive.h"
#include "staging/manifest_live.h"
#include "staging/store.h"
#include "tests/unit/support/disk.h"
#include <check.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

static struct scratch_dir dir;

static void setup(void)
{
    scratch_dir_make(&dir);
}

static void teardown(void)
{
    scratch_dir_remove(&dir);
}

static struct store *open_store(const struct io *io)
{
    struct store *s = NULL;
    struct err err;
    ck_assert_msg(store_open_dir(io, dir.path, &s, &err), "%s", err.msg);
    return s;
}

static void put(struct store *s, const char *key, const char *text)
{
    struct store_writer *w;
    struct err err;
    ck_assert_msg(s->ops->create(s, "node.events.1", &w, &err), "%s", err.msg);
    ck_assert_msg(s->ops->write(w, span_of(text), &err), "%s", err.msg);
    ck_assert_msg(s->ops->commit(&w, key, &err), "%s", err.msg);
    ck_assert_ptr_null(w);
}

static bool gather_key(void *ctx, const char *key)
{
    buf_addz(ctx, key);
    buf_addc(ctx, '\n');
    return true;
}

static bool gather_piece(void *ctx, struct span bytes)
{
    buf_adds(ctx, bytes);
    return true;
}

static void listed(struct store *s, const char *prefix, const char *expected)
{
    struct buf keys = {0};
    struct err err;
    ck_assert_msg(s->ops->list(s, prefix, gather_key, &keys, &err), "%s", err.msg);
    ck_assert_str_eq(buf_z(&keys), expected);
    buf_release(&keys);
}

static void content(struct store *s, const char *key, const char *expected)
{
    struct buf bytes = {0};
    struct err err;
    ck_assert_msg(s->ops->read(s, key, gather_piece, &bytes, &err), "%s", err.msg);
    ck_assert_str_eq(buf_z(&bytes), expected);
    buf_release(&bytes);
}

START_TEST(an_object_appears_whole)
{
    struct store *s = open_store(io_posix());
    struct store_writer *w;
    struct err err;
    ck_assert(s->ops->create(s, "n.events.x", &w, &err));
    ck_assert(s->ops->write(w, SPAN_LIT("half"), &err));
    listed(s, "", "");
    listed(s, STORE_PROVISIONAL, STORE_PROVISIONAL "n.events.x\n");
    ck_assert(s->ops->write(w, SPAN_LIT(" and half"), &err));
    ck_assert(s->ops->commit(&w, "a/b/c.zst", &err));
    listed(s, "", "a/b/c.zst\n");
    listed(s, STORE_PROVISIONAL, "");
    content(s, "a/b/c.zst", "half and half");
    put(s, "a/b/c.zst", "replaced");
    content(s, "a/b/c.zst", "replaced");
    ck_assert(s->ops->remove(s, "a/b/c.zst", &err));
    ck_assert(s->ops->remove(s, "a/b/c.zst", &err));
    listed(s, "", "");
    ck_assert(!s->ops->read(s, "a/b/c.zst", gather_piece, NULL, &err));
    ck_assert_int_eq(err.cls, ERR_INPUT);
    store_close(&s);
}
END_TEST

START_TEST(an_aborted_object_leaves_nothing)
{
    struct store *s = open_store(io_posix());
    struct store_writer *w;
    struct err err;
    ck_assert(s->ops->create(s, "n.events.x", &w, &err));
    s->ops->abort(&w);
    s->ops->abort(&w);
    listed(s, STORE_PROVISIONAL, "");
    store_close(&s);
}
END_TEST

START_TEST(keys_come_in_byte_order)
{
    struct store *s = open_store(io_posix());
    put(s, "a/x.zst", "");
    put(s, "a-b/x.zst", "");
    put(s, "a.zst", "");
    put(s, "b/y/2.zst", "");
    put(s, "b/y/10.zst", "");
    put(s, "b/z.txt", "");
    listed(s, "", "a-b/x.zst\na.zst\na/x.zst\nb/y/10.zst\nb/y/2.zst\nb/z.txt\n");
    listed(s, "b/", "b/y/10.zst\nb/y/2.zst\nb/z.txt\n");
    listed(s, "absent/", "");
    store_close(&s);
}
END_TEST

START_TEST(a_removed_folder_comes_back)
{
    struct store *s = open_store(io_posix());
    char path[600];
    put(s, "a/b/1.zst", "1");
    (void)snprintf(path, sizeof(path), "%s/a/b/1.zst", dir.path);
    ck_assert_int_eq(unlink(path), 0);
    (void)snprintf(path, sizeof(path), "%s/a/b", dir.path);
    ck_assert_int_eq(rmdir(path), 0);
    put(s, "a/b/2.zst", "2");
    content(s, "a/b/2.zst", "2");
    store_close(&s);
}
END_TEST

static const struct {
    const char *key;
    bool valid;
} keys[] = {
    {"a", true}, {"a/b=c/d_e-f.g", true}, {"", false}, {"/a", false}, {"a/", false}, {"a//b", false}, {"../a", false},
    {"a/../b", false}, {"a b", false}, {"a\nb", false}, {"\xc3\xa9", false},
};

START_TEST(keys_have_a_form)
{
    ck_assert_msg(store_key_valid(keys[_i].key) == keys[_i].valid, "%s", keys[_i].key);
}
END_TEST

/* Every operation fails in turn; an object is there whole or not at all, and a later try succeeds. */
START_TEST(every_operation_may_fail)
{
    struct err err;
    for (unsigned n = 1;; n++) {
        struct faulty f;
        struct store *s;
        faulty_init(&f);
        s = open_store(&f.io);
        faulty_fail_at(&f, n, _i == 1, _i == 2 ? -ENOSPC : -EIO);
        struct store_writer *w = NULL;
        bool ok = s->ops->create(s, "n.events.1", &w, &err) && s->ops->write(w, SPAN_LIT("bytes"), &err) &&
                  s->ops->commit(&w, "a/dt=1/x.zst", &err);
        bool reached = f.failed > 0;
        faulty_heal(&f);
        if (!ok) {
            ck_assert_msg(err.cls == ERR_DURABLE || err.cls == ERR_FULL, "%s", err.msg);
            if (w)
                s->ops->abort(&w);
            put(s, "a/dt=1/x.zst", "bytes");
        }
        content(s, "a/dt=1/x.zst", "bytes");
        listed(s, "", "a/dt=1/x.zst\n");
        ck_assert(s->ops->remove(s, "a/dt=1/x.zst", &err));
        store_close(&s);
        if (!reached)
            break;
        ck_assert_uint_lt(n, 200);
    }
}
END_TEST

START_TEST(names_round_trip)
{
    struct object_name n = {.source = SPAN_LIT("stripe"), .table = SPAN_LIT("invoices"), .date = SPAN_LIT("2026-05-01"),
                            .node = SPAN_LIT("slu.ice-0a"), .lane = SPAN_LIT("replay-events"), .transform = SPAN_LIT("00ff"),
                            .first = 7, .last = UINT64_MAX}, back;
    struct buf key = {0};
    object_name_write(&key, &n);
    ck_assert_str_eq(buf_z(&key), "stripe/invoices/dt=2026-05-01/slu.ice-0a.replay-events.00000000000000000007-"
                                  "18446744073709551615.00ff.ndjson.zst");
    ck_assert(object_name_parse(buf_span(&key), &back));
    ck_assert(span_eq(back.source, n.source) && span_eq(back.table, n.table) && span_eq(back.date, n.date));
    ck_assert(span_eq(back.node, n.node) && span_eq(back.lane, n.lane) && span_eq(back.transform, n.transform));
    ck_assert_uint_eq(back.first, n.first);
    ck_assert_uint_eq(back.last, n.last);
    ck_assert(!back.gzip);
    n.gzip = true;
    buf_clear(&key);
    object_name_write(&key, &n);
    ck_assert_str_eq(buf_z(&key) + key.n - strlen(".00ff.ndjson.gz"), ".00ff.ndjson.gz");
    ck_assert(object_name_parse(buf_span(&key), &back));
    ck_assert(back.gzip && span_eq(back.transform, n.transform));
    buf_release(&key);
}
END_TEST

static const char *const no_names[] = {
    "",
    "a/b/c",
    "a/b/dt=2026-05-01/n.l.00000000000000000001-00000000000000000002.t.ndjson",
    "a/b/dt=2026-05-01/n.l.1-2.t.ndjson.zst",
    "a/b/dt=2026-05-01/l.00000000000000000001-00000000000000000002.t.ndjson.zst",
    "a/b/2026-05-01/n.l.00000000000000000001-00000000000000000002.t.ndjson.zst",
    "a/b/dt=2026-05-01/n.l.00000000000000000001-99999999999999999999.t.ndjson.zst",
    "a/b/dt=2026-05-01/n.l.00000000000000000001-00000000000000000002..ndjson.zst",
};

START_TEST(other_names_are_refused)
{
    struct object_name n;
    ck_assert_msg(!object_name_parse(span_of(no_names[_i]), &n), "%s", no_names[_i]);
}
END_TEST

START_TEST(archive_names_round_trip)
{
    static const char *const others[] = {
        "_archive/events/n.events.00000000000000000001-00000000000000000002.00000000000000000003.seg.zst",
        "_archive/events/n.backfill.00000000000000000001-00000000000000000002.00000000000000000003-00000000000000000004.seg.zst",
        "_archive/events/n.events.00000000000000000001-0000000000000000002x.00000000000000000003-00000000000000000004.seg.zst",
        "_archive/events/.events.00000000000000000001-00000000000000000002.00000000000000000003-00000000000000000004.seg.zst",
        "_archive/events.seg.zst", "_archive/", ".seg.zst", "",
    };
    struct archive_name n = {.node = SPAN_LIT("sluice-0a"), .lane = SPAN_LIT("events"), .first = 1, .last = 9, .from_us = 5,
                             .until_us = UINT64_MAX}, back;
    struct buf key = {0};
    archive_name_write(&key, &n);
    ck_assert_str_eq(buf_z(&key), "_archive/events/sluice-0a.events.00000000000000000001-00000000000000000009."
                                  "00000000000000000005-18446744073709551615.seg.zst");
    ck_assert(store_key_valid(buf_z(&key)) && archive_name_parse(buf_span(&key), &back));
    ck_assert(span_eq(back.node, n.node) && span_eq(back.lane, n.lane));
    ck_assert(back.first == 1 && back.last == 9 && back.from_us == 5 && back.until_us == UINT64_MAX);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        ck_assert_msg(!archive_name_parse(span_of(others[i]), &back), "%s", others[i]);
    buf_release(&key);
}
END_TEST

static bool gather_line(void *ctx, struct span line, struct err *err)
{
    (void)err;
    buf_addf(ctx, "%zu:%.*s;", line.n, (int)(line.n > 4 ? 4 : line.n), line.p);
    return true;
}

static void pack(struct buf *out, struct span text)
{
    size_t bound = ZSTD_compressBound(text.n);
    ck_assert(buf_reserve(out, bound));
    size_t n = ZSTD_compress(out->p + out->n, bound, text.p, text.n, 1);
    ck_assert(!ZSTD_isError(n));
    out->n += n;
}

static void put_bytes(struct store *s, const char *key, struct span bytes)
{
    struct store_writer *w;
    struct err err;
    ck_assert(s->ops->create(s, "n", &w, &err) && s->ops->write(w, bytes, &err) && s->ops->commit(&w, key, &err));
}

START_TEST(lines_cross_frames)
{
    struct store *s = open_store(io_posix());
    struct buf object = {0}, lines = {0}, big = {0};
    struct err err;
    pack(&object, SPAN_LIT("one\ntw"));
    pack(&object, SPAN_LIT("o\n\nthr"));
    pack(&object, SPAN_LIT("ee\n"));
    for (int i = 0; i < 300000; i++)
        buf_addc(&big, (char)('a' + i % 26));
    buf_addc(&big, '\n');
    pack(&object, buf_span(&big));
    put_bytes(s, "t/x.zst", buf_span(&object));
    ck_assert_msg(object_lines(s, "t/x.zst", gather_line, &lines, &err), "%s", err.msg);
    ck_assert_str_eq(buf_z(&lines), "3:one;3:two;0:;5:thre;300000:abcd;");
    /* Every shorter object is either refused or ends at a frame and a line. */
    for (size_t n = 1; n < object.n; n += n < 60 ? 1 : 997) {
        buf_clear(&lines);
        put_bytes(s, "t/y.zst", (struct span){object.p, n});
        if (object_lines(s, "t/y.zst", gather_line, &lines, &err))
            ck_assert_str_eq(buf_z(&lines), "3:one;3:two;0:;5:thre;");
        else
            ck_assert_msg(strstr(err.msg, "t/y.zst"), "%s", err.msg);
    }
    put_bytes(s, "t/z.zst", SPAN_LIT("not zstd at all"));
    ck_assert(!object_lines(s, "t/z.zst", gather_line, &lines, &err));
    ck_assert_int_eq(err.cls, ERR_INPUT);
    buf_release(&object);
    buf_release(&lines);
    buf_release(&big);
    store_close(&s);
}
END_TEST

static bool refuse_line(void *ctx, struct span line, struct err *err)
{
    (void)ctx;
    return err_set(err, ERR_FULL, "no room for %.*s", SPAN_ARG(line));
}

/* Two members, the first ending within a line, and every cut of them. */
START_TEST(gzip_is_read_by_its_name)
{
    static const char *const parts[] = {"one\ntw", "o\nthree\n"};
    unsigned char bytes[400];
    size_t n = 0, first = 0;
    struct err err;
    struct store *s = open_store(io_posix());
    for (size_t i = 0; i < 2; i++) {
        z_stream z = {0};
        ck_assert_int_eq(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in = (Bytef *)(uintptr_t)parts[i];
        z.avail_in = (uInt)strlen(parts[i]);
        z.next_out = bytes + n;
        z.avail_out = (uInt)(sizeof(bytes) - n);
        ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
        n += z.total_out;
        first = i ? first : n;
        (void)deflateEnd(&z);
    }
    for (size_t cut = 1; cut <= n; cut++) {
        struct buf lines = {0};
        put_bytes(s, "t/x.ndjson.gz", (struct span){(const char *)bytes, cut});
        bool ok = object_lines(s, "t/x.ndjson.gz", gather_line, &lines, &err);
        ck_assert_int_eq(ok, cut == n);
        if (ok)
            ck_assert_str_eq(buf_z(&lines), "3:one;3:two;5:thre;");
        else
            ck_assert_msg(err.cls == ERR_INPUT && strstr(err.msg, "t/x.ndjson.gz is damaged"), "%s", err.msg);
        buf_release(&lines);
    }
    bytes[first + 12] ^= 0xff;
    struct buf lines = {0};
    put_bytes(s, "t/y.gz", (struct span){(const char *)bytes, n});
    ck_assert(!object_lines(s, "t/y.gz", gather_line, &lines, &err));
    buf_release(&lines);
    store_close(&s);
}
END_TEST

#define FOLDER "s/t/dt=2026-05-01/"
#define PART(n) FOLDER "node.events.0000000000000000000" n "-0000000000000000000" n ".0.ndjson.zst"
#define JOINED(n) FOLDER "node.joined-events.00000000000000000001-0000000000000000000" n ".0.ndjson.zst"

static bool is_live(struct live *l, struct store *s, const char *key)
{
    struct err err;
    bool live;
    ck_assert_msg(live_see(l, s, key, &live, &err), "%s", err.msg);
    return live;
}

static bool sum_rows(void *ctx, struct span part, uint64_t rows)
{
    *(uint64_t *)ctx += rows * part.n;
    return true;
}

/* Of what a folder holds its manifest says what is live; it is replaced only by who has seen what it replaces. */
START_TEST(a_manifest_says_what_is_live)
{
    static const char one[] = "{\"format\":1,\"joined\":[{\"object\":\"" JOINED("2") "\",\"parts\":[{\"object\":\"" PART("1")
                              "\",\"rows\":2},{\"object\":\"" PART("2") "\",\"rows\":3}]}]}";
    struct store *s = open_store(io_posix());
    struct buf bytes = {0};
    char tag[STORE_TAG_MAX];
    struct live l;
    struct err err;
    bool swapped, found;
    uint64_t sum = 0;
    live_init(&l);
    ck_assert(is_live(&l, s, PART("1")) && !is_live(&l, s, JOINED("2")) && !is_live(&l, s, FOLDER "other"));
    ck_assert(s->ops->load(s, FOLDER MANIFEST_NAME, &bytes, tag, &err));
    ck_assert_str_eq(tag, "");
    ck_assert(s->ops->swap(s, FOLDER MANIFEST_NAME, "stale", SPAN_LIT(one), &swapped, &err) && !swapped);
    ck_assert(s->ops->swap(s, FOLDER MANIFEST_NAME, "", SPAN_LIT(one), &swapped, &err) && swapped);
    ck_assert(s->ops->swap(s, FOLDER MANIFEST_NAME, "", SPAN_LIT("{}"), &swapped, &err) && !swapped);
    ck_assert(!is_live(&l, s, FOLDER MANIFEST_NAME)); /* as a list gives it: before the objects */
    ck_assert(!is_live(&l, s, PART("1")) && !is_live(&l, s, PART("2")) && is_live(&l, s, PART("3")));
    ck_assert(is_live(&l, s, JOINED("2")) && !is_live(&l, s, JOINED("3")));
    ck_assert(live_parts(&l, JOINED("2"), sum_rows, &sum, &found, &err) && found);
    ck_assert_uint_eq(sum, 5 * strlen(PART("1")));
    ck_assert(live_parts(&l, JOINED("3"), sum_rows, &sum, &found, &err) && !found);
    ck_assert(is_live(&l, s, "s/t/dt=2026-05-02/node.events.00000000000000000001-00000000000000000001.0.ndjson.zst"));
    ck_assert(s->ops->load(s, FOLDER MANIFEST_NAME, &bytes, tag, &err) && span_eq(buf_span(&bytes), SPAN_LIT(one)));
    static const char *const damaged[] = {"", "{", "[]", "{\"format\":2,\"joined\":[]}", "{\"joined\":[]}", "null"};
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        bool live;
        put(s, FOLDER MANIFEST_NAME, damaged[i]);
        ck_assert_msg(!live_see(&l, s, FOLDER MANIFEST_NAME, &live, &err), "%s", damaged[i]);
        ck_assert_msg(strstr(err.msg, MANIFEST_NAME " is damaged") != NULL, "%s", err.msg);
        ck_assert_int_eq(err.cls, ERR_CONFIG);
    }
    put(s, FOLDER MANIFEST_NAME, "{\"format\":1,\"joined\":[1,{\"parts\":{\"a\":2}},{\"object\":\"" JOINED("2") "\",\"parts\":[{}]}]}");
    ck_assert(!is_live(&l, s, FOLDER MANIFEST_NAME) && is_live(&l, s, PART("1")) && is_live(&l, s, JOINED("2")));
    ck_assert(!live_parts(&l, JOINED("2"), sum_rows, &sum, &found, &err));
    live_release(&l);
    buf_release(&bytes);
    store_close(&s);
}
END_TEST

START_TEST(a_reader_may_stop_with_its_own_error)
{
    struct store *s = open_store(io_posix());
    struct buf object = {0};
    struct err err;
    pack(&object, SPAN_LIT("one\ntwo\n"));
    put_bytes(s, "t/x.zst", buf_span(&object));
    ck_assert(!object_lines(s, "t/x.zst", refuse_line, NULL, &err));
    ck_assert_int_eq(err.cls, ERR_FULL);
    ck_assert_str_eq(err.msg, "no room for one");
    buf_release(&object);
    store_close(&s);
}
END_TEST

/* A folder that cannot be looked at must not read as one that is not there. */
START_TEST(a_list_is_whole_or_fails)
{
    struct disk *d = disk_new(1);
    struct store *s = NULL;
    struct buf all = {0};
    struct err err;
    unsigned refused = 0;
    ck_assert(store_open_dir(disk_io(d), "/disk/objects", &s, &err));
    put(s, "a/t/dt=1/x.zst", "1");
    put(s, "a/u/dt=1/x.zst", "2");
    put(s, "b/t/dt=1/x.zst", "3");
    for (uint64_t n = 1; n == 1 || disk_failed(d); n++) {
        buf_clear(&all);
        disk_fail_at(d, n, DISK_EIO, false);
        if (s->ops->list(s, "", gather_key, &all, &err))
            ck_assert_str_eq(buf_z(&all), "a/t/dt=1/x.zst\na/u/dt=1/x.zst\nb/t/dt=1/x.zst\n");
        else
            refused++;
    }
    ck_assert_uint_gt(refused, 12);
    buf_release(&all);
    store_close(&s);
    disk_free(&d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *tc = tcase_create("directory");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, an_object_appears_whole);
    tcase_add_test(tc, an_aborted_object_leaves_nothing);
    tcase_add_test(tc, keys_come_in_byte_order);
    tcase_add_test(tc, a_removed_folder_comes_back);
    tcase_add_loop_test(tc, keys_have_a_form, 0, sizeof(keys) / sizeof(keys[0]));
    tcase_add_loop_test(tc, every_operation_may_fail, 0, 3);
    tcase_add_test(tc, names_round_trip);
    tcase_add_loop_test(tc, other_names_are_refused, 0, sizeof(no_names) / sizeof(no_names[0]));
    tcase_add_test(tc, a_list_is_whole_or_fails);
    tcase_add_test(tc, lines_cross_frames);
    tcase_add_test(tc, archive_names_round_trip);
    tcase_add_test(tc, a_manifest_says_what_is_live);
    tcase_add_test(tc, gzip_is_read_by_its_name);
    tcase_add_test(tc, a_reader_may_stop_with_its_own_error);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
