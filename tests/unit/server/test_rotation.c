/* Secrets that are replaced in their files while deliveries come: no genuine one is refused, no forged one is taken. */
#include "door_world.h"
#include "tests/unit/check_main.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define OTHER "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
#define SENDERS 4
#define SWAPS 12
#define GRACE_US 3000000

static struct world w;
static struct verifier *other;

static void begin(void)
{
    struct verify_secret secret = {SPAN_LIT(OTHER), 0};
    struct err err = {0};
    world_new(&w);
    w.config.secret_grace_us = GRACE_US;
    ck_assert(verifier_of(w.manifests[SOURCE_DEMO], &secret, 1, NULL, 0, NULL, &other, &err));
}

static void end(void)
{
    verifier_free(&other);
    world_free(&w);
}

static unsigned send_signed(const struct verifier *by, const char *source, const char *id)
{
    char body[64];
    struct buf b;
    buf_init(&b, 1 << 20);
    snprintf(body, sizeof body, "{\"id\":\"%s\",\"type\":\"a.b\"}", id);
    buf_addf(&b, "POST /in/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n", source, strlen(body));
    sign_into(&w, by, span_of(body), id, &b);
    buf_addf(&b, "\r\n%s", body);
    struct answer a = ask(&w, buf_span(&b));
    buf_release(&b);
    return a.status;
}

static unsigned send_next(const struct verifier *by, const char *source)
{
    static _Atomic unsigned n;
    char id[32];
    snprintf(id, sizeof id, "evt_%u", atomic_fetch_add(&n, 1));
    return send_signed(by, source, id);
}

static void put(const char *path, const char *text)
{
    struct err err = {0};
    ck_assert(io_write_file_atomic(io_posix(), path, 0600, span_of(text), &err));
}

static void wait_for(const struct verifier *by, const char *source, unsigned status)
{
    for (int i = 0; i < 400 && send_next(by, source) != status; i++)
        usleep(20000);
    ck_assert_uint_eq(send_next(by, source), status);
}

START_TEST(a_replaced_secret_has_its_grace)
{
    world_start(&w);
    ck_assert_uint_eq(send_next(w.signer, "demo"), 200);
    ck_assert_uint_eq(send_next(other, "demo"), 401);
    put(w.secret_path, OTHER "\n");
    wait_for(other, "demo", 200);
    ck_assert_uint_eq(send_next(w.signer, "demo"), 200);
    wait_for(w.signer, "demo", 401); /* its grace is over */
    ck_assert_uint_eq(send_next(other, "demo"), 200);
}
END_TEST

START_TEST(a_file_that_is_gone_says_nothing)
{
    world_start(&w);
    ck_assert_int_eq(unlink(w.secret_path), 0);
    usleep(GRACE_US + 1500000);
    ck_assert_uint_eq(send_next(w.signer, "demo"), 200);
    put(w.secret_path, "");
    usleep(1500000);
    ck_assert_uint_eq(send_next(w.signer, "demo"), 200);
    put(w.secret_path, OTHER);
    wait_for(other, "demo", 200);
    ck_assert_uint_eq(send_next(w.signer, "demo"), 200);
}
END_TEST

START_TEST(the_first_secret_needs_no_restart)
{
    world_start(&w);
    ck_assert_uint_eq(send_next(w.signer, "mute"), 503);
    put(w.missing_path, SECRET);
    wait_for(w.signer, "mute", 200);
    ck_assert_uint_eq(send_next(other, "mute"), 401);
}
END_TEST

/* ---- under load, as the kubelet swaps a mounted secret: by a link to another folder ---- */

static atomic_bool done;
static atomic_uint refused;

static void *send_both(void *arg)
{
    (void)arg;
    while (!atomic_load(&done)) {
        atomic_fetch_add(&refused, send_next(w.signer, "demo") != 200);
        atomic_fetch_add(&refused, send_next(other, "demo") != 200);
    }
    return NULL;
}

static void write_version(unsigned n, const char *text)
{
    char path[400];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/v%u", w.dir, n);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/v%u/secret", w.dir, n);
    ck_assert(io_write_file_atomic(io_posix(), path, 0600, span_of(text), &err));
}

static void swap_to(unsigned n)
{
    char to[16], link[300], at[300];
    snprintf(to, sizeof to, "v%u", n);
    snprintf(link, sizeof link, "%s/..data_tmp", w.dir);
    snprintf(at, sizeof at, "%s/..data", w.dir);
    ck_assert_int_eq(symlink(to, link), 0);
    ck_assert_int_eq(rename(link, at), 0);
}

START_TEST(swapped_under_load)
{
    static char mounted[300];
    pthread_t senders[SENDERS];
    w.config.secret_grace_us = 60000000;
    write_version(0, SECRET);
    swap_to(0);
    snprintf(mounted, sizeof mounted, "%s/..data/secret", w.dir);
    w.secret.at = mounted;
    world_start(&w);
    write_version(1, OTHER);
    swap_to(1);
    wait_for(other, "demo", 200); /* from here on both are in flight */
    uint64_t before = counts_of(&w, "demo").by_outcome[OUT_BAD_SIGNATURE];
    atomic_store(&done, false);
    for (int i = 0; i < SENDERS; i++)
        ck_assert_int_eq(pthread_create(&senders[i], NULL, send_both, NULL), 0);
    for (unsigned i = 2; i < SWAPS; i++) {
        usleep(700000);
        write_version(i, i % 2 ? OTHER : SECRET);
        swap_to(i);
    }
    atomic_store(&done, true);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i], NULL);
    ck_assert_uint_eq(atomic_load(&refused), 0);
    ck_assert_uint_eq(counts_of(&w, "demo").by_outcome[OUT_BAD_SIGNATURE], before);
    struct verify_secret secret = {SPAN_LIT("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 0};
    struct verifier *forger;
    struct err err = {0};
    ck_assert(verifier_of(w.manifests[SOURCE_DEMO], &secret, 1, NULL, 0, NULL, &forger, &err));
    ck_assert_uint_eq(send_next(forger, "demo"), 401);
    verifier_free(&forger);
}
END_TEST

CHECK_SUITE("server rotation", t)
{
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, a_replaced_secret_has_its_grace);
    tcase_add_test(t, a_file_that_is_gone_says_nothing);
    tcase_add_test(t, the_first_secret_needs_no_restart);
    tcase_add_test(t, swapped_under_load);
}
