/* check_main: the end of every unit test program, so that none spells out a runner.
 *
 *   CHECK_SUITE("core json", t)
 *   {
 *       tcase_add_test(t, doubled_keys_last_wins);
 *       tcase_add_loop_test(t, documents, 0, CHECK_ROWS(cases));
 *   }
 *
 * makes main: it runs the suite in one process (CK_FORK=no unless the environment says otherwise, so
 * that sanitizers and debuggers see everything) and exits with 0 only if every test passed. A suite
 * without a test fails. `t` is the one TCase; set a longer limit with tcase_set_timeout(t, seconds).
 *
 * check_seed: the seed of a random test, printed with how to run it again; SEED in the environment
 * sets it. check_random: splitmix64 over it.
 * check_dir_make / check_dir_remove: a folder of the test's own below $TMPDIR or /tmp. */
#pragma once
#include <check.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CHECK_ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

#define CHECK_SUITE(name, tcase)                                                                   \
    static void check_fill(TCase *tcase);                                                          \
    int main(void)                                                                                 \
    {                                                                                              \
        return check_run(name, check_fill);                                                        \
    }                                                                                              \
    static void check_fill(TCase *tcase)

static inline int check_run(const char *name, void (*fill)(TCase *t))
{
    setenv("CK_FORK", "no", 0);
    Suite *suite = suite_create(name);
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 240);
    suite_add_tcase(suite, t);
    fill(t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int ran = srunner_ntests_run(runner), failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return ran > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static inline uint64_t check_seed(void)
{
    const char *set = getenv("SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = set ? strtoull(set, NULL, 10)
                        : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20 ^ (uint64_t)getpid();
    printf("seed %" PRIu64 " (run again with SEED=%" PRIu64 ")\n", seed, seed);
    fflush(stdout);
    return seed;
}

static inline uint64_t check_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

#define CHECK_DIR_MAX 512

static inline void check_dir_make(char out[CHECK_DIR_MAX])
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(out, CHECK_DIR_MAX, "%s/sluice-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_int_lt(n, CHECK_DIR_MAX);
    ck_assert_ptr_nonnull(mkdtemp(out));
}

static inline int check_dir_each(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static inline void check_dir_remove(const char *dir)
{
    ck_assert_int_eq(nftw(dir, check_dir_each, 16, FTW_DEPTH | FTW_PHYS), 0);
}
