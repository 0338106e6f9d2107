/* docs/configuration.md and the example are as new as the rows. */
#include "harness.h"

static char *read_text(const char *path)
{
    char *text;
    size_t n;
    struct err err = {0};
    ck_assert_msg(io_read_file(io_posix(), path, 1 << 20, &text, &n, &err), "%s", err.msg);
    return text;
}

START_TEST(the_page_is_not_stale)
{
    static const char path[] = SLUICE_ROOT "/docs/configuration.md";
    struct buf page;
    struct err err = {0};
    buf_init(&page, 0);
    config_document(&page);
    ck_assert(buf_ok(&page));
    if (getenv("SLUICE_WRITE_DOCS"))
        ck_assert_msg(io_write_file_atomic(io_posix(), path, 0644, buf_span(&page), &err), "%s", err.msg);
    char *text = read_text(path);
    ck_assert_msg(strcmp(text, buf_z(&page)) == 0,
                  "docs/configuration.md is stale; run this test with SLUICE_WRITE_DOCS=1 and commit what it writes");
    free(text);
    buf_release(&page);
}
END_TEST

START_TEST(the_example_shows_every_key)
{
    struct buf page;
    buf_init(&page, 0);
    config_document(&page);
    char *text = read_text(SLUICE_ROOT "/config/sluice.example.yaml");
    unsigned keys = 0;
    for (const char *p = strstr(buf_z(&page), "\n| `"); p; p = strstr(p + 1, "\n| `")) {
        struct span rest, word = span_cut(span_of(p + 4), '`', &rest);
        char key[80];
        for (rest = word; rest.p;) /* the last of its words */
            word = span_cut(rest, '.', &rest);
        snprintf(key, sizeof key, "%.*s:", SPAN_ARG(word));
        ck_assert_msg(strstr(text, key) != NULL, "%s", key);
        keys++;
    }
    ck_assert_uint_gt(keys, 20);
    free(text);
    buf_release(&page);
}
END_TEST

/* The blocks of YAML on the page load, as they stand there. */
START_TEST(what_the_page_shows_is_right)
{
    struct world w;
    struct buf page, one;
    world_open(&w);
    buf_init(&page, 0);
    buf_init(&one, 0);
    config_document(&page);
    unsigned blocks = 0;
    for (const char *p = strstr(buf_z(&page), "```yaml\n"); p; p = strstr(p, "```yaml\n")) {
        const char *begin = p + 8, *end = strstr(begin, "```\n");
        ck_assert_ptr_nonnull(end);
        buf_clear(&one);
        if (strncmp(begin, "tables:", 7) == 0) { /* the settings of one source */
            buf_addz(&one, "sources:\n  demo:\n");
            for (struct span rest = {begin, (size_t)(end - begin)}; rest.n;) {
                struct span line = span_cut(rest, '\n', &rest);
                buf_addf(&one, "    %.*s\n", SPAN_ARG(line));
            }
        } else {
            buf_add(&one, begin, (size_t)(end - begin));
        }
        (void)world_good(&w, buf_z(&one));
        blocks++;
        p = end;
    }
    ck_assert_uint_eq(blocks, 3);
    buf_release(&one);
    buf_release(&page);
    world_close(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config document");
    TCase *t = tcase_create("all");
    suite_add_tcase(s, t);
    tcase_add_test(t, the_page_is_not_stale);
    tcase_add_test(t, the_example_shows_every_key);
    tcase_add_test(t, what_the_page_shows_is_right);
    return run(s);
}
