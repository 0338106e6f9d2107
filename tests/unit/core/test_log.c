/* The log writes to stderr, so each test reads there: into a file, and back as lines. */
#include "core/log.h"
#include "core/clock.h"
#include "core/json.h"
#include "tests/unit/check_main.h"
#include <fcntl.h>
#include <pthread.h>

static char dir[CHECK_DIR_MAX], path[CHECK_DIR_MAX + 64];
static int kept_fd = -1;
static struct buf got;

static void redirect(void)
{
    check_dir_make(dir);
    snprintf(path, sizeof path, "%s/stderr", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
    ck_assert_int_ge(fd, 0);
    kept_fd = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

/* stderr is itself again; `got` holds what was written. */
static void heard(void)
{
    static char part[65536];
    ssize_t n;
    int fd = open(path, O_RDONLY);
    dup2(kept_fd, STDERR_FILENO);
    close(kept_fd);
    buf_clear(&got);
    while ((n = read(fd, part, sizeof part)) > 0)
        buf_add(&got, part, (size_t)n);
    close(fd);
}

static void teardown(void)
{
    buf_release(&got);
    log_open(LOG_INFO, false);
    check_dir_remove(dir);
}

/* What follows time=… on the only line. */
static const char *after_time(void)
{
    const char *z = buf_z(&got);
    uint64_t us;
    ck_assert_msg(strncmp(z, "time=", 5) == 0 && got.n > 33, "%s", z);
    ck_assert_msg(clock_parse_iso((struct span){z + 5, 27}, &us), "%s", z);
    return z + 33;
}

START_TEST(a_line_of_pairs)
{
    log_warn("segment is damaged", "segment=%d offset=%s", 7, "12");
    heard();
    ck_assert_str_eq(after_time(), "level=warn msg=\"segment is damaged\" segment=7 offset=12\n");
}
END_TEST

START_TEST(levels)
{
    log_debug("never seen", "%s", "");
    log_open(LOG_WARN, false);
    log_info("not seen", "%s", "");
    log_error("seen", "%s", "");
    heard();
    ck_assert_str_eq(after_time(), "level=error msg=\"seen\"\n");
}
END_TEST

START_TEST(fields_cannot_forge_lines)
{
    log_info("m", "a=\"%s\"", "x\ntime=1 level=error\r\x1b[2J\x7f");
    heard();
    ck_assert_str_eq(after_time(), "level=info msg=\"m\" a=\"x time=1 level=error  [2J \"\n");
}
END_TEST

static struct json line_as_json(void)
{
    struct json v;
    struct err err = {0};
    ck_assert_msg(json_parse(buf_span(&got), &v, &err), "%s: %s", err.msg, buf_z(&got));
    return v;
}

START_TEST(a_line_of_json)
{
    log_open(LOG_INFO, true);
    log_error("it \"failed\"", "a=%d b=\"two words\" c=\"say \"so\"\" d= e=\"\" f=\"open", 1);
    heard();
    ck_assert_int_eq(buf_z(&got)[got.n - 1], '\n');
    struct json v = line_as_json();
    static const struct {
        const char *key, *value;
    } want[] = {{"level", "error"}, {"msg", "it \"failed\""}, {"a", "1"}, {"b", "two words"}, {"c", "say \"so\""},
                {"d", ""},          {"e", ""},                {"f", "open"}};
    for (int i = 0; i < CHECK_ROWS(want); i++)
        ck_assert_msg(json_eqz(json_get(v, span_of(want[i].key)), want[i].value), "%s: %s", want[i].key, buf_z(&got));
    struct buf at = {0};
    uint64_t us;
    ck_assert(json_text(json_get(v, SPAN_LIT("time")), &at) && clock_parse_iso(buf_span(&at), &us));
    buf_release(&at);
}
END_TEST

START_TEST(json_whatever_the_fields_are)
{
    uint64_t state = check_seed();
    static const char alphabet[] = "ab=\"\" \\\n\t\x80\xc3\xa9{},";
    log_open(LOG_INFO, true);
    for (int i = 0; i < 2000; i++) {
        char fields[64];
        size_t n = check_random(&state) % (sizeof fields - 1);
        for (size_t k = 0; k < n; k++)
            fields[k] = alphabet[check_random(&state) % (sizeof alphabet - 1)];
        fields[n] = 0;
        log_info("m", "%s", fields);
    }
    heard();
    struct span rest = buf_span(&got);
    size_t lines = 0;
    while (rest.n) {
        struct json v;
        struct err err = {0};
        struct span line = span_cut(rest, '\n', &rest);
        ck_assert_msg(json_parse(line, &v, &err), "%s: %.*s", err.msg, SPAN_ARG(line));
        lines++;
    }
    ck_assert_uint_eq(lines, 2000);
}
END_TEST

/* Of fields too long for a line the message stays, whole and in either form. */
START_TEST(too_long_is_left_out)
{
    struct buf big = {0};
    for (int i = 0; i < 40000; i++)
        buf_addc(&big, '\xff'); /* three bytes in JSON */
    log_open(LOG_INFO, _i == 1);
    log_info("m", "a=%s", buf_z(&big));
    big.p[30000] = 0;
    log_info("n", "a=%s", big.p);
    heard();
    struct span second, first = span_cut(buf_span(&got), '\n', &second);
    ck_assert_uint_lt(first.n, 200);
    ck_assert_uint_gt(second.n, 30000);
    ck_assert_int_eq(second.p[second.n - 1], '\n');
    struct json v;
    if (_i == 1)
        ck_assert(json_parse(first, &v, NULL) && json_parse(second, &v, NULL));
    buf_release(&big);
}
END_TEST

static size_t lines_heard(void)
{
    size_t n = 0;
    for (size_t i = 0; i < got.n; i++)
        n += got.p[i] == '\n';
    return n;
}

START_TEST(one_line_a_second)
{
    struct log_limit limit = {0}, other = {0};
    for (int i = 0; i < 100; i++)
        log_limited(&limit, LOG_WARN, "again", "n=%d", i);
    log_limited(&other, LOG_WARN, "another place", "n=%d", 0);
    ck_assert_uint_eq(limit.suppressed, 99);
    limit.last_us -= 1000000; /* a second later */
    log_limited(&limit, LOG_WARN, "again", "n=%d", 100);
    ck_assert_uint_eq(limit.suppressed, 0);
    heard();
    ck_assert_uint_eq(lines_heard(), 3);
    ck_assert(strstr(buf_z(&got), "msg=\"again\" n=0\n"));
    ck_assert(strstr(buf_z(&got), "msg=\"another place\" n=0\n"));
    ck_assert(strstr(buf_z(&got), "msg=\"again\" n=100 suppressed=99\n"));
}
END_TEST

static struct log_limit shared;

static void *chatter(void *arg)
{
    for (int i = 0; i < 500; i++) {
        log_info("one of many", "thread=%s n=%d text=\"%s\"", (const char *)arg, i, "something that takes some room");
        log_limited(&shared, LOG_INFO, "limited", "thread=%s", (const char *)arg);
    }
    return NULL;
}

START_TEST(lines_of_threads_do_not_mix)
{
    pthread_t threads[4];
    static char names[4][2] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, chatter, names[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    heard();
    struct span rest = buf_span(&got);
    size_t many = 0, limited = 0;
    while (rest.n) {
        struct span line = span_cut(rest, '\n', &rest);
        ck_assert_msg(line.n > 50 && span_starts(line, SPAN_LIT("time=")), "%.*s", SPAN_ARG(line));
        bool whole = memcmp(line.p + line.n - 6, " room\"", 6) == 0;
        many += whole;
        limited += !whole;
    }
    ck_assert_uint_eq(many, 2000);
    ck_assert_uint_ge(limited, 1);
    ck_assert_uint_eq(memmem(got.p, got.n, "suppressed=", 11) ? 2000 : limited + shared.suppressed, 2000);
}
END_TEST

CHECK_SUITE("core log", t)
{
    tcase_add_checked_fixture(t, redirect, teardown);
    tcase_add_test(t, a_line_of_pairs);
    tcase_add_test(t, levels);
    tcase_add_test(t, fields_cannot_forge_lines);
    tcase_add_test(t, a_line_of_json);
    tcase_add_test(t, json_whatever_the_fields_are);
    tcase_add_loop_test(t, too_long_is_left_out, 0, 2);
    tcase_add_test(t, one_line_a_second);
    tcase_add_test(t, lines_of_threads_do_not_mix);
}
