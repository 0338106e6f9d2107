/* Damaged configurations: whatever is done to the text of a good one, it is read, or refused with words; never more. */
#include "harness.h"
#include <time.h>

static uint64_t state;

static size_t draw(size_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? (size_t)(state % below) : 0;
}

/* One hurt: a byte changed, a piece cut out, doubled or put elsewhere. Keeps the length within `max`. */
static size_t hurt(char *text, size_t n, size_t max)
{
    static const char bytes[] = "{}[]:,-&*!|>'\"#$\n\t ~?%@`\\\0\xff\xc3z0";
    size_t at = draw(n), k = 1 + draw(40);
    if (at + k > n)
        k = n - at;
    switch (draw(4)) {
    case 0:
        text[at] = bytes[draw(sizeof bytes - 1)];
        return n;
    case 1:
        memmove(text + at, text + at + k, n - at - k);
        return n - k;
    case 2:
        if (n + k > max)
            return n;
        memmove(text + at + k, text + at, n - at);
        return n + k;
    default: {
        char piece[64];
        size_t to = draw(n - k + 1);
        memcpy(piece, text + at, k);
        memcpy(text + to, piece, k);
        return n;
    }
    }
}

START_TEST(damage_is_refused_or_harmless)
{
    struct world w;
    struct err err = {0};
    const char *seed = getenv("SEED");
    char *example, path[1024];
    size_t size;
    state = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
    printf("SEED=%llu\n", (unsigned long long)state);
    state = state * 2 + 1;
    world_open(&w);
    ck_assert(io_read_file(io_posix(), SLUICE_ROOT "/config/sluice.example.yaml", 1 << 20, &example, &size, &err));
    size_t max = size + 4096, loaded = 0, refused = 0;
    char *text = malloc(max);
    for (int i = 0; i < 1500; i++) {
        size_t n = size;
        memcpy(text, example, size);
        for (size_t k = 1 + draw(4); k > 0 && n; k--)
            n = hurt(text, n, max);
        world_forget(&w);
        FILE *f = fopen(world_path(&w, "sluice.yaml", path), "wb");
        ck_assert_ptr_nonnull(f);
        ck_assert_uint_eq(fwrite(text, 1, n, f), n);
        fclose(f);
        w.config = config_load(path, &w.report, &w.err);
        loaded += w.config != NULL;
        refused += w.config == NULL;
        if (w.config) {
            ck_assert_uint_eq(w.report.count, 0);
            config_warnings(w.config, &w.report);
        } else {
            ck_assert_int_eq(w.err.cls, ERR_CONFIG);
            ck_assert_uint_gt(w.report.count, 0);
            ck_assert_uint_gt(w.report.text.n, 0);
        }
    }
    ck_assert_uint_gt(loaded, 10); /* damage to remarks */
    ck_assert_uint_gt(refused, 100);
    free(text);
    free(example);
    world_close(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config fuzz");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 240);
    suite_add_tcase(s, t);
    tcase_add_test(t, damage_is_refused_or_harmless);
    return run(s);
}
