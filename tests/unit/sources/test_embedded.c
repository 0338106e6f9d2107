#include "core/io.h"
#include "sources/document.h"
#include "sources/embedded.h"
#include "sources/manifest.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The manifests that ship: each parses, says what it must, and survives being damaged. */

static struct manifest *load(const char *name)
{
    struct report r;
    struct err err = {0};
    report_init(&r);
    struct manifest *m = manifest_load(NULL, span_of(name), &r, &err);
    ck_assert_msg(m != NULL, "%s: %s\n%s", name, err.msg, buf_z(&r.text));
    report_release(&r);
    return m;
}

START_TEST(every_one_parses)
{
    const char *name;
    size_t n = 0;
    for (; manifest_embedded_name(n, &name); n++) {
        struct manifest *m = load(name);
        ck_assert_str_eq(m->name, name);
        ck_assert(m->generic || m->n_schemes > 0);
        ck_assert(m->title[0] && m->status[0]);
        manifest_free(&m);
    }
    ck_assert_uint_ge(n, 8);
}
END_TEST

static bool deletes_by(const struct table_rule *t, const char *type)
{
    for (size_t i = 0; i < t->n_deletes; i++) {
        for (size_t k = 0; t->deletes[i].types && t->deletes[i].types[k]; k++) {
            if (strcmp(t->deletes[i].types[k], type) == 0)
                return true;
        }
    }
    return false;
}

START_TEST(cancelled_rows_stay)
{
    struct manifest *m = load("stripe");
    const struct table_rule *subscriptions = manifest_table(m, SPAN_LIT("subscriptions"));
    ck_assert_uint_eq(subscriptions->n_deletes, 0);
    ck_assert(deletes_by(manifest_table(m, SPAN_LIT("customers")), "customer.deleted"));
    ck_assert(m->event.n_only == 1 && m->event.n_must == 1 && m->feed.present);
    const struct table_rule *lines = manifest_table(m, SPAN_LIT("invoice_lines"));
    ck_assert(lines->n_key == 2 && lines->since.kind == SINCE_NONE && strcmp(lines->for_each, "invoices") == 0);
    manifest_free(&m);
}
END_TEST

START_TEST(what_the_lists_lack)
{
    struct manifest *m = load("github");
    const struct table_rule *pulls = manifest_table(m, SPAN_LIT("pull_requests")), *commits = manifest_table(m, SPAN_LIT("commits"));
    ck_assert(!shape_carries(pulls, table_shape(pulls, true), SPAN_LIT("merged")));
    ck_assert(shape_carries(pulls, table_shape(pulls, false), SPAN_LIT("merged")));
    ck_assert_int_eq(pulls->since.kind, SINCE_STOP);
    ck_assert(shape_carries(commits, table_shape(commits, false), SPAN_LIT("sha")));
    ck_assert(!shape_carries(commits, table_shape(commits, false), SPAN_LIT("commit")));
    ck_assert_int_eq(manifest_table(m, SPAN_LIT("repositories"))->since.kind, SINCE_NONE);
    ck_assert_uint_eq(manifest_table(m, SPAN_LIT("issues"))->n_keep, 1);
    manifest_free(&m);
}
END_TEST

START_TEST(an_unsigned_topic_alone_deletes_nothing)
{
    struct manifest *m = load("shopify");
    for (size_t i = 0; i < m->n_tables; i++) {
        for (size_t k = 0; k < m->tables[i].n_deletes; k++)
            ck_assert_msg(m->tables[i].deletes[k].n_when > 0, "%s", m->tables[i].name);
    }
    manifest_free(&m);
}
END_TEST

static char dir[] = "/tmp/sluice-sources-XXXXXX";

static void write_override(const char *name, const char *text)
{
    struct err err;
    struct buf path;
    buf_init(&path, 0);
    buf_addf(&path, "%s/sources", dir);
    ck_assert(io_mkdirs(io_posix(), buf_z(&path), 0700, &err));
    buf_addf(&path, "/%s.yaml", name);
    ck_assert_msg(io_write_file_atomic(io_posix(), buf_z(&path), 0600, span_of(text), &err), "%s", err.msg);
    buf_release(&path);
}

static void remove_override(const char *name)
{
    struct buf path;
    buf_init(&path, 0);
    buf_addf(&path, "%s/sources/%s.yaml", dir, name);
    (void)unlink(buf_z(&path));
    buf_release(&path);
}

START_TEST(a_file_beside_the_configuration_wins)
{
    struct report r;
    struct err err = {0};
    report_init(&r);
    write_override("stripe", "sluice: 1\nname: stripe\ntitle: Ours\nverify: none\n");
    struct manifest *m = manifest_load(dir, SPAN_LIT("stripe"), &r, &err);
    ck_assert_msg(m != NULL, "%s %s", err.msg, buf_z(&r.text));
    ck_assert_str_eq(m->title, "Ours");
    manifest_free(&m);
    m = manifest_load(dir, SPAN_LIT("github"), &r, &err);
    ck_assert_ptr_nonnull(m);
    manifest_free(&m);
    write_override("mine", "sluice: 1\nname: other\nverify: none\n");
    ck_assert_ptr_null(manifest_load(dir, SPAN_LIT("mine"), &r, &err));
    ck_assert_int_eq(err.cls, ERR_CONFIG);
    ck_assert(strstr(buf_z(&r.text), "its name is 'other'") != NULL);
    write_override("mine", "sluice: 1\nnam: mine\n");
    ck_assert_ptr_null(manifest_load(dir, SPAN_LIT("mine"), &r, &err));
    ck_assert_int_eq(err.cls, ERR_CONFIG);
    ck_assert(strstr(buf_z(&r.text), "/sources/mine.yaml:2:1: no such key 'nam' (did you mean name?)") != NULL);
    remove_override("stripe");
    remove_override("mine");
    report_release(&r);
}
END_TEST

START_TEST(unknown_names_are_refused)
{
    struct report r;
    struct err err = {0};
    report_init(&r);
    ck_assert_ptr_null(manifest_load(dir, SPAN_LIT("strpie"), &r, &err));
    ck_assert_int_eq(err.cls, ERR_CONFIG);
    ck_assert_str_eq(err.msg, "there is no manifest 'strpie' (did you mean stripe?)");
    ck_assert_ptr_null(manifest_load(dir, SPAN_LIT("quickbooks"), &r, &err));
    ck_assert_msg(strstr(err.msg, "github") != NULL, "%s", err.msg);
    ck_assert_ptr_null(manifest_load(dir, SPAN_LIT("../../etc/passwd"), &r, &err));
    ck_assert_int_eq(err.cls, ERR_CONFIG);
    ck_assert_uint_eq(r.count, 0);
    report_release(&r);
}
END_TEST

START_TEST(sources_page_is_fresh)
{
    static const char file[] = SLUICE_ROOT "/sources/SOURCES.md";
    struct buf made;
    struct err err;
    char *there = NULL;
    size_t n = 0;
    buf_init(&made, 0);
    sources_document(&made);
    if (getenv("REGENERATE"))
        ck_assert_msg(io_write_file_atomic(io_posix(), file, 0644, buf_span(&made), &err), "%s", err.msg);
    ck_assert_msg(io_read_file(io_posix(), file, (size_t)4 << 20, &there, &n, &err), "%s", err.msg);
    ck_assert_msg(span_eq(buf_span(&made), span_make(there, n)), "%s is stale: run this test with REGENERATE=1", file);
    free(there);
    buf_release(&made);
}
END_TEST

/* Damages a copy of the text: bytes changed, a run removed, a run doubled. */
static void damage(struct buf *text, unsigned *seed)
{
    static const char bytes[] = "\n :-[]{},&*!|>\"'#%?~x0\\.$\xc3";
    for (unsigned k = 0; k < 1 + (unsigned)rand_r(seed) % 3; k++) {
        size_t at = (unsigned)rand_r(seed) % text->n, run = 1 + (unsigned)rand_r(seed) % 24;
        if (run > text->n - at)
            run = text->n - at;
        switch ((unsigned)rand_r(seed) % 3) {
        case 0:
            text->p[at] = bytes[(unsigned)rand_r(seed) % (sizeof(bytes) - 1)];
            break;
        case 1:
            if (text->n > run) {
                memmove(text->p + at, text->p + at + run, text->n - at - run);
                text->n -= run;
            }
            break;
        default:
            if (buf_reserve(text, run)) {
                memmove(text->p + at + run, text->p + at, text->n - at);
                text->n += run;
            }
        }
    }
}

START_TEST(damaged_ones_are_judged)
{
    const char *env = getenv("SEED");
    unsigned seed = env ? (unsigned)strtoul(env, NULL, 10) : 11;
    unsigned refused = 0, taken = 0;
    printf("SEED=%u\n", seed);
    for (unsigned round = 0; round < 60; round++) {
        for (const struct embedded_file *f = embedded_sources; f->name; f++) {
            struct buf text;
            struct report r;
            buf_init(&text, 0);
            report_init(&r);
            buf_add(&text, f->bytes, f->n);
            damage(&text, &seed);
            struct manifest *m = manifest_parse("m.yaml", buf_span(&text), &r);
            ck_assert_msg((m != NULL) == (r.count == 0), "%s", buf_z(&r.text));
            refused += m == NULL;
            taken += m != NULL;
            manifest_free(&m);
            report_release(&r);
            buf_release(&text);
        }
    }
    ck_assert(refused > 0 && taken > 0);
}
END_TEST

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    Suite *s = suite_create("embedded");
    TCase *t = tcase_create("embedded");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, every_one_parses);
    tcase_add_test(t, cancelled_rows_stay);
    tcase_add_test(t, what_the_lists_lack);
    tcase_add_test(t, an_unsigned_topic_alone_deletes_nothing);
    tcase_add_test(t, a_file_beside_the_configuration_wins);
    tcase_add_test(t, unknown_names_are_refused);
    tcase_add_test(t, sources_page_is_fresh);
    tcase_add_test(t, damaged_ones_are_judged);
    suite_add_tcase(s, t);
    SRunner *run = srunner_create(s);
    srunner_run_all(run, CK_NORMAL);
    int failed = srunner_ntests_failed(run);
    srunner_free(run);
    remove_override("stripe");
    remove_override("mine");
    char sub[sizeof(dir) + 16];
    (void)snprintf(sub, sizeof(sub), "%s/sources", dir);
    (void)rmdir(sub);
    (void)rmdir(dir);
    return failed ? 1 : 0;
}
