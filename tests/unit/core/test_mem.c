#include "core/mem.h"
#include "tests/unit/check_main.h"

static bool all_zero(const void *p, size_t n)
{
    const unsigned char *at = p;
    for (size_t i = 0; i < n; i++)
        if (at[i])
            return false;
    return true;
}

START_TEST(copies)
{
    ck_assert_ptr_null(mem_dup(NULL));
    char *p = mem_dup("abc");
    ck_assert_str_eq(p, "abc");
    p = mem_grow(p, 5000);
    ck_assert_str_eq(p, "abc");
    free(p);
    p = mem_dup_span((struct span){"ab\0cd", 4});
    ck_assert(memcmp(p, "ab\0c", 5) == 0);
    free(p);
    p = mem_dup_span((struct span){NULL, 0});
    ck_assert_str_eq(p, "");
    free(p);
    p = mem_alloc(1000);
    ck_assert(all_zero(p, 1000));
    free(p);
    free(mem_alloc(0));
}
END_TEST

/* Sizes on both sides of a block: every piece is zeroed, aligned, its own, and stays as it was written. */
START_TEST(arena_pieces_are_apart)
{
    enum { PIECES = 600 };
    static unsigned char *pieces[PIECES];
    static size_t sizes[PIECES];
    uint64_t state = check_seed();
    struct arena *a = arena_new();
    for (size_t i = 0; i < PIECES; i++) {
        uint64_t r = check_random(&state);
        sizes[i] = r % 17 == 0 ? 16000 + r / 17 % 1000 : r % 13 == 0 ? 100000 : 1 + r % 300;
        pieces[i] = arena_alloc(a, sizes[i]);
        ck_assert_uint_eq((uintptr_t)pieces[i] % 16, 0);
        ck_assert(all_zero(pieces[i], sizes[i]));
        memset(pieces[i], (int)(i % 255) + 1, sizes[i]);
    }
    for (size_t i = 0; i < PIECES; i++) { /* all one byte: the first is right and each is as the one before */
        ck_assert_uint_eq(pieces[i][0], i % 255 + 1);
        ck_assert(memcmp(pieces[i], pieces[i] + 1, sizes[i] - 1) == 0);
    }
    arena_free(&a);
    ck_assert_ptr_null(a);
    arena_free(&a);
}
END_TEST

START_TEST(arena_copies)
{
    struct arena *a = arena_new();
    ck_assert_str_eq(arena_dup(a, SPAN_LIT("text")), "text");
    ck_assert_str_eq(arena_dup(a, (struct span){NULL, 0}), "");
    char *first = arena_alloc(a, 0), *second = arena_alloc(a, 1);
    ck_assert(first && second);
    /* A large thing does not end the block that is in use. */
    char *before = arena_alloc(a, 16), *large = arena_alloc(a, 1 << 20), *after = arena_alloc(a, 16);
    ck_assert_ptr_eq(after, before + 16);
    ck_assert(all_zero(large, 1 << 20));
    arena_free(&a);
}
END_TEST

CHECK_SUITE("core mem", t)
{
    tcase_add_test(t, copies);
    tcase_add_test(t, arena_pieces_are_apart);
    tcase_add_test(t, arena_copies);
}
